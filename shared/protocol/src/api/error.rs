//! What an agent answers when it does not do what was asked.

use serde::{Deserialize, Serialize};

use super::GrantInfo;

/// The body of every answer that is not a 200: signed like any other where the caller's key is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct AgentError {
    pub code: ErrorCode,
    /// What is wrong and what to do, in words.
    pub message: String,
    /// With [`ErrorCode::GrantHeld`] and [`ErrorCode::GrantLost`]: who holds it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantInfo>,
    /// With [`ErrorCode::ClockSkew`]: the agent's clock, Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_time: Option<i64>,
    /// With [`ErrorCode::Busy`]: when to come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl AgentError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), grant: None, server_time: None, retry_after_ms: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request could not be read, or asks for what does not exist.
    BadRequest,
    /// No key, an unknown key, or a signature that does not fit the request.
    Unauthorized,
    /// The token is expired or from the future: `server_time` says by how much.
    ClockSkew,
    /// This very request was seen before.
    Replayed,
    /// It was meant for another instance.
    WrongInstance,
    /// The agent's own config forbids it.
    Forbidden,
    ReadOnly,
    GrantHeld,
    GrantLost,
    GrantSuperseded,
    /// Cockpit's own sync.lock exists.
    SyncLock,
    TooLarge,
    /// Too many at once: come back after `retry_after_ms`.
    Busy,
    DiskFull,
    /// Storage this agent cannot serve (MongoDB, S3, ...).
    UnsupportedStorage,
    /// The database file is not the one that was opened: the grant is void.
    DatabaseReplaced,
    /// SQLite or the file system failed.
    Storage,
    Internal,
}

impl ErrorCode {
    /// The HTTP status that goes with it.
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized | Self::ClockSkew | Self::Replayed => 401,
            Self::Forbidden | Self::ReadOnly => 403,
            Self::GrantLost | Self::GrantSuperseded | Self::DatabaseReplaced => 409,
            Self::TooLarge => 413,
            Self::WrongInstance => 421,
            Self::GrantHeld | Self::SyncLock => 423,
            Self::Busy => 429,
            Self::Storage | Self::Internal => 500,
            Self::UnsupportedStorage => 501,
            Self::DiskFull => 507,
        }
    }
}
