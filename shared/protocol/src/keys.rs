//! What a sync key is for. What travels of keys is never a key.

use serde::{Deserialize, Serialize};

/// What somebody with a key may ask for; each includes the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Who is there: the manifest.
    Check,
    /// Content, receipts, the audit log.
    Read,
    /// The right to write, and everything that takes it.
    Write,
}

impl std::fmt::Display for Purpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Check => "check",
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

/// It is none of the three.
#[derive(Debug, thiserror::Error)]
#[error("a key is for check, read or write")]
pub struct NoPurpose;

impl std::str::FromStr for Purpose {
    type Err = NoPurpose;

    fn from_str(text: &str) -> Result<Self, NoPurpose> {
        [Self::Check, Self::Read, Self::Write].into_iter().find(|one| one.to_string() == text).ok_or(NoPurpose)
    }
}

/// A key as an agent shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    /// As people call it.
    pub id: String,
    /// As requests and the audit log call it: made of the key ([`crate::sign::SyncKey::id`]).
    pub kid: String,
    pub purpose: Purpose,
    /// Good from then on and until then, milliseconds since 1970; none: without limit.
    pub from_ms: Option<i64>,
    pub until_ms: Option<i64>,
    /// Where the agent has it from, in words.
    pub place: String,
    /// By the minute.
    pub last_used_ms: Option<i64>,
    pub last_address: Option<String>,
}
