//! Whether somebody saved a document while a run worked: their work is never overwritten blindly.

use std::time::UNIX_EPOCH;

use protocol::canonical::{DocHash, Document, Value};

use super::Storage;
use super::index::Mark;

/// What a run is compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Since {
    /// The run, as the index has it.
    pub run: i64,
    /// When it was planned, in Unix seconds of this clock; none = it does not say.
    began: Option<i64>,
    now: i64,
}

impl Since {
    /// Whether what is there now was saved by somebody else since the run began, in its very first second included: what
    /// a run of ours wrote is known by its mark, whichever run that was. A time in the future is no time of a save, so it
    /// protects nothing.
    pub fn was_saved_by_others(&self, current: &[u8], hash: DocHash, mark: Option<Mark>) -> bool {
        let Some(began) = self.began else { return false };
        if mark.is_some_and(|mark| mark.hash == hash) {
            return false;
        }
        let Ok(document) = Document::parse(current) else { return false };
        matches!(document.get("_modified"), Some(Value::Integer(saved)) if *saved >= began && *saved <= self.now)
    }
}

impl Storage {
    pub(crate) fn since(&self, run: i64, began: Option<i64>) -> Since {
        let now = (self.settings.now)().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Since { run, began, now: now.try_into().unwrap_or(i64::MAX) }
    }
}
