//! Documents: how many, which, what they are, and writing them.

use serde::{Deserialize, Serialize};

use super::{Call, Nothing, Serves};
use crate::canonical::{CollectionSummary, DocHash};
use crate::collection::Collection;
use crate::selection::Selection;

/// How far a collection's rows reach: what a job needs to split itself by arithmetic.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExtentRequest {
    pub collection: Collection,
}

impl Call for ExtentRequest {
    const PATH: &'static str = "extent";
    type Answer = Extent;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Extent {
    /// False when the file or table of a known model is missing: an unproven listing.
    pub complete: bool,
    /// Smallest and largest row id; both 0 when there is no row.
    pub first_row: u64,
    pub last_row: u64,
}

/// Count and sum of all (identity, hash) pairs: two collections with equal summaries hold equal documents.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SummaryRequest {
    pub collection: Collection,
    #[serde(default, skip_serializing_if = "Selection::is_everything")]
    pub selection: Selection,
    /// The run that asks. The first time it does, the agent remembers what is there: what anybody changes from then on
    /// is told apart ([`Difference::Changed`], [`Difference::Deleted`], [`Documents::changed`]).
    pub run: Option<String>,
}

impl Call for SummaryRequest {
    const PATH: &'static str = "summary";
    type Answer = Summary;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    pub complete: bool,
    pub summary: CollectionSummary,
    /// Bytes of the documents.
    pub bytes: u64,
    /// Rows that hold no usable document, by name; at most 100 of `held_total`.
    pub held: Vec<HeldDocument>,
    pub held_total: u64,
    /// The run that asks had not asked before. If it had, what is here may be its own work.
    pub first_look: bool,
}

/// A page of a range of rows. Ask again from `next_row` until it is none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListRequest {
    pub collection: Collection,
    #[serde(default, skip_serializing_if = "Selection::is_everything")]
    pub selection: Selection,
    /// Inclusive.
    pub from_row: u64,
    /// Inclusive; none = to the end, rows that come into being meanwhile included.
    pub to_row: Option<u64>,
    /// Send the documents too: pages are then smaller.
    pub documents: bool,
}

impl Call for ListRequest {
    const PATH: &'static str = "list";
    type Answer = Listing;

    fn serves(&self) -> Serves {
        Serves::Everybody
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listing {
    pub complete: bool,
    pub entries: Vec<Entry>,
    /// Rows of this page that cannot be sent: malformed, duplicated, too large.
    pub held: Vec<HeldDocument>,
    pub next_row: Option<u64>,
}

/// One document of a listing. Field names are short: there are many of these.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// `_id`, or `_model`, `i18n`, `name` where the collection is recognised by that.
    #[serde(rename = "i")]
    pub identity: String,
    #[serde(rename = "h")]
    pub hash: DocHash,
    /// Bytes of the document.
    #[serde(rename = "s")]
    pub size: u32,
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none", with = "serde_bytes")]
    pub document: Option<Vec<u8>>,
}

/// A document set aside, with its cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldDocument {
    /// The identity, or "row N" where there is none.
    pub identity: String,
    pub cause: HeldCause,
    /// What is wrong and what to do, in words.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldCause {
    /// The row holds no JSON object, or no identity.
    Malformed,
    /// Another row with a lower row id has the same identity.
    Duplicate,
    /// Over 16 MiB.
    TooLarge,
    /// An asset it embeds is not on the target.
    MissingAsset,
    /// Its parent in the tree is not on the target.
    MissingParent,
    /// Its model is not on the target.
    MissingModel,
    /// The asset's file is not there, or not with the bytes its row promises.
    MissingFile,
    /// A path or name that is not allowed.
    Forbidden,
    /// It was changed on both sides since they agreed last, and the run was told to leave such ones alone.
    Conflict,
    /// It changed on the target while the run was about to write it, twice in a row.
    Contended,
    /// An editor has it open in Cockpit on the target.
    Locked,
    /// It is not what the run that is undone left there.
    ChangedSince,
    /// A transform of the config failed on it.
    Transform,
    /// Something else on the target mentions it, or lies below it: it is not deleted.
    InUse,
    /// The source cannot prove that it does not have it: it is not deleted.
    Unproven,
}

/// Which assets do the selected documents of a collection embed, or which folders are these in? A page; ask again from
/// `next_row` until it is none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EmbeddedRequest {
    pub collection: Collection,
    #[serde(default)]
    pub selection: Selection,
    pub from_row: u64,
    /// The assets or the folders.
    pub wanted: Collection,
    /// Without these.
    #[serde(default)]
    pub except: Selection,
    /// Only this one of so many parts, by the hash of the identity.
    pub part: u32,
    pub parts: u32,
}

impl Call for EmbeddedRequest {
    const PATH: &'static str = "embedded";
    type Answer = Embedded;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Embedded {
    /// Of what is there: each once in a page, sorted.
    pub identities: Vec<String>,
    pub next_row: Option<u64>,
}

/// Documents by identity. Asks again for what `not_sent` names.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DocumentsRequest {
    pub collection: Collection,
    pub identities: Vec<String>,
    /// The run that asks: see [`SummaryRequest::run`].
    pub run: Option<String>,
}

impl Call for DocumentsRequest {
    const PATH: &'static str = "documents";
    type Answer = Documents;

    fn serves(&self) -> Serves {
        if self.run.is_none() { Serves::Everybody } else { Serves::WhoAsks }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Documents {
    pub documents: Vec<Entry>,
    /// Not there (any more).
    pub missing: Vec<String>,
    /// Did not fit this answer.
    pub not_sent: Vec<String>,
    /// Of `documents`, those that are not what they were when the run first asked for a summary, nor written by it, and
    /// those that embed an asset which is not.
    pub changed: Vec<String>,
}

/// Which of these do you lack or hold different?
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DiffRequest {
    pub collection: Collection,
    /// Documents this run wrote already are answered as [`Difference::Written`], so that a job that runs twice
    /// counts once.
    pub run: String,
    pub entries: Vec<(String, DocHash)>,
    /// The source's instance id: what both sides have changed since they agreed last is told apart
    /// ([`Difference::Conflict`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Note of what is the same that this source agrees on it.
    #[serde(default)]
    pub agree: bool,
}

/// This is what the source holds. If it is what is here too, note that both agree on every document of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgreeRequest {
    pub collection: Collection,
    /// The source's instance id.
    pub source: String,
    #[serde(default, skip_serializing_if = "Selection::is_everything")]
    pub selection: Selection,
    pub summary: CollectionSummary,
}

impl Call for AgreeRequest {
    const PATH: &'static str = "agree";
    type Answer = Nothing;
}

impl Call for DiffRequest {
    const PATH: &'static str = "diff";
    type Answer = Diff;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Diff {
    /// In the order of the request.
    pub differences: Vec<Difference>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    Same,
    /// The same, because this run wrote it.
    Written(Wrote),
    /// This run wrote it, and somebody changed or deleted it on the target since: it is left as it is.
    Edited(Wrote),
    Lacks,
    /// Not there; it was when this run first asked for a summary, and somebody deleted it since.
    Deleted,
    Differs(DocHash),
    /// Differs, and is not what it was when this run first asked for a summary: somebody changed it since, and no run.
    Changed(DocHash),
    /// Differs, and neither side is what both agreed on last.
    Conflict(DocHash),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrote {
    Created,
    Updated,
}

/// One transaction under the grant (I4, I5).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WriteRequest {
    pub token: String,
    pub collection: Collection,
    /// Unix seconds to set as `_modified`; none keeps the source's.
    ///
    /// It is the target's clock when the run was planned. So a document there whose own `_modified` is not earlier, and
    /// not in the future, was saved by somebody while the run worked; as was one that is not what it was when the run
    /// first asked for a summary. Unless a run wrote it as it is, it is answered [`WriteOutcome::Conflict`] even where
    /// `expect` holds.
    pub modified: Option<i64>,
    /// Writes also what an editor has open in Cockpit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub override_locks: bool,
    pub documents: Vec<WriteDocument>,
}

impl Call for WriteRequest {
    const PATH: &'static str = "write";
    type Answer = Written;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WriteDocument {
    #[serde(rename = "i")]
    pub identity: String,
    /// The hash of what is there now, as the run saw it; none = nothing is there.
    #[serde(rename = "e")]
    pub expect: Option<DocHash>,
    #[serde(rename = "d")]
    pub body: Body,
}

/// A document's bytes, or the name of an upload that holds them (for what does not fit a write).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    Inline(#[serde(with = "serde_bytes")] Vec<u8>),
    /// SHA-256 in hex.
    Upload(String),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Written {
    /// In the order of the request.
    pub outcomes: Vec<WriteOutcome>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteOutcome {
    Created,
    Updated,
    /// It was there already, the same.
    Unchanged,
    /// `expect` did not hold, or it was saved since the run began: this is there now. Nothing was written.
    Conflict(Option<DocHash>),
    Held {
        cause: HeldCause,
        message: String,
    },
}
