//! A testing aid: one line of JSON for each commit and for each change of the grant, in the order in which they
//! happened, so that tests can tell who wrote what, when, and with what right.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use protocol::collection::Collection;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::settings::Clock;

pub(crate) struct CommitLog {
    path: PathBuf,
    now: Clock,
    lock: Mutex<()>,
}

impl CommitLog {
    pub fn new(path: &Path, now: Clock) -> Self {
        Self { path: path.into(), now, lock: Mutex::new(()) }
    }

    /// To be called while the grant is held: after the commit, and before anybody can change the grant.
    pub fn committed(&self, token: &str, run: &str, collection: &Collection, identities: &[&str]) {
        let collection = collection.name();
        self.append(json!({
            "time_ms": self.now_ms(), "token_hash": hash(token), "run": run, "collection": collection,
            "identities": identities,
        }));
    }

    /// To be called while nobody can write: this grant (token and run) is open from now on, or none is.
    pub fn granted(&self, open: Option<(&str, &str)>) {
        let grant = open.map(|(token, run)| json!({ "token_hash": hash(token), "run": run }));
        self.append(json!({ "time_ms": self.now_ms(), "grant": grant }));
    }

    fn append(&self, line: Value) {
        let _one_at_a_time = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let file = OpenOptions::new().create(true).append(true).open(&self.path);
        if let Err(error) = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())) {
            tracing::warn!(file = %self.path.display(), error = %error, "the commit log could not be written");
        }
    }

    fn now_ms(&self) -> u64 {
        let time_ms = (self.now)().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        u64::try_from(time_ms).unwrap_or(u64::MAX)
    }
}

fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}
