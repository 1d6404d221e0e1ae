//! Where a request comes from: the address behind a web server, and the page in a browser that made it.
//!
//! A page of another site can make a browser send requests here, with its cookies, from this machine. Browsers say so
//! (`Sec-Fetch-Site`, `Origin`), and such a page can change neither.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{HOST, ORIGIN};
use axum::http::{Extensions, HeaderMap};

use crate::error::ApiError;

/// By which name a web server says how it was asked: "https".
pub const SCHEME: &str = "x-forwarded-proto";

/// Who is at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

impl Peer {
    pub fn of(extensions: &Extensions) -> Self {
        *extensions.get::<Self>().expect("the server gives every request its connection's peer")
    }

    pub fn address(self) -> IpAddr {
        self.0.ip().to_canonical()
    }

    /// Whom the web server on this machine names, if one passed it on. Nobody else is believed.
    pub fn behind_proxy(self, headers: &HeaderMap) -> IpAddr {
        if !self.address().is_loopback() {
            return self.address();
        }
        let named = text(headers, "x-forwarded-for").and_then(|list| list.rsplit(',').next()?.trim().parse().ok());
        named.unwrap_or(self.address())
    }
}

/// Without users: the connection comes from here, is not passed on for somebody else, and asks for this machine by its own
/// names. A name of somebody else's that leads here (DNS rebinding) would make its pages ours.
pub fn is_this_machine(peer: Peer, headers: &HeaderMap) -> Result<(), ApiError> {
    const HOW: &str = "no user is configured, so only this machine may ask: add [user.NAME] to the config";
    if !peer.address().is_loopback() {
        return Err(ApiError::forbidden(HOW));
    }
    if ["forwarded", "x-forwarded-for", "x-real-ip", "via"].iter().any(|name| headers.contains_key(*name)) {
        return Err(ApiError::forbidden(format!("this was passed on by a web server, and {HOW}")));
    }
    let host = text(headers, HOST.as_str()).map(name_of).unwrap_or_default();
    let is_ours =
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if is_ours {
        return Ok(());
    }
    Err(ApiError::forbidden(format!(
        "{host:?} is not this machine's name for itself (localhost, 127.0.0.1), and {HOW}"
    )))
}

/// Of requests that carry no cookie: programs say nothing of where they come from, browsers do.
pub fn is_not_of_another_site(headers: &HeaderMap) -> Result<(), ApiError> {
    match says_ours(headers) {
        Some(false) => Err(of_another_site()),
        Some(true) | None => Ok(()),
    }
}

/// Of requests with a cookie: only browsers send it by themselves, and they must say that one of our pages made them.
pub fn is_of_ours(headers: &HeaderMap) -> Result<(), ApiError> {
    match says_ours(headers) {
        Some(true) => Ok(()),
        Some(false) | None => Err(of_another_site()),
    }
}

fn says_ours(headers: &HeaderMap) -> Option<bool> {
    if let Some(site) = text(headers, "sec-fetch-site") {
        // "none": typed, or from a bookmark.
        return Some(site == "same-origin" || site == "none");
    }
    let origin = text(headers, ORIGIN.as_str())?;
    let host = text(headers, HOST.as_str()).unwrap_or_default();
    let of_origin = origin.split_once("://").map(|(_, host)| host);
    Some(of_origin.is_some_and(|named| named.eq_ignore_ascii_case(host)))
}

fn of_another_site() -> ApiError {
    ApiError::forbidden(
        "this request was made by a page of another site. Behind a web server: it must pass on the Host header as it is",
    )
}

/// Whether the browser's connection is encrypted, here or at the web server before us.
pub fn is_private(headers: &HeaderMap) -> bool {
    text(headers, SCHEME).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
}

/// Without the port, and without the brackets of an IPv6 address.
fn name_of(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(of: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap())
        };
        of.iter().map(pair).collect()
    }

    fn peer(address: &str) -> Peer {
        Peer(SocketAddr::new(address.parse().unwrap(), 4711))
    }

    #[test]
    fn this_machine_is_asked_for_by_its_own_names_only() {
        let asked = |from: &str, of: &[(&str, &str)]| is_this_machine(peer(from), &headers(of)).is_ok();
        for host in ["localhost:8100", "LOCALHOST", "127.0.0.1:8100", "127.0.0.2", "[::1]:8100"] {
            assert!(asked("127.0.0.1", &[("host", host)]), "{host}");
        }
        for host in ["evil.example:8100", "localhost.evil.example", "10.0.0.7:8100", "", "127.0.0.1.evil.example"] {
            assert!(!asked("127.0.0.1", &[("host", host)]), "{host}");
        }
        assert!(asked("::ffff:127.0.0.1", &[("host", "localhost")]));
        assert!(!asked("10.0.0.7", &[("host", "localhost")]) && !asked("127.0.0.1", &[]));
        assert!(!asked("127.0.0.1", &[("host", "localhost"), ("x-forwarded-for", "10.0.0.7")]));
    }

    #[test]
    fn a_page_of_another_site_changes_nothing() {
        let programs = headers(&[("host", "sync.example.com")]);
        assert!(is_not_of_another_site(&programs).is_ok() && is_of_ours(&programs).is_err());
        for ours in [
            [("sec-fetch-site", "same-origin"), ("origin", "https://sync.example.com")],
            [("sec-fetch-site", "none"), ("host", "sync.example.com")],
            [("host", "sync.example.com:8100"), ("origin", "http://sync.example.com:8100")],
        ] {
            assert!(is_not_of_another_site(&headers(&ours)).is_ok() && is_of_ours(&headers(&ours)).is_ok(), "{ours:?}");
        }
        for theirs in [
            [("sec-fetch-site", "cross-site"), ("origin", "https://sync.example.com")],
            [("sec-fetch-site", "same-site"), ("host", "sync.example.com")],
            [("host", "sync.example.com"), ("origin", "https://evil.example")],
            [("host", "sync.example.com"), ("origin", "null")],
        ] {
            let theirs = headers(&theirs);
            assert!(is_not_of_another_site(&theirs).is_err() && is_of_ours(&theirs).is_err(), "{theirs:?}");
        }
    }

    #[test]
    fn only_a_web_server_on_this_machine_says_for_whom_it_asks() {
        let passed_on = headers(&[("x-forwarded-for", "192.0.2.1, 192.0.2.7")]);
        assert_eq!(peer("127.0.0.1").behind_proxy(&passed_on).to_string(), "192.0.2.7");
        assert_eq!(peer("10.0.0.7").behind_proxy(&passed_on).to_string(), "10.0.0.7");
        assert_eq!(peer("::1").behind_proxy(&headers(&[("x-forwarded-for", "?")])).to_string(), "::1");
    }
}
