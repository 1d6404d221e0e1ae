//! One Cockpit storage: reads and writes its documents and files for signed requests.
//!
//! Owns everything that touches Cockpit's files. It must not know HTTP, keys or Redis. All of it blocks: call it from
//! threads that may.
//!
//! Locks are taken in this order: the grant, app.memory.sqlite, a SQLite file, app.sqlite for the assets' rows, the index
//! or state.db. Whoever holds one takes only later ones; the images lie between the index and state.db. (Voiding the grant
//! happens under a file's lock: it sets a mark and never waits.)

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use protocol::api::{
    ActionsFound, ActionsRequest, AgentError, CloseGrant, CloseWhich, ErrorCode, GrantClosed, GrantOpened, Nothing,
    OpenGrant, Receipt, ReceiptFound, ReceiptRequest, RenewGrant, SyncLock,
};
use protocol::audit::Action;
use protocol::collection::Collection;

mod addons;
mod agreed;
mod allowing;
mod analysis;
mod asset_rows;
pub(crate) mod commit_log;
mod comparing;
mod database;
mod edit_locks;
mod editors;
mod embedding;
pub(crate) mod fault;
mod files;
mod fingerprint;
mod following;
mod health;
mod images;
mod index;
mod manifest;
mod memory_cache;
pub(crate) mod mirror;
mod model_store;
mod model_writing;
mod models;
mod opening;
pub(crate) mod owner;
mod parts;
mod place;
mod prepared;
mod reading;
mod settings;
mod start;
mod summary;
mod sums;
mod table;
mod undo;
mod upload_path;
mod uploads;
mod writing;

pub use images::UndoLimits;
pub(crate) use place::Layout;
pub use settings::{Clock, Places, StartError, StorageSettings};

use crate::actions::Actions;
use crate::audit::{AuditLog, Durable, by_itself};
use crate::cockpit_config::CockpitConfig;
use crate::grant::Grants;
use crate::keys::KeyRing;
use crate::records::Records;
use crate::state::State;
use agreed::Agreed;
use asset_rows::AssetRows;
use commit_log::CommitLog;
use database::Database;
use fault::{Answer, At};
use images::Images;
use index::Index;
use memory_cache::ModelCache;
use model_store::ModelStore;
use table::Table;
use uploads::Uploads;

/// Between two looks for what is too old, by the clock that says what is.
const SWEEP_EVERY_MS: u64 = 600_000;

/// An open storage. Many threads may call it at once.
pub struct Storage {
    settings: StorageSettings,
    layout: Layout,
    config: CockpitConfig,
    cockpit_version: Option<String>,
    state: Arc<State>,
    grants: Grants,
    audit: Arc<AuditLog>,
    keys: Arc<KeyRing>,
    actions: Arc<Actions>,
    records: Arc<Records>,
    images: Images,
    index: Index,
    agreed: Agreed,
    databases: Mutex<HashMap<String, Arc<Database>>>,
    tables: Mutex<HashMap<Collection, Table>>,
    asset_rows: AssetRows,
    models: ModelStore,
    model_cache: ModelCache,
    uploads: Uploads,
    commit_log: Option<Arc<CommitLog>>,
    swept: Mutex<Swept>,
    rows_looked_at: AtomicU64,
}

/// How far it was looked for what is too old.
#[derive(Default)]
struct Swept {
    /// In milliseconds of the clock.
    at: Option<i64>,
    /// Of the files whose hashes are known: a few each time.
    files_behind: String,
}

impl Storage {
    /// The random id of this instance.
    pub fn instance(&self) -> &str {
        self.state.instance()
    }

    /// `sync.syncKey` of Cockpit's own config.php.
    pub fn config_key(&self) -> Option<String> {
        self.config.sync_key.clone()
    }

    /// Whether requests can be served: the storage is there, and the agent can write its own state. In words, if not.
    pub fn check_ready(&self) -> Result<(), String> {
        let data = &self.layout.data;
        std::fs::read_dir(data).map_err(|error| format!("{}: {error}", data.display()))?;
        let probe = self.state.directory().join("writable");
        let written = std::fs::write(&probe, b"?").and_then(|()| std::fs::remove_file(&probe));
        written.map_err(|error| format!("{}: {error}", self.state.directory().display()))
    }

    /// Cockpit's version, for `check`.
    pub fn version_for_check(&self) -> Option<String> {
        self.cockpit_version.clone()
    }

    /// Writes into the lock file where this agent listens, for the one that is refused because of it.
    pub fn note_address(&self, address: &str) {
        self.state.note_address(address);
    }

    pub fn open_grant(&self, request: &OpenGrant) -> Answer<GrantOpened> {
        self.allow_writing()?;
        if let Some(lock) = self.sync_lock()
            && !self.grants.is_open(&request.grant_id)
        {
            let message = format!(
                "Cockpit's own sync holds {} for {} s: wait for it, or remove that file if no sync is running",
                lock.path, lock.age_seconds
            );
            return Err(AgentError::new(ErrorCode::SyncLock, message));
        }
        self.void_if_replaced();
        let opened = self.grants.open(request)?;
        self.records.opened(request, self.now_ms())?;
        self.finish_records(None);
        Ok(opened)
    }

    pub fn renew_grant(&self, request: &RenewGrant) -> Answer<Nothing> {
        self.grants.renew(&request.token)?;
        Ok(Nothing {})
    }

    pub fn close_grant(&self, request: &CloseGrant) -> Answer<GrantClosed> {
        let mut closed = self.grants.close(request)?;
        let run = match &request.which {
            CloseWhich::Run(run) => Some(run),
            CloseWhich::Any => closed.was_open.as_ref().map(|grant| &grant.run),
        };
        self.finish_records(run.map(|run| (run.as_str(), request.reason.as_str())));
        if let Some(run) = run
            && let Some((_, receipt)) = self.records.find(run)?
        {
            closed.actions = self.actions.closed(&receipt, self.now_ms())?;
        }
        Ok(closed)
    }

    /// How the agent's own actions went after a run.
    pub fn actions_of(&self, request: &ActionsRequest) -> Answer<ActionsFound> {
        self.actions.of_run(&request.run)
    }

    pub(crate) fn actions(&self) -> &Arc<Actions> {
        &self.actions
    }

    pub(crate) fn audit(&self) -> &Arc<AuditLog> {
        &self.audit
    }

    pub(crate) fn keys(&self) -> &Arc<KeyRing> {
        &self.keys
    }

    /// The run that has the right to write.
    pub(crate) fn holder(&self) -> Option<String> {
        self.grants.info().map(|grant| grant.run)
    }

    /// What this agent remembers of a run.
    pub fn receipt(&self, request: &ReceiptRequest) -> Answer<ReceiptFound> {
        self.records.save()?;
        let found = self.records.find(&request.run)?;
        let receipt = found.map(|(record, receipt)| Receipt { undo: self.images.state_of(&record), ..receipt });
        Ok(ReceiptFound { receipt })
    }

    /// Content does not wait for receipts: what fails here is done when it is looked at next.
    fn finish_records(&self, closed: Option<(&str, &str)>) {
        let holder = self.grants.info().map(|grant| grant.run);
        let finished = self.images.finish(holder.as_deref(), closed, self.now_ms());
        log_failure("a receipt could not be finished", finished);
    }

    /// To be called about every second: closes what was not used for a while, so that Cockpit's -wal files vanish.
    pub fn idle(&self) {
        self.void_if_replaced();
        for database in self.all_databases() {
            let closed = database.idle(|open, fingerprint| self.remember(&database.name, open, &fingerprint.text));
            log_failure("a database could not be closed", closed);
        }
        log_failure("the models could not be cached again", self.refresh_model_cache());
        log_failure("the grant could not be stored", self.grants.save());
        log_failure("what runs saw could not be stored", self.records.save());
        if self.keys.reload() {
            let ids: Vec<String> = self.keys.all().iter().map(|key| format!("{} ({})", key.id, key.purpose)).collect();
            let entry = by_itself(Action::KeysChanged, format!("accepted are {}", ids.join(", ")));
            log_failure("new keys could not be written to the audit log", self.audit.append(entry, Durable::Soon));
        }
        self.save_key_uses(false);
        log_failure("the audit log could not be written", self.audit.save(false));
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = self.now_ms();
        if swept.at.is_none_or(|at| now_ms.abs_diff(at) >= SWEEP_EVERY_MS) {
            swept.at = Some(now_ms);
            log_failure("old uploads could not be removed", self.sweep_uploads());
            log_failure("old images could not be removed", self.images.prune(now_ms));
            log_failure("what runs saw could not be forgotten", self.index.lock().prune_memory(now_ms));
            let looked = self.index.lock().prune_files(&mut swept.files_behind);
            log_failure("hashes of files that are gone could not be forgotten", looked);
            for shrunk in [self.state.shrink(), self.agreed.shrink(), self.index.lock().shrink()] {
                log_failure("the agent's own files could not be made smaller", shrunk);
            }
        }
    }

    /// Gives everything back. No call may follow.
    pub fn close(&self) {
        log_failure("the grant could not be stored", self.grants.save());
        log_failure("what runs saw could not be stored", self.records.save());
        self.save_key_uses(true);
        log_failure("the audit log could not be written", self.audit.save(true));
        self.images.close();
        for database in self.all_databases() {
            let closed = database.close(|open, fingerprint| self.remember(&database.name, open, &fingerprint.text));
            log_failure("a database was not closed in order", closed);
        }
        self.index.close();
        self.state.release();
    }

    fn save_key_uses(&self, end: bool) {
        if let Err(error) = self.keys.save(end) {
            tracing::warn!(%error, "when keys were used could not be written");
        }
    }

    /// A testing aid: lets the file of a collection grow by so many pages at most, until its connection is closed.
    /// What exceeds it fails as a full disk does.
    #[doc(hidden)]
    pub fn limit_pages_for_test(&self, collection: &Collection, pages: u32) -> Answer<()> {
        let table = self.table(collection)?;
        let database = self.database(&table.file)?;
        let mut locked = self.locked(&database)?;
        let Some(open) = locked.open() else { return Ok(()) };
        let count: u32 = open.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).at(&database.path)?;
        open.connection.pragma_update(None, "max_page_count", count + pages).at(&database.path)
    }

    /// A testing aid: so many rows of Cockpit's tables were read since the start.
    #[doc(hidden)]
    pub fn rows_looked_at(&self) -> u64 {
        self.rows_looked_at.load(Ordering::Relaxed)
    }

    /// To be called while the grant is held.
    fn log_commit(&self, token: &str, run: &str, collection: &Collection, identities: &[&str]) {
        if let Some(log) = &self.commit_log {
            log.committed(token, run, collection, identities);
        }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        let since_epoch = (self.settings.now)().duration_since(UNIX_EPOCH).unwrap_or_default();
        since_epoch.as_millis().try_into().unwrap_or(i64::MAX)
    }

    fn sync_lock(&self) -> Option<SyncLock> {
        let path = self.layout.sync_lock();
        let modified = std::fs::metadata(&path).ok()?.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let age = (self.settings.now)().duration_since(modified).unwrap_or_default();
        Some(SyncLock { path: path.display().to_string(), age_seconds: age.as_secs() })
    }
}

fn log_failure(what: &str, result: Answer<()>) {
    if let Err(error) = result {
        tracing::warn!(error = %error, "{what}");
    }
}
