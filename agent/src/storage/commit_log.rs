//! A testing aid: one line of JSON for each commit, so that tests can tell who wrote what, when.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use protocol::collection::Collection;
use sha2::{Digest, Sha256};

use super::Storage;

pub(crate) struct CommitLog {
    path: PathBuf,
    lock: Mutex<()>,
}

impl CommitLog {
    pub fn new(path: &Path) -> Self {
        Self { path: path.into(), lock: Mutex::new(()) }
    }
}

impl Storage {
    /// To be called while the grant is held.
    pub(crate) fn log_commit(&self, token: &str, run: &str, collection: &Collection, identities: &[&str]) {
        let Some(log) = &self.commit_log else { return };
        let time_ms = (self.settings.now)().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let line = serde_json::json!({
            "time_ms": u64::try_from(time_ms).unwrap_or(u64::MAX),
            "token_hash": hex::encode(Sha256::digest(token.as_bytes())),
            "run": run,
            "collection": collection.name(),
            "identities": identities,
        });
        let _one_at_a_time = log.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let file = OpenOptions::new().create(true).append(true).open(&log.path);
        if let Err(error) = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())) {
            tracing::warn!(file = %log.path.display(), error = %error, "the commit log could not be written");
        }
    }
}
