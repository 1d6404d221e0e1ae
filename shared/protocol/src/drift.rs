//! What the last comparison of a target found. Redis keeps it: the command that compared writes it, workers make a metric of
//! it, `serve` and `status` show it.

use serde::{Deserialize, Serialize};

/// What `drift` or `verify` found last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// What the target was compared with.
    pub source: String,
    /// Items that are not the same on both sides.
    pub differ: u64,
    /// When, in UTC, and who asked.
    pub at: String,
    pub by: String,
}

impl Drift {
    /// Under which name the queue keeps what was found of a target.
    pub fn name(target: &str) -> String {
        format!("drift:{target}")
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and a number always encode")
    }

    /// What cannot be read is as if nobody had compared.
    pub fn decode(kept: &[u8]) -> Option<Self> {
        serde_json::from_slice(kept).ok()
    }
}
