//! The check as Cockpit documents it: `POST /api/sync/check {"syncKey"}`. Its answer is not signed and never trusted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::answer::read_answer;
use super::{BaseUrl, CallError};

/// A person waits for it.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
const CHECK_ANSWER_BYTES: usize = 64 * 1024;

/// What the documented check says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckAnswer {
    pub success: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Serialize)]
struct CheckRequest<'a> {
    #[serde(rename = "syncKey")]
    sync_key: &'a str,
}

/// Asks with the raw key, as the documented curl does. The key is sent as it is: only over https or loopback.
pub async fn check_raw(
    http: &reqwest::Client,
    instance: &str,
    base_url: &BaseUrl,
    key: &str,
) -> Result<CheckAnswer, CallError> {
    let not_an_agent = |status: u16, looks: &str| CallError::NotAnAgent {
        instance: instance.into(),
        url: base_url.to_string(),
        status,
        looks: looks.into(),
    };
    if !base_url.is_private() {
        return Err(CallError::Unreachable {
            instance: instance.into(),
            url: base_url.to_string(),
            cause: "the raw key is not sent over plain http".into(),
        });
    }
    let response = http
        .post(base_url.endpoint("check"))
        .json(&CheckRequest { sync_key: key })
        .timeout(CHECK_TIMEOUT)
        .send()
        .await
        .map_err(|error| CallError::from_transport(instance, base_url, &error))?;
    let answer = read_answer(response, CHECK_ANSWER_BYTES)
        .await
        .map_err(|error| CallError::from_reading(instance, base_url, "check", error))?;
    if let Some(retry_after) = answer.retry_after() {
        let says = format!("{}, come back in {} s", answer.status, retry_after.as_secs());
        return Err(CallError::Busy { instance: instance.into(), retry_after: Some(retry_after), says });
    }
    serde_json::from_slice(&answer.body).map_err(|_| not_an_agent(answer.status, "it does not answer the check"))
}
