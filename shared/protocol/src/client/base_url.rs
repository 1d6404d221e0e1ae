//! Where an agent is: the URL of its Cockpit, checked before anything is sent to it.

use std::net::IpAddr;

use reqwest::Url;

use crate::BASE_PATH;

/// Whether http without TLS may leave the machine. Requests are signed either way, but content can be read on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainHttp {
    LoopbackOnly,
    Allowed,
}

/// A Cockpit's URL: `https://cms.example.com`, or below a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    /// Without a slash at its end.
    text: String,
    is_loopback: bool,
    is_https: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("{0:?} is not a URL: {1}")]
    NotAUrl(String, String),
    #[error("{0:?} has no http or https in front: write https://HOST")]
    OtherScheme(String),
    #[error("{0:?} would send content readable over the network: use https, or set allow_http = true for it")]
    PlainHttp(String),
    #[error("a URL with a user, password, query or fragment is not usable here: write https://HOST/PATH")]
    TooMuch,
}

impl BaseUrl {
    pub fn parse(text: &str, plain_http: PlainHttp) -> Result<Self, UrlError> {
        let url = Url::parse(text.trim()).map_err(|error| UrlError::NotAUrl(text.into(), error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(UrlError::TooMuch);
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlError::OtherScheme(text.into()));
        }
        let is_https = url.scheme() == "https";
        let is_loopback = is_loopback(&url);
        if !is_https && !is_loopback && plain_http == PlainHttp::LoopbackOnly {
            return Err(UrlError::PlainHttp(text.into()));
        }
        // People copy the URL of the check from Cockpit's documentation.
        let text = url.as_str().trim_end_matches('/').trim_end_matches("/api/sync").trim_end_matches('/');
        Ok(Self { text: text.into(), is_loopback, is_https })
    }

    /// The URL of a request; `path` is below `/api/sync/`.
    pub fn endpoint(&self, path: &str) -> String {
        format!("{}{BASE_PATH}{path}", self.text)
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Nobody on the way can read what is sent.
    pub fn is_private(&self) -> bool {
        self.is_https || self.is_loopback
    }
}

/// A [`BaseUrl`], or text that becomes one: then plain http is for loopback only.
pub trait IntoBaseUrl {
    fn into_base_url(self) -> Result<BaseUrl, UrlError>;
}

impl IntoBaseUrl for BaseUrl {
    fn into_base_url(self) -> Result<BaseUrl, UrlError> {
        Ok(self)
    }
}

impl<T: AsRef<str>> IntoBaseUrl for T {
    fn into_base_url(self) -> Result<BaseUrl, UrlError> {
        BaseUrl::parse(self.as_ref(), PlainHttp::LoopbackOnly)
    }
}

impl std::fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    if host == "localhost" {
        return true;
    }
    host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn requests_go_below_the_path_of_the_cockpit() {
        for text in
            ["https://cms.example.com/blog", "https://cms.example.com/blog/", "https://cms.example.com/blog/api/sync/"]
        {
            let url = BaseUrl::parse(text, PlainHttp::LoopbackOnly).unwrap();
            assert_eq!(url.endpoint("grant/open"), "https://cms.example.com/blog/api/sync/grant/open");
        }
        let url = BaseUrl::parse("http://127.0.0.1:8101", PlainHttp::LoopbackOnly).unwrap();
        assert_eq!(url.endpoint("list"), "http://127.0.0.1:8101/api/sync/list");
    }

    #[test]
    fn plain_http_stays_on_this_machine_unless_allowed() {
        for loopback in ["http://localhost:1", "http://127.0.0.9:1", "http://[::1]:1"] {
            assert!(BaseUrl::parse(loopback, PlainHttp::LoopbackOnly).is_ok(), "{loopback}");
        }
        for elsewhere in ["http://cms.example.com", "http://10.0.0.1:1", "http://localhost.example.com"] {
            let refused = BaseUrl::parse(elsewhere, PlainHttp::LoopbackOnly);
            assert_eq!(refused, Err(UrlError::PlainHttp(elsewhere.into())));
            assert!(!BaseUrl::parse(elsewhere, PlainHttp::Allowed).unwrap().is_private());
        }
    }

    #[test]
    fn what_is_no_plain_url_of_a_web_server_is_refused() {
        let parse = |text| BaseUrl::parse(text, PlainHttp::Allowed);
        assert!(matches!(parse("cms.example.com"), Err(UrlError::NotAUrl(..))));
        assert!(matches!(parse("ftp://cms.example.com"), Err(UrlError::OtherScheme(_))));
        assert_eq!(parse("https://anna:secret@cms.example.com"), Err(UrlError::TooMuch));
        assert_eq!(parse("https://cms.example.com/?a=b"), Err(UrlError::TooMuch));
    }
}
