//! What an agent remembers of a run that had its grant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Call;
use crate::canonical::CollectionSummary;
use crate::run::Endpoint;

/// What an agent cannot know of a run, handed over with [`super::OpenGrant`] for the receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunAbout {
    /// "push", "pull" or "undo".
    pub direction: String,
    pub source: Endpoint,
    pub target: Endpoint,
    /// "anna on web1".
    pub started_by: String,
    /// Everything else that the run was made with.
    pub options: serde_json::Value,
}

/// The receipt of a run at its target. Asked by the run's id, by its beginning or end, or by `last`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReceiptRequest {
    pub run: String,
}

impl Call for ReceiptRequest {
    const PATH: &'static str = "receipt";
    type Answer = ReceiptFound;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReceiptFound {
    /// None when the agent knows no such run (any more).
    pub receipt: Option<Receipt>,
}

/// Opened with the run's first grant, finished with its last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub run: String,
    /// The instance it was written to.
    pub instance: String,
    /// None for a run of a worker that did not say.
    pub about: Option<RunAbout>,
    /// Which Redis, and who in words.
    pub authority: String,
    pub holder: String,
    /// How often the right to write was granted: more than once where the run made room, or lost its lease.
    pub grants: u32,
    pub began_ms: i64,
    /// None while it has the right to write.
    pub ended_ms: Option<i64>,
    /// Why it ended: "the run is over", "cancelled by anna on web1".
    pub reason: Option<String>,
    /// By the collection's name; files of assets are `assets/files`.
    pub collections: BTreeMap<String, Landed>,
    pub undo: UndoState,
}

impl Receipt {
    /// What the audit log names it by: SHA-256 of its JSON, without what becomes of the kept images later, hex.
    pub fn hash(&self) -> String {
        let lasting = Self { undo: UndoState::default(), ..self.clone() };
        let json = serde_json::to_vec(&lasting).expect("a receipt has no map with keys that are not strings");
        crate::sign::body_hash(&json)
    }
}

/// What a run brought about in one collection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landed {
    pub created: u64,
    pub updated: u64,
    pub deleted: u64,
    /// Of what was written.
    pub bytes: u64,
    /// As the run found it and as it was last compared, of the documents that the run is about.
    pub before: Option<CollectionSummary>,
    pub after: Option<CollectionSummary>,
}

/// Whether the target still has what the run overwrote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoState {
    pub possible: bool,
    /// Why not, in words.
    pub reason: Option<String>,
    /// What keeping it takes on the disk.
    pub bytes: u64,
    /// Kept until then at most, milliseconds since 1970.
    pub until_ms: Option<i64>,
}
