//! Deleting what the source does not have (I6): asked at the source, listed and decided at the target before its first
//! write, done after the last one.

use serde::{Deserialize, Serialize};

use super::{Call, HeldCause, Nothing};
use crate::canonical::DocHash;
use crate::collection::Collection;
use crate::mirror::SignedOrder;

/// Which of these documents do you not have at all, whatever a run takes of the collection? (Asked of the source.)
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AbsentRequest {
    pub collection: Collection,
    pub identities: Vec<String>,
}

impl Call for AbsentRequest {
    const PATH: &'static str = "absent";
    type Answer = Absent;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Absent {
    /// Those of the request that no row here has.
    pub absent: Vec<String>,
    /// Why that proves nothing, in words: no table, a row that cannot be read. None = it is proven.
    pub unproven: Option<String>,
    /// How many documents the collection has here.
    pub count: u64,
}

/// Puts documents on the list of what a run may delete, under its grant. What is proposed after the list was decided is
/// not taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProposeRequest {
    pub token: String,
    pub order: SignedOrder,
    pub collection: Collection,
    /// Begin the collection's list anew.
    pub from_start: bool,
    pub identities: Vec<String>,
    /// With the last ones.
    pub listed: Option<Listed>,
}

impl Call for ProposeRequest {
    const PATH: &'static str = "mirror/propose";
    type Answer = Nothing;
}

/// What a list was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Documents here that the run is about.
    pub there: u64,
    /// Documents of the collection at the source.
    pub at_source: u64,
    /// Why the source's answers prove nothing; see [`Absent::unproven`].
    pub unproven: Option<String>,
}

/// Decides on the whole list. If it stands, it is closed, and what is on it may be deleted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DecideRequest {
    pub token: String,
    pub order: SignedOrder,
}

impl Call for DecideRequest {
    const PATH: &'static str = "mirror/decide";
    type Answer = Decided;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Decided {
    /// Why nothing may be deleted, in words. None: all that is on the list may.
    pub refusals: Vec<String>,
    /// How many are on it.
    pub candidates: u64,
}

/// A page of a run's list, in the order of the identities. Ask again after `next` until it is none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CandidatesRequest {
    pub token: String,
    pub collection: Collection,
    pub after: Option<String>,
}

impl Call for CandidatesRequest {
    const PATH: &'static str = "mirror/candidates";
    type Answer = Candidates;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Candidates {
    /// Identity, and the hash of what was there when it was put on the list.
    pub candidates: Vec<(String, DocHash)>,
    pub next: Option<String>,
}

/// Deletes documents that are on the list, under the grant. Of an asset its file goes too.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteRequest {
    pub token: String,
    pub collection: Collection,
    /// As in [`super::WriteRequest::modified`].
    pub modified: Option<i64>,
    /// Also what an editor has open in Cockpit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub override_locks: bool,
    /// With what is expected to be there; at most [`super::PAGE_DOCUMENTS`].
    pub documents: Vec<(String, DocHash)>,
}

impl Call for DeleteRequest {
    const PATH: &'static str = "mirror/delete";
    type Answer = Deleted;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Deleted {
    /// In the order of the request.
    pub outcomes: Vec<DeleteOutcome>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeleteOutcome {
    /// By this run: now, or before.
    Deleted,
    /// Not there: somebody else deleted it.
    Gone,
    /// It is not what the run saw when it made its list.
    Conflict,
    /// Something below it is there still: it may go after that.
    NotEmpty(String),
    Held {
        cause: HeldCause,
        message: String,
    },
}

/// Deletes the files that assets left behind when this run gave them other ones, unless something mentions them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TidyFilesRequest {
    pub token: String,
}

impl Call for TidyFilesRequest {
    const PATH: &'static str = "mirror/files";
    type Answer = TidiedFiles;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TidiedFiles {
    pub deleted: u64,
    /// Paths of those that stay, and why.
    pub kept: Vec<(String, String)>,
}

/// How many documents the source has, told to the target at the end of a sync under the grant: a mirror that finds far
/// fewer does not believe it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RememberSourceRequest {
    pub token: String,
    /// Its instance id.
    pub source: String,
    pub collection: Collection,
    pub count: u64,
}

impl Call for RememberSourceRequest {
    const PATH: &'static str = "mirror/source";
    type Answer = Nothing;
}
