//! The right to write (I4): opened, renewed and closed at the target's agent.

use serde::{Deserialize, Serialize};

use super::{Call, RunAbout};

/// Asks for the right to write. The same `grant_id` gives the same token; a superseded `grant_id` is refused with
/// [`super::ErrorCode::GrantSuperseded`]; a grant of another authority that is still alive is refused with
/// [`super::ErrorCode::GrantHeld`] and its holder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OpenGrant {
    /// Made by the script that granted the lease in Redis; never used twice.
    pub grant_id: String,
    /// Which deployment (Redis) granted the lease: one authority may supersede its own grant, never another's.
    pub authority: String,
    pub run: String,
    /// In words, for those who are refused: "push staging -> production, started on host web1".
    pub holder: String,
    /// The grant may be taken over by another authority when it was not renewed for so long.
    pub ttl_ms: u64,
    /// For the receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<RunAbout>,
}

impl Call for OpenGrant {
    const PATH: &'static str = "grant/open";
    type Answer = GrantOpened;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GrantOpened {
    /// Random; every write carries it.
    pub token: String,
}

/// Says that the run is alive. Fails with [`super::ErrorCode::GrantLost`] when the token is not the open one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RenewGrant {
    pub token: String,
}

impl Call for RenewGrant {
    const PATH: &'static str = "grant/renew";
    type Answer = Nothing;
}

/// Ends the right to write. Closing what is closed, or was never open, is not an error.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CloseGrant {
    pub which: CloseWhich,
    /// Who or what closes it, for the record: "finished", "cancelled by anna".
    pub reason: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseWhich {
    /// Whatever grant this run holds. No grant of this run can be opened any more, delayed requests included.
    Run(String),
    /// Whoever holds it: the documented Reset.
    Any,
}

impl Call for CloseGrant {
    const PATH: &'static str = "grant/close";
    type Answer = GrantClosed;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GrantClosed {
    /// What was open until now.
    pub was_open: Option<GrantInfo>,
    /// So many of the agent's own actions follow; [`ActionsRequest`] tells how they went.
    #[serde(default)]
    pub actions: u32,
}

/// What the agent's own config has it do after a run that was closed: how did it go?
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ActionsRequest {
    pub run: String,
}

impl Call for ActionsRequest {
    const PATH: &'static str = "grant/actions";
    type Answer = ActionsFound;
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionsFound {
    /// Not over yet.
    pub pending: u32,
    pub done: Vec<ActionDone>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionDone {
    /// As in the agent's config.
    pub name: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub millis: u64,
}

/// Who may write to an instance at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantInfo {
    pub run: String,
    pub authority: String,
    pub holder: String,
    pub since_ms: i64,
    pub renewed_ms: i64,
    pub expires_ms: i64,
    /// Documents and files written under it so far.
    pub written: u64,
}

/// An answer that says nothing but "done".
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Nothing {}
