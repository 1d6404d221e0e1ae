//! Putting back what a run overwrote.

use serde::{Deserialize, Serialize};

use super::{Call, HeldDocument};
use crate::mirror::SignedOrder;

/// The collection of the files of assets, here and in receipts. Identities are their paths.
pub const ASSET_FILES: &str = "assets/files";

/// What is put back goes first, in the order of a sync; what the run created goes last, in the reverse order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndoPart {
    /// What the run overwrote or deleted.
    PutBack,
    /// What it created.
    Remove,
}

/// What undoing a run would do to a part of one collection, or has left to do. Ask again from `next` until it is none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UndoPlanRequest {
    pub run: String,
    pub collection: String,
    /// Behind this identity.
    pub after: Option<String>,
}

impl Call for UndoPlanRequest {
    const PATH: &'static str = "undo/plan";
    type Answer = UndoPlan;
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct UndoPlan {
    /// To be put back, and bytes of it.
    pub put_back: u64,
    pub bytes: u64,
    /// Of `put_back`, what the run had deleted.
    pub deleted: u64,
    /// Created by the run, to be removed.
    pub remove: u64,
    /// As it was before the run.
    pub same: u64,
    /// Changed since: they stay as they are.
    pub conflicts: Vec<HeldDocument>,
    pub next: Option<String>,
}

/// Undoes a page of it: one transaction under the grant. Doing it twice changes nothing and answers the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UndoRequest {
    pub token: String,
    /// The run that is undone.
    pub run: String,
    pub collection: String,
    pub part: UndoPart,
    /// Also what an editor has open in Cockpit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub override_locks: bool,
    pub after: Option<String>,
    /// Says that a command asked for it ([`crate::mirror::UndoOrder`]).
    #[serde(default)]
    pub order: SignedOrder,
}

impl Call for UndoRequest {
    const PATH: &'static str = "undo";
    type Answer = Undone;
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    /// Put back where it had been deleted, put back over what the run wrote, removed: by this run, in whichever attempt.
    pub created: u64,
    pub updated: u64,
    pub deleted: u64,
    /// It was as before the run already.
    pub unchanged: u64,
    pub bytes: u64,
    pub conflicts: Vec<HeldDocument>,
    pub next: Option<String>,
}
