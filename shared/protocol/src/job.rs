//! Job payloads: a closed set, in a versioned envelope of MessagePack with named fields.

use serde::{Deserialize, Serialize};

use crate::collection::Collection;

/// What a worker executes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Ask the target's agent for the grant.
    Open,
    /// Bring one collection over: compares summaries and, where they differ, splits itself into batches.
    Collection { collection: Collection },
    /// Bring a range of its rows over.
    Batch(Batch),
    /// Compare one collection once more, expecting nothing.
    Verify { collection: Collection },
    /// Give the grant back.
    Close,
}

/// A range of a collection's rows at the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    pub collection: Collection,
    /// Inclusive.
    pub from_row: u64,
    /// Inclusive; none = to the end.
    pub to_row: Option<u64>,
    /// The target has nothing of it: send documents with the first listing.
    pub fresh: bool,
}

/// Where an open-ended batch is cut in two: nobody knows where it ends.
const CUT_AFTER: u64 = 1000;

impl Batch {
    /// Two batches that together are this one; none when it is a single row.
    pub fn halves(&self) -> Option<[Self; 2]> {
        let middle = match self.to_row {
            None => self.from_row.saturating_add(CUT_AFTER - 1),
            Some(to_row) if to_row > self.from_row => self.from_row + (to_row - self.from_row) / 2,
            Some(_) => return None,
        };
        let half = |from_row, to_row| Self { from_row, to_row, ..self.clone() };
        Some([half(self.from_row, Some(middle)), half(middle + 1, self.to_row)])
    }

    /// All rows of a collection.
    pub fn whole(collection: Collection) -> Self {
        Self { collection, from_row: 0, to_row: None, fresh: false }
    }
}

/// A payload that this process cannot execute.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error(
        "made by a newer version of cockpit-sync (envelope version {0}, this one knows 1): a newer worker is needed"
    )]
    Newer(u32),
    #[error("not a job payload: {0}")]
    Undecodable(String),
}

const ENVELOPE_VERSION: u32 = 1;

#[derive(Serialize)]
struct Envelope<'a> {
    v: u32,
    job: &'a Job,
}

#[derive(Deserialize)]
struct EnvelopeVersion {
    v: u32,
}

#[derive(Deserialize)]
struct DecodedEnvelope {
    job: Job,
}

impl Job {
    /// Its last failure ends the run; others are set aside as dead.
    pub fn is_control(&self) -> bool {
        match self {
            Self::Open | Self::Collection { .. } | Self::Verify { .. } | Self::Close => true,
            Self::Batch(_) => false,
        }
    }

    /// The queue's name for it: shown in lists, never decoded.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Collection { .. } => "collection",
            Self::Batch(_) => "batch",
            Self::Verify { .. } => "verify",
            Self::Close => "close",
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(&Envelope { v: ENVELOPE_VERSION, job: self })
            .expect("a job has no map with keys that are not strings")
    }

    /// Decodes a payload. The version is read first: what is newer is told apart from what is broken.
    pub fn decode(payload: &[u8]) -> Result<Self, JobError> {
        let version: EnvelopeVersion =
            rmp_serde::from_slice(payload).map_err(|error| JobError::Undecodable(error.to_string()))?;
        if version.v > ENVELOPE_VERSION {
            return Err(JobError::Newer(version.v));
        }
        rmp_serde::from_slice::<DecodedEnvelope>(payload)
            .map(|envelope| envelope.job)
            .map_err(|error| JobError::Undecodable(error.to_string()))
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
            Job::Collection { collection: Collection::Locales },
            Job::Batch(Batch { collection: posts.clone(), from_row: 1, to_row: Some(2000), fresh: true }),
            Job::Batch(Batch { collection: posts.clone(), from_row: 2001, to_row: None, fresh: false }),
            Job::Verify { collection: posts },
            Job::Close,
        ] {
            assert_eq!(Job::decode(&job.encode()).unwrap(), job);
        }
    }

    #[test]
    fn halves_of_a_batch_are_the_batch() {
        let batch = Batch { collection: Collection::Assets, from_row: 5, to_row: Some(8), fresh: false };
        let [low, high] = batch.halves().unwrap();
        assert_eq!((low.from_row, low.to_row, high.from_row, high.to_row), (5, Some(6), 7, Some(8)));
        assert_eq!(Batch { to_row: Some(5), ..batch }.halves(), None);
        let [low, high] = Batch::whole(Collection::Assets).halves().unwrap();
        assert_eq!((low.from_row, low.to_row, high.from_row, high.to_row), (0, Some(999), 1000, None));
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
        for broken in [&b""[..], b"\xc1", b"{\"v\":1}", &[0x81, 0xa1, b'v', 0x01]] {
            assert!(matches!(Job::decode(broken), Err(JobError::Undecodable(_))), "{broken:?}");
        }
    }
}
