//! What agents and workers show of themselves over HTTP, and to whom: programs on the same machine, and holders of a token.

use std::net::IpAddr;

use subtle::ConstantTimeEq;

/// A page for programs that watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    Metrics,
    /// The process is alive.
    Health,
    /// It can do its work.
    Ready,
}

impl Page {
    /// These paths stand alone: what a web server passes on of a Cockpit lies below `/api/sync/`.
    pub fn at(path: &str) -> Option<Self> {
        match path {
            "/metrics" => Some(Self::Metrics),
            "/healthz" => Some(Self::Health),
            "/readyz" => Some(Self::Ready),
            _ => None,
        }
    }
}

/// The media type of metrics as text.
pub const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Who may look.
#[derive(Clone, Default)]
pub struct Viewers {
    token: Option<String>,
}

impl Viewers {
    /// Programs on the same machine, and whoever has the token. An empty one is none.
    pub fn new(token: Option<String>) -> Self {
        Self { token: token.filter(|token| !token.is_empty()) }
    }

    /// `header` looks up a header of the request. Behind a web server everybody comes from this machine, so a request
    /// that was passed on needs the token.
    pub fn may_view<'a>(&self, peer: IpAddr, header: impl Fn(&str) -> Option<&'a str>) -> bool {
        let given = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if let (Some(token), Some(given)) = (&self.token, given) {
            return token.as_bytes().ct_eq(given.as_bytes()).into();
        }
        let passed_on = ["forwarded", "x-forwarded-for", "x-real-ip", "via"].iter().any(|name| header(name).is_some());
        peer.to_canonical().is_loopback() && !passed_on
    }
}

/// The token is a secret.
impl std::fmt::Debug for Viewers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Viewers").field("token", &self.token.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_the_token_may_look_and_nobody_else() {
        let here = IpAddr::from([127, 0, 0, 1]);
        let mapped = IpAddr::V6(std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped());
        let elsewhere = IpAddr::from([192, 0, 2, 1]);
        let nothing = |_: &str| None;
        let passed_on = |name: &str| (name == "x-forwarded-for").then_some("192.0.2.1");
        let with = |token: &'static str| move |name: &str| (name == "authorization").then_some(token);
        let open = Viewers::new(Some(String::new()));
        assert!(open.may_view(here, nothing) && open.may_view(mapped, nothing));
        assert!(!open.may_view(elsewhere, nothing) && !open.may_view(here, passed_on));
        assert!(!open.may_view(elsewhere, with("Bearer ")));
        let closed = Viewers::new(Some("sesame".into()));
        assert!(closed.may_view(elsewhere, with("Bearer sesame")));
        assert!(!closed.may_view(elsewhere, with("Bearer sesam")) && !closed.may_view(here, with("Bearer x")));
        assert!(!closed.may_view(here, passed_on));
    }
}
