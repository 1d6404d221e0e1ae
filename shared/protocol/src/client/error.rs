//! What can go wrong with a request, in words that say what to do.

use std::time::Duration;

use super::answer::ReadError;
use super::base_url::{BaseUrl, UrlError};
use crate::api::{AgentError, ErrorCode};

/// Why a call has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    #[error("{instance}: {cause}")]
    BadUrl { instance: String, cause: UrlError },

    #[error("nothing answers for {instance} at {url} ({cause}): is its agent running, and the URL right?")]
    Unreachable { instance: String, url: String, cause: String },

    /// Over TLS; nothing was done.
    #[error("{instance} at {url} does not accept our certificate, or wants one (client_cert): {cause}")]
    TurnedAway { instance: String, url: String, cause: String },

    #[error(
        "what answers for {instance} at {url} is not its agent: {status}, {looks}; is /api/sync/ routed to \
         `cockpit-sync agent`?"
    )]
    NotAnAgent { instance: String, url: String, status: u16, looks: String },

    #[error(
        "the agent of {instance} at {url} does not accept our sync key (id {key_id}): {says}; compare sync_key here \
         with sync.syncKey of that Cockpit's config.php, or with the agent's own keys"
    )]
    WrongKey { instance: String, url: String, key_id: String, says: String },

    /// Signed by the agent.
    #[error("{instance}: {error}")]
    Refused { instance: String, error: Box<AgentError> },

    /// Something between us and the agent has a lower limit than we: send half as much.
    #[error(
        "something before the agent of {instance} at {url} refuses a request of {sent} bytes as too large: raise its \
         limit (nginx: client_max_body_size 1m)"
    )]
    ForeignTooLarge { instance: String, url: String, sent: usize },

    /// The request may have been carried out or not: send it again (I5).
    #[error("no telling whether {instance} at {url} did what was asked: {cause}")]
    Unknown { instance: String, url: String, cause: String },

    #[error("{instance} is busy: {says}")]
    Busy { instance: String, retry_after: Option<Duration>, says: String },

    #[error(
        "the agent of {instance} speaks version {theirs} of the protocol, this program version {ours}: update {}",
        if theirs < ours { "the agent" } else { "this program" }
    )]
    Version { instance: String, theirs: u32, ours: u32 },

    /// Signed, but not in the form we know.
    #[error("{instance}: {path} cannot be read ({cause}): do the agent and this program have the same version?")]
    Unreadable { instance: String, path: String, cause: String },

    #[error("the answer of {instance} to {path} is longer than {limit} bytes and was cut off")]
    AnswerTooLarge { instance: String, path: String, limit: usize },
}

impl CallError {
    /// Whether the same request may go well later without anybody doing anything about it.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TurnedAway { .. } | Self::Unknown { .. } | Self::Busy { .. } => true,
            Self::Refused { error, .. } => matches!(error.code, ErrorCode::Storage | ErrorCode::Replayed),
            Self::BadUrl { .. }
            | Self::NotAnAgent { .. }
            | Self::WrongKey { .. }
            | Self::ForeignTooLarge { .. }
            | Self::Version { .. }
            | Self::Unreadable { .. }
            | Self::AnswerTooLarge { .. } => false,
        }
    }

    /// How long whoever answered wants to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What the agent itself said, where it did.
    pub fn refusal(&self) -> Option<&AgentError> {
        match self {
            Self::Refused { error, .. } => Some(error),
            _ => None,
        }
    }

    /// The code of [`Self::refusal`].
    pub fn code(&self) -> Option<ErrorCode> {
        self.refusal().map(|error| error.code)
    }

    /// Theirs or ours.
    pub fn is_about_certificates(&self) -> bool {
        match self {
            Self::TurnedAway { .. } => true,
            Self::Unreachable { cause, .. } | Self::Unknown { cause, .. } => {
                ["certificate", "fatal alert"].iter().any(|words| cause.to_lowercase().contains(words))
            }
            _ => false,
        }
    }

    pub(super) fn from_transport(instance: &str, base_url: &BaseUrl, error: &reqwest::Error) -> Self {
        let (instance, url, cause) = (instance.to_owned(), base_url.to_string(), with_causes(error));
        // With TLS 1.3 a client is done before the server has looked at its certificate: that it was turned away it learns
        // while it sends, or by a connection that is gone before anything was sent. Either way nothing was done.
        if is_about_our_certificate(&cause) {
            return Self::TurnedAway { instance, url, cause };
        }
        // As hyper says it; on a connection that was in use before, it is sent again without a word.
        if cause == "connection was not ready" {
            let wants =
                if url.starts_with("https:") { ": does it want a certificate of ours (client_cert)?" } else { "" };
            let cause = format!("it closed the connection as soon as it was made{wants}");
            return Self::Unreachable { instance, url, cause };
        }
        if error.is_connect() {
            return Self::Unreachable { instance, url, cause };
        }
        Self::Unknown { instance, url, cause }
    }

    pub(super) fn from_reading(instance: &str, base_url: &BaseUrl, path: &str, error: ReadError) -> Self {
        match error {
            ReadError::TooLarge(limit) => Self::AnswerTooLarge { instance: instance.into(), path: path.into(), limit },
            ReadError::Broken(error) => Self::Unknown {
                instance: instance.into(),
                url: base_url.to_string(),
                cause: format!("the answer broke off: {}", with_causes(&error)),
            },
        }
    }
}

fn is_about_our_certificate(cause: &str) -> bool {
    let Some((_, alert)) = cause.split_once("fatal alert: ") else { return false };
    ["Certificate", "UnknownCA", "AccessDenied"].iter().any(|word| alert.contains(word))
}

/// The innermost cause says what happened ("connection refused"), the outer ones only where.
pub(super) fn with_causes(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long".into();
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let cause = innermost.to_string();
    if cause.contains("UnknownIssuer") {
        return "nobody whom we trust has signed its certificate: name its authority (ca), or install the system's \
                (Debian: ca-certificates)"
            .into();
    }
    cause
}
