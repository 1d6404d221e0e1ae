//! Job payloads: a closed set, in a versioned envelope of MessagePack with named fields.

use serde::{Deserialize, Serialize};

use crate::api::UndoPart;
use crate::collection::Collection;
use crate::{msgpack, trace};

/// What a worker executes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Ask the target's agent for the grant.
    Open,
    /// Look whether both sides are what a plan says, before anything of it is carried out.
    Expect,
    /// Bring one collection over: compares summaries and, where they differ, splits itself into batches.
    Collection { collection: Collection },
    /// Bring some of its documents over.
    Batch(Batch),
    /// List what a mirror may delete of one collection.
    Candidates { collection: Collection },
    /// Decide on all that is listed.
    Decide,
    /// Delete what is listed of one collection.
    Deletes { collection: Collection },
    /// Bring the assets over, or folders of assets, that the selected documents need.
    Embedded(Embedded),
    /// Compare one collection once more, expecting nothing.
    Verify { collection: Collection },
    /// The same for what the selected documents need.
    VerifyEmbedded(Embedded),
    /// Put back what a run overwrote in a collection (by its name, or the files of assets), or remove what it created.
    Undo { collection: String, part: UndoPart },
    /// See that there is nothing left to undo.
    VerifyUndo { collection: String },
    /// Give the grant back.
    Close,
}

/// Part of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    pub collection: Collection,
    pub rows: Rows,
    /// The target has nothing of it: send documents with the first listing.
    pub fresh: bool,
}

/// The assets that documents embed, or the folders these are in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embedded {
    /// The assets or the folders.
    pub wanted: Collection,
    /// Where the documents are: in these collections, as far as the run selects them.
    pub by: Vec<Collection>,
    /// Which of how many parts of what is wanted, so that its names fit a worker's memory (I8).
    pub part: u32,
    pub parts: u32,
}

/// Documents of a collection at the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    /// Row ids, both inclusive; without `to` to the end, rows that come into being meanwhile included.
    Range { from: u64, to: Option<u64> },
    /// These documents.
    Identities(Vec<String>),
}

/// Where an open-ended batch is cut in two: nobody knows where it ends.
const CUT_AFTER: u64 = 1000;

impl Batch {
    /// Two batches that together are this one; none when it is a single row.
    pub fn halves(&self) -> Option<[Self; 2]> {
        let half = |rows| Self { rows, ..self.clone() };
        self.rows.halves().map(|halves| halves.map(half))
    }

    /// All rows of a collection.
    pub fn whole(collection: Collection) -> Self {
        Self { collection, rows: Rows::all(), fresh: false }
    }
}

impl Rows {
    pub fn all() -> Self {
        Self::Range { from: 0, to: None }
    }

    fn halves(&self) -> Option<[Self; 2]> {
        let (from, to) = match self {
            Self::Identities(identities) if identities.len() > 1 => {
                let (low, high) = identities.split_at(identities.len() / 2);
                return Some([Self::Identities(low.to_vec()), Self::Identities(high.to_vec())]);
            }
            Self::Identities(_) => return None,
            Self::Range { from, to } => (*from, *to),
        };
        let middle = match to {
            None => from.saturating_add(CUT_AFTER - 1),
            Some(to) if to > from => from + (to - from) / 2,
            Some(_) => return None,
        };
        Some([Self::Range { from, to: Some(middle) }, Self::Range { from: middle + 1, to }])
    }
}

/// A payload that this process cannot execute.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error(
        "made by a newer version of cockpit-sync (envelope version {0}, this one knows 1): a newer worker is needed"
    )]
    Newer(u32),
    /// What was added without a new version of the envelope: a kind of job, or a word in one.
    #[error("made by a newer version of cockpit-sync ({0}): a newer worker is needed")]
    Unknown(String),
    #[error("not a job payload: {0}")]
    Undecodable(String),
}

/// Of payloads. A worker hands back what is newer than its own.
pub const ENVELOPE_VERSION: u32 = 1;

/// A job, and what made it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Envelope {
    pub job: Job,
    /// The W3C `traceparent` of what made the job, if that is recorded: the command, or the job that it was split from.
    #[serde(default)]
    pub traceparent: Option<String>,
}

#[derive(Serialize)]
struct Written<'a> {
    v: u32,
    job: &'a Job,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
}

#[derive(Deserialize)]
struct EnvelopeVersion {
    v: u32,
}

impl Envelope {
    /// Decodes a payload. The version is read first: what is newer is told apart from what is broken.
    pub fn decode(payload: &[u8]) -> Result<Self, JobError> {
        let version: EnvelopeVersion = msgpack::read(payload)?;
        if version.v > ENVELOPE_VERSION {
            return Err(JobError::Newer(version.v));
        }
        Ok(msgpack::read(payload)?)
    }
}

impl From<msgpack::Error> for JobError {
    fn from(error: msgpack::Error) -> Self {
        match msgpack::unknown_word(&error) {
            Some(word) => Self::Unknown(word.into()),
            None => Self::Undecodable(error.to_string()),
        }
    }
}

impl Job {
    /// Its last failure ends the run; others are set aside as dead.
    pub fn is_control(&self) -> bool {
        match self {
            Self::Open
            | Self::Expect
            | Self::Collection { .. }
            | Self::Candidates { .. }
            | Self::Decide
            | Self::Embedded(_)
            | Self::Verify { .. }
            | Self::VerifyEmbedded(_)
            | Self::Undo { .. }
            | Self::VerifyUndo { .. }
            | Self::Close => true,
            Self::Batch(_) | Self::Deletes { .. } => false,
        }
    }

    /// The collection it is about, if it is about one.
    pub fn collection(&self) -> Option<&Collection> {
        match self {
            Self::Open | Self::Expect | Self::Decide | Self::Undo { .. } | Self::VerifyUndo { .. } | Self::Close => {
                None
            }
            Self::Batch(batch) => Some(&batch.collection),
            Self::Embedded(what) | Self::VerifyEmbedded(what) => Some(&what.wanted),
            Self::Collection { collection }
            | Self::Candidates { collection }
            | Self::Deletes { collection }
            | Self::Verify { collection } => Some(collection),
        }
    }

    /// The queue's name for it: shown in lists, never decoded.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Expect => "expect",
            Self::Collection { .. } => "collection",
            Self::Batch(_) => "batch",
            Self::Candidates { .. } => "candidates",
            Self::Decide => "decide",
            Self::Deletes { .. } => "deletes",
            Self::Embedded(_) => "embedded",
            Self::Verify { .. } | Self::VerifyEmbedded(_) => "verify",
            Self::Undo { .. } => "undo",
            Self::VerifyUndo { .. } => "verify_undo",
            Self::Close => "close",
        }
    }

    /// A payload: this job, made by what this task does now.
    pub fn encode(&self) -> Vec<u8> {
        self.encode_as_made_by(trace::current().as_deref())
    }

    pub fn encode_as_made_by(&self, traceparent: Option<&str>) -> Vec<u8> {
        rmp_serde::to_vec_named(&Written { v: ENVELOPE_VERSION, job: self, traceparent })
            .expect("a job has no map with keys that are not strings")
    }

    /// As [`Envelope::decode`], for those who only want the job.
    pub fn decode(payload: &[u8]) -> Result<Self, JobError> {
        Envelope::decode(payload).map(|envelope| envelope.job)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_job_comes_back_from_its_payload() {
        let posts = Collection::Items("posts".into());
        for job in [
            Job::Open,
            Job::Expect,
            Job::Collection { collection: Collection::Locales },
            Job::Batch(Batch { collection: posts.clone(), rows: Rows::Range { from: 1, to: Some(2000) }, fresh: true }),
            Job::Batch(Batch { collection: posts.clone(), rows: Rows::Identities(vec!["a".into()]), fresh: false }),
            Job::Candidates { collection: posts.clone() },
            Job::Decide,
            Job::Deletes { collection: posts.clone() },
            Job::Embedded(Embedded { wanted: Collection::Assets, by: vec![posts.clone()], part: 0, parts: 2 }),
            Job::Verify { collection: posts },
            Job::Undo { collection: "assets/files".into(), part: UndoPart::Remove },
            Job::VerifyUndo { collection: "assets".into() },
            Job::Close,
        ] {
            assert_eq!(Job::decode(&job.encode()).unwrap(), job);
        }
    }

    #[test]
    fn a_job_says_what_made_it_where_that_is_recorded() {
        let made_by = |payload: Vec<u8>| Envelope::decode(&payload).unwrap().traceparent;
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(made_by(Job::Open.encode_as_made_by(Some(traceparent))).as_deref(), Some(traceparent));
        assert_eq!(made_by(Job::Open.encode()), None);
    }

    #[test]
    fn halves_of_a_batch_are_the_batch() {
        let range = |from, to| Rows::Range { from, to };
        assert_eq!(range(5, Some(8)).halves(), Some([range(5, Some(6)), range(7, Some(8))]));
        assert_eq!(range(5, Some(5)).halves(), None);
        assert_eq!(Rows::all().halves(), Some([range(0, Some(999)), range(1000, None)]));
        let these = |names: &[&str]| Rows::Identities(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(these(&["a", "b", "c"]).halves(), Some([these(&["a"]), these(&["b", "c"])]));
        assert_eq!(these(&["a"]).halves(), None);
    }

    #[test]
    fn a_newer_envelope_is_told_apart_from_a_broken_one() {
        #[derive(Serialize)]
        struct Future {
            v: u32,
            job: &'static str,
        }
        let newer = rmp_serde::to_vec_named(&Future { v: 2, job: "teleport" }).unwrap();
        assert!(matches!(Job::decode(&newer), Err(JobError::Newer(2))));
        let unknown = rmp_serde::to_vec_named(&Future { v: 1, job: "teleport" }).unwrap();
        assert!(Job::decode(&unknown).unwrap_err().to_string().contains("`teleport`): a newer worker is needed"));
        for broken in [&b""[..], b"\xc1", b"{\"v\":1}", &[0x81, 0xa1, b'v', 0x01]] {
            assert!(matches!(Job::decode(broken), Err(JobError::Undecodable(_))), "{broken:?}");
        }
    }
}
