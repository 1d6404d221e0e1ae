//! A webhook: the event as JSON, signed as standardwebhooks.com describes, or a line for a chat.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use protocol::client::{HttpSettings, http_client};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Url};
use serde::Deserialize;
use sha2::Sha256;

use super::{Failure, PATIENCE};
use crate::Notice;
use crate::templates::Template;

/// How a secret begins that is written as the standard says: what follows is base64.
const STANDARD_SECRET: &str = "whsec_";
/// A receiver cannot put off a notification for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookSettings {
    url: String,
    secret: Option<String>,
    #[serde(default)]
    preset: Preset,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Of a chat's line.
    text: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Preset {
    /// The event as it was published.
    #[default]
    Json,
    /// `{"text": "..."}`, as Slack, Mattermost, Rocket.Chat and others take it.
    Slack,
}

pub(crate) struct Webhook {
    client: Client,
    url: Url,
    key: Option<Vec<u8>>,
    headers: HeaderMap,
    preset: Preset,
    text: Template,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Webhook(...)")
    }
}

impl Webhook {
    pub fn new(settings: WebhookSettings) -> Result<Self, String> {
        let url = Url::parse(&settings.url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or("url must begin with https:// or http://")?;
        let key = settings.secret.map(|secret| match secret.strip_prefix(STANDARD_SECRET) {
            Some(encoded) => STANDARD.decode(encoded).map_err(|_| "secret: what follows whsec_ must be base64"),
            None => Ok(secret.into_bytes()),
        });
        let key = key.transpose()?.filter(|key| !key.is_empty());
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let header = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
            let (name, mut value) = header.ok_or_else(|| format!("headers: {name:?} or its value is not allowed"))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        if settings.text.is_some() && settings.preset != Preset::Slack {
            return Err("text belongs to preset = \"slack\"".into());
        }
        Ok(Self {
            client: http_client(&HttpSettings::default()).map_err(|error| error.to_string())?,
            url,
            key,
            headers,
            preset: settings.preset,
            text: Template::new("text", settings.text.as_deref().unwrap_or("{{ summary }}"))?,
        })
    }

    pub async fn call(&self, notice: &Notice) -> Result<(), Failure> {
        let body = match self.preset {
            Preset::Json => notice.json.clone(),
            Preset::Slack => serde_json::json!({ "text": self.text.render(notice)? }).to_string(),
        };
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string();
        let mut request = self
            .client
            .post(self.url.clone())
            .timeout(PATIENCE)
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &notice.id)
            .header("webhook-timestamp", &time);
        if let Some(key) = &self.key {
            request = request.header("webhook-signature", signature(key, &notice.id, &time, &body));
        }
        // Addresses of webhooks are secrets, and answers may repeat them.
        let answer = request.body(body).send().await;
        let answer = answer.map_err(|error| Failure::new(in_words(&error.without_url())))?;
        if answer.status().is_success() {
            return Ok(());
        }
        let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let after = after.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
        Err(Failure { after, ..Failure::new(format!("the receiver answered {}", answer.status())) })
    }
}

fn signature(key: &[u8], id: &str, time: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in [id, ".", time, ".", body] {
        mac.update(part.as_bytes());
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// With its causes: reqwest's own words are "error sending request".
fn in_words(error: &reqwest::Error) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause {
        words = format!("{words}: {deeper}");
        cause = deeper.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the standard's own documentation.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap_or_default();
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
