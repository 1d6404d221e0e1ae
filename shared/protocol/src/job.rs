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
    /// Rows `from_row..=to_row` of the source; none = to the end.
    Batch {
        collection: Collection,
        from_row: u64,
        to_row: Option<u64>,
        /// The target has (almost) nothing of it: send documents with the first listing.
        fresh: bool,
    },
    /// Compare one collection once more, expecting nothing.
    Verify { collection: Collection },
    /// Give the grant back.
    Close,
}

/// A payload that this process cannot execute.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("made by a newer version of cockpit-sync (envelope version {0}, this one knows 1): update this worker")]
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
    /// The queue's name for it: shown in lists, never decoded.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Collection { .. } => "collection",
            Self::Batch { .. } => "batch",
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
            Job::Batch { collection: posts.clone(), from_row: 1, to_row: Some(2000), fresh: true },
            Job::Batch { collection: posts.clone(), from_row: 2001, to_row: None, fresh: false },
            Job::Verify { collection: posts },
            Job::Close,
        ] {
            assert_eq!(Job::decode(&job.encode()).unwrap(), job);
        }
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
