//! Why a server could not be used, in words a person can act on.

use redis::{ConnectionAddr, ConnectionInfo, ErrorKind, RedisError};

use crate::Error;
use crate::server::Server;

pub(super) fn no_answer(at: &ConnectionInfo) -> Error {
    let place = at.addr();
    Error::Unreachable(match place {
        ConnectionAddr::TcpTls { .. } => {
            format!("{place} does not answer; if it speaks no TLS, its URL begins with redis://, not rediss://")
        }
        _ => format!("{place} does not answer"),
    })
}

/// What it means that connecting to `at`, or asking it the way, ended with `error`.
pub(super) fn of(error: RedisError, at: &ConnectionInfo, server: &Server) -> Error {
    let place = at.addr();
    let text = error.to_string();
    let has = |part: &str| text.contains(part);
    if has("UnknownIssuer") {
        let ca = server.certificates.ca.as_ref();
        let who = ca.map_or("any authority this system trusts; name its own with `ca`".into(), |ca| {
            format!("ca {}", ca.display())
        });
        return Error::Denied(format!("the certificate of {place} is not signed by {who}"));
    }
    if has("invalid peer certificate") {
        return Error::Denied(format!("the certificate of {place} is not valid: {text}"));
    }
    if has("InvalidContentType") {
        return Error::Denied(format!("{place} does not speak TLS: its URL begins with redis://, not rediss://"));
    }
    if error.is_timeout() {
        return no_answer(at);
    }
    if has("CertificateRequired") || has("HandshakeFailure") && server.certificates.client.is_none() {
        return Error::Denied(format!("{place} wants a certificate of ours: name it with `cert` and `key`"));
    }
    if has("received fatal alert") {
        return Error::Denied(format!("{place} does not accept our certificate: {text}"));
    }
    if error.kind() == ErrorKind::AuthenticationFailed || matches!(error.code(), Some("WRONGPASS" | "NOAUTH")) {
        let user = at.redis_settings().username().unwrap_or("default");
        let given = at.redis_settings().password().is_some();
        let why = if given { "refuses this password for" } else { "wants a password for" };
        return Error::Denied(format!("{place} {why} the user {user:?}"));
    }
    if has("unknown command") && has("SENTINEL") {
        return Error::Unsuitable(format!("{place} is no sentinel"));
    }
    if has("cluster support disabled") {
        return Error::Unsuitable(format!("{place} is no node of a cluster: write its URL as redis"));
    }
    let closed =
        ["Connection reset", "Broken pipe", "unexpected end of file", "early eof"].iter().any(|part| has(part));
    if closed && matches!(at.addr(), ConnectionAddr::Tcp(..)) {
        return Error::Unreachable(format!(
            "{place} hangs up ({text}); does it want TLS? Then its URL begins with rediss://"
        ));
    }
    match Error::from(error) {
        Error::Redis(_) => Error::Unreachable(format!("{place}: {text}")),
        said => said,
    }
}
