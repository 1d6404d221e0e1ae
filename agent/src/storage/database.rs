//! One of Cockpit's SQLite files: one connection, opened when needed, closed when idle.
//!
//! Knows files, connections and whether somebody else wrote; not what the tables hold. One connection under one lock
//! serves reads and writes: SQLite's `data_version` then says exactly whether anybody else has committed anything.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use protocol::api::AgentError;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::fault::{Answer, At, busy};
use super::fingerprint::{Fingerprint, wal_of};
use super::owner;
use super::place::FileId;
use super::table::TableState;

/// Cockpit holds its write lock for a fraction of a second; a caller that comes back later does not block a thread.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);
/// More writers than this are told to come back.
const MAX_WAITING_WRITERS: usize = 32;
/// Nothing is added to a -wal of this size as long as somebody's long read keeps it from being moved into its file.
const MAX_WAL_BYTES: u64 = 64 << 20;
/// A connection that was not used for so long moves the -wal into the file ...
const CHECKPOINT_AFTER: Duration = Duration::from_secs(1);
/// ... and is closed when the file has rested for so long, so that its fingerprint proves something.
const CLOSE_AFTER: Duration = Duration::from_millis(2500);

pub(crate) struct Database {
    pub name: String,
    pub path: PathBuf,
    slot: Mutex<Slot>,
    waiting_writers: AtomicUsize,
}

#[derive(Default)]
struct Slot {
    open: Option<Open>,
    /// The file as it was last seen. Outer none: not looked at yet. Inner none: it was not there.
    seen: Option<Option<FileId>>,
    /// Another file lies there than the one that was seen, and nobody has drawn the consequences yet.
    replaced: bool,
    generation: u64,
}

/// An open connection.
pub(crate) struct Open {
    pub connection: Connection,
    pub id: FileId,
    /// Its fingerprint before it was opened, if nothing happened to the file until then.
    pub fingerprint_at_open: Option<String>,
    data_version: i64,
    pub tables: HashMap<String, TableState>,
    used: Instant,
    checkpointed: bool,
    is_new: bool,
}

/// The file, locked. There may be no file.
pub(crate) struct Locked<'a> {
    slot: MutexGuard<'a, Slot>,
    database: &'a Database,
}

impl Database {
    /// `seen` is the file that was there when the agent ran last, if it remembers.
    pub fn new(name: &str, path: PathBuf, seen: Option<FileId>) -> Self {
        let slot = Slot { seen: seen.map(Some), ..Slot::default() };
        Self { name: name.into(), path, slot: Mutex::new(slot), waiting_writers: AtomicUsize::new(0) }
    }

    /// Waits for the file, opens it if it is there, and looks whether it is still the same one.
    pub fn lock(&self) -> Answer<Locked<'_>> {
        let slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        self.made_ready(slot)
    }

    /// The same for a writer, which does not wait behind too many others.
    pub fn lock_to_write(&self) -> Answer<Locked<'_>> {
        let waiting = Waiting::enter(&self.waiting_writers)?;
        let mut locked = self.lock()?;
        drop(waiting);
        locked.refuse_endless_wal()?;
        Ok(locked)
    }

    fn made_ready<'a>(&'a self, mut slot: MutexGuard<'a, Slot>) -> Answer<Locked<'a>> {
        let present = FileId::at(&self.path).at(&self.path)?;
        slot.note(present);
        if slot.open.is_none() && present.is_some() {
            slot.open = Open::new(&self.path)?;
            slot.generation += 1;
        }
        let mut locked = Locked { slot, database: self };
        locked.notice_others()?;
        Ok(locked)
    }

    /// Called now and then: closes the connection when nobody needed it for a while. `before_close` is asked just
    /// before, while what is known of the tables still holds.
    pub fn idle(&self, before_close: impl FnOnce(&mut Open, &Fingerprint) -> Answer<()>) -> Answer<()> {
        let mut slot = match self.slot.try_lock() {
            Ok(slot) => slot,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(()),
        };
        let Some(open) = slot.open.as_mut() else { return Ok(()) };
        let unused = open.used.elapsed();
        if unused >= CHECKPOINT_AFTER
            && !open.checkpointed
            && let Err(error) = open.checkpoint()
        {
            tracing::debug!(error = %error, "the -wal was not moved into its file: somebody is using it");
        }
        if unused < CLOSE_AFTER {
            return Ok(());
        }
        let fingerprint = Fingerprint::of_database(&self.path).at(&self.path)?;
        let is_same_file = FileId::at(&self.path).at(&self.path)? == Some(open.id);
        let unchanged = open.data_version().at(&self.path)? == open.data_version;
        match fingerprint {
            // Closed a moment later, when the fingerprint proves something. But a busy neighbour does not put it off
            // for ever.
            Some(fingerprint) if !fingerprint.is_settled() && unused < 4 * CLOSE_AFTER => return Ok(()),
            Some(fingerprint) if fingerprint.is_settled() && unchanged && is_same_file => {
                before_close(open, &fingerprint)?;
            }
            _ => {}
        }
        slot.open = None;
        Ok(())
    }

    /// Whether another file lies there than the one that was used. Does not wait: false when the file is in use.
    pub fn looks_replaced(&self) -> bool {
        let Ok(slot) = self.slot.try_lock() else { return false };
        let present = FileId::at(&self.path).ok().flatten();
        slot.replaced || slot.seen.is_some_and(|seen| seen.is_some() && seen != present)
    }

    /// Closes the connection. What is known stays known when the file has rested long enough.
    pub fn close(&self, before_close: impl FnOnce(&mut Open, &Fingerprint) -> Answer<()>) -> Answer<()> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut open) = slot.open.take() else { return Ok(()) };
        let fingerprint = Fingerprint::of_database(&self.path).at(&self.path)?;
        let is_same_file = FileId::at(&self.path).at(&self.path)? == Some(open.id);
        let unchanged = open.data_version().at(&self.path)? == open.data_version;
        match fingerprint {
            Some(fingerprint) if fingerprint.is_settled() && unchanged && is_same_file => {
                before_close(&mut open, &fingerprint)
            }
            _ => Ok(()),
        }
    }
}

impl Slot {
    /// Takes note of the file that is there now.
    fn note(&mut self, present: Option<FileId>) {
        // A file that was not there and came into being replaces nothing.
        if let Some(Some(seen)) = self.seen {
            self.replaced |= present != Some(seen);
        }
        self.seen = Some(present);
        let is_usable = |open: &Open| present == Some(open.id) && open.connection.is_autocommit();
        if self.open.as_ref().is_some_and(|open| !is_usable(open)) {
            self.open = None;
        }
    }
}

impl Open {
    /// None when the file vanished meanwhile.
    fn new(path: &Path) -> Answer<Option<Self>> {
        let Some(before) = Fingerprint::of_database(path).at(path)? else { return Ok(None) };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).at(path)?;
        let Some(id) = FileId::at(path).at(path)? else { return Ok(None) };
        connection.busy_timeout(BUSY_TIMEOUT).at(path)?;
        // What was answered as written must survive a power failure, whatever Cockpit thinks of its own writes.
        connection.pragma_update(None, "synchronous", "FULL").at(path)?;
        connection.pragma_update(None, "cache_size", -8000).at(path)?;
        connection.set_prepared_statement_cache_capacity(64);
        let mut open = Self {
            connection,
            id,
            fingerprint_at_open: None,
            data_version: 0,
            tables: HashMap::new(),
            used: Instant::now(),
            checkpointed: false,
            is_new: true,
        };
        open.data_version = open.data_version().at(path)?;
        // From here on data_version notices everything. Was anything changed between the fingerprint and now?
        let after = Fingerprint::of_database(path).at(path)?;
        if before.is_settled() && after.as_ref() == Some(&before) {
            open.fingerprint_at_open = Some(before.text);
        }
        Ok(Some(open))
    }

    fn data_version(&self) -> rusqlite::Result<i64> {
        self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
    }

    /// Moves the -wal into its file, as far as nobody is using it. The bytes that were not moved.
    fn checkpoint(&mut self) -> rusqlite::Result<u64> {
        self.checkpointed = true;
        self.connection.busy_timeout(Duration::ZERO)?;
        let frames = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
            let (all, moved): (i64, i64) = (row.get(1)?, row.get(2)?);
            Ok(u64::try_from(all - moved).unwrap_or(0))
        });
        self.connection.busy_timeout(BUSY_TIMEOUT)?;
        let page: u32 = self.connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        Ok(frames? * u64::from(page))
    }

    pub fn has_table(&self, table: &str) -> rusqlite::Result<bool> {
        let sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1";
        Ok(self.connection.prepare_cached(sql)?.query_row([table], |_| Ok(())).optional()?.is_some())
    }

    /// What is known of a table.
    pub fn table(&mut self, table: &str) -> &mut TableState {
        self.tables.entry(table.into()).or_default()
    }
}

impl Locked<'_> {
    /// None when there is no file.
    pub fn open(&mut self) -> Option<&mut Open> {
        let open = self.slot.open.as_mut()?;
        open.used = Instant::now();
        open.checkpointed = false;
        Some(open)
    }

    pub fn path(&self) -> &Path {
        &self.database.path
    }

    /// Another file lies there than the one that was seen.
    pub fn replaced(&self) -> bool {
        self.slot.replaced
    }

    /// The consequences have been drawn.
    pub fn accept_replacement(&mut self) {
        self.slot.replaced = false;
    }

    /// Whether this is the first look since the connection was opened.
    pub fn is_newly_opened(&mut self) -> bool {
        self.slot.open.as_mut().is_some_and(|open| std::mem::replace(&mut open.is_new, false))
    }

    /// The file that is there.
    pub fn id(&self) -> Option<FileId> {
        self.slot.open.as_ref().map(|open| open.id)
    }

    /// Runs `work` as one transaction, which sees one state of the file. `begin` is SQL.
    pub fn transaction<T>(&mut self, begin: &str, work: impl FnOnce(&mut Self) -> Answer<T>) -> Answer<T> {
        let path = &self.database.path;
        self.run(begin).at(path)?;
        let (end, result) = match self.notice_others().and_then(|()| work(self)) {
            Ok(value) => ("COMMIT", Ok(value)),
            Err(error) => ("ROLLBACK", Err(error)),
        };
        match (self.run(end).at(path), result) {
            (Ok(()), result) => result,
            (Err(ended), result) => {
                // A full disk ends the transaction by itself. What is known of the tables may be ahead of the file.
                self.slot.open = None;
                Err(result.err().unwrap_or(ended))
            }
        }
    }

    /// A -wal begins anew only when all of it was moved and nobody reads from it: a reader that stays would have it
    /// grow until the disk is full, and every reader of Cockpit's slow down with it.
    fn refuse_endless_wal(&mut self) -> Answer<()> {
        let path = self.database.path.clone();
        let Some(open) = self.open() else { return Ok(()) };
        let bytes = std::fs::metadata(wal_of(&path)).map_or(0, |metadata| metadata.len());
        if bytes < MAX_WAL_BYTES {
            return Ok(());
        }
        let unmoved = open.checkpoint().at(&path)?;
        if unmoved < MAX_WAL_BYTES {
            return Ok(());
        }
        Err(busy(format!(
            "{}-wal has {} MiB that cannot be moved into the database: another program has been reading for long",
            path.display(),
            unmoved >> 20
        )))
    }

    fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.slot.open.as_ref().map_or(Ok(()), |open| open.connection.execute_batch(sql))
    }

    /// Changes whenever somebody else has written, or may have.
    pub fn generation(&self) -> u64 {
        self.slot.generation
    }

    /// Asks SQLite whether somebody else has committed anything; then nothing that was known of tables is certain.
    /// Within a transaction the answer holds until its end.
    pub fn notice_others(&mut self) -> Answer<()> {
        let slot = &mut *self.slot;
        let Some(open) = slot.open.as_mut() else { return Ok(()) };
        let version = open.data_version().at(&self.database.path)?;
        if version != open.data_version {
            open.data_version = version;
            open.fingerprint_at_open = None;
            open.tables.clear();
            slot.generation += 1;
        }
        Ok(())
    }

    /// Creates the file as Cockpit would, if it is missing, and opens it.
    pub fn create(&mut self) -> Answer<&mut Open> {
        let path = &self.database.path;
        if self.slot.open.is_none() {
            owner::create_file_like_neighbours(path, ".sqlite").at(path)?;
            let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).at(path)?;
            // Cockpit asks for other page sizes after this, when it is too late: its files have the default.
            connection.pragma_update(None, "journal_mode", "WAL").at(path)?;
            drop(connection);
            self.slot.open = Open::new(path)?;
            self.slot.seen = Some(FileId::at(path).at(path)?);
            self.slot.generation += 1;
        }
        self.open().ok_or_else(|| vanished(path))
    }
}

pub(crate) fn vanished(path: &Path) -> AgentError {
    AgentError::new(protocol::api::ErrorCode::Storage, format!("{} vanished while it was opened", path.display()))
}

/// Counts a writer while it waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Answer<Self> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        let waiting = Self(count);
        if before >= MAX_WAITING_WRITERS {
            return Err(busy(format!("{before} writes are waiting for this database already")));
        }
        Ok(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_behind_too_many_others_is_told_to_come_back() {
        let count = AtomicUsize::new(0);
        let mut waiting: Vec<_> = (0..MAX_WAITING_WRITERS).map(|_| Waiting::enter(&count)).collect();
        assert!(waiting.iter().all(Result::is_ok));
        let refused = Waiting::enter(&count).err();
        assert!(refused.is_some_and(|error| error.retry_after_ms.is_some()));
        waiting.pop();
        assert!(Waiting::enter(&count).is_ok());
    }
}
