//! Whether somebody saved a document while a run worked: their work is never overwritten blindly.

use std::time::UNIX_EPOCH;

use protocol::canonical::{DocHash, Document, Value};

use super::Storage;
use super::fault::Answer;
use super::index::{IndexRow, Seen};

/// What a run is compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Since {
    /// The run, and what it saw first.
    pub seen: Seen,
    /// When it was planned, in Unix seconds of this clock; none = it does not say.
    began: Option<i64>,
    now: i64,
}

impl Since {
    /// Whether what is there now was saved by somebody else since the run began: it is not what the run saw first, or
    /// says so itself (the very second of the plan included, for a run that waited before it looked). What a run of
    /// ours wrote is known by its mark, whichever run that was. A time in the future is no time of a save, so it protects
    /// nothing.
    pub fn was_saved_by_others(&self, current: &[u8], hash: DocHash, row: &IndexRow) -> bool {
        if row.mark.is_some_and(|mark| mark.hash == hash) {
            return false;
        }
        if self.seen.is_new(row) {
            return true;
        }
        let Some(began) = self.began else { return false };
        let Ok(document) = Document::parse(current) else { return false };
        matches!(document.get("_modified"), Some(Value::Integer(saved)) if *saved >= began && *saved <= self.now)
    }
}

impl Storage {
    /// `collection` and `run` as the index and the run's grant name them.
    pub(crate) fn since(&self, collection: i64, run: &str, began: Option<i64>) -> Answer<Since> {
        let now = (self.settings.now)().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let seen = self.seen(collection, run)?;
        Ok(Since { seen, began, now: now.try_into().unwrap_or(i64::MAX) })
    }

    pub(crate) fn seen(&self, collection: i64, run: &str) -> Answer<Seen> {
        let lookup = self.index.lock();
        lookup.seen(collection, lookup.run(run)?)
    }
}
