//! The agent's own state, beside the storage it serves: one directory, one agent, one instance id.
//!
//! Owns the directory, the lock on it, and state.db with its tables for the instance, the grant and the runs. It must not know
//! what is in Cockpit's files; what can be rebuilt from them lies in index.db and is not its business.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::fcntl::{Flock, FlockArg};
use rusqlite::{Connection, OptionalExtension, params};

use crate::actions;
use crate::storage::StartError;
use crate::storage::fault::{Answer, At};
use crate::storage::mirror::list;
use crate::storage::owner;

/// The state directory, held.
pub(crate) struct State {
    directory: PathBuf,
    database: Mutex<Connection>,
    lock: Mutex<Option<Flock<File>>>,
    instance: String,
    /// Whether the storage is another one than the state was made for: a clone, state directory included.
    pub is_clone: bool,
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS instance (
    id TEXT NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL, path TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS open_grant (
    grant_id TEXT NOT NULL, token TEXT NOT NULL, authority TEXT NOT NULL, run TEXT NOT NULL, holder TEXT NOT NULL,
    ttl_ms INTEGER NOT NULL, since_ms INTEGER NOT NULL, renewed_ms INTEGER NOT NULL, written INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS superseded_grant (number INTEGER PRIMARY KEY, grant_id TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS closed_run (run TEXT PRIMARY KEY, closed_ms INTEGER NOT NULL, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS run_record (
    number INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL UNIQUE, began_ms INTEGER NOT NULL, ended_ms INTEGER,
    image_bytes INTEGER NOT NULL DEFAULT 0, images_gone TEXT, receipt TEXT NOT NULL
);
";

impl State {
    /// Makes or opens the directory, takes the lock and reads the instance id, for the storage directory `storage`.
    pub fn open(directory: &Path, storage: &Path) -> Result<Self, StartError> {
        let owner = fs::metadata(storage).map_err(|error| StartError::File(storage.into(), error))?;
        make_directory(directory, &owner).map_err(|error| StartError::File(directory.into(), error))?;
        let lock = take_lock(&directory.join("lock"), &owner)?;
        let path = directory.join("state.db");
        let mut connection = open_database(&path, &owner).map_err(|error| state_error(&path, &error))?;
        let (instance, is_clone) =
            instance_id(&mut connection, storage, &owner).map_err(|error| state_error(&path, &error))?;
        Ok(Self {
            directory: directory.into(),
            database: Mutex::new(connection),
            lock: Mutex::new(Some(lock)),
            instance,
            is_clone,
        })
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn instance(&self) -> &str {
        &self.instance
    }

    pub fn database(&self) -> MutexGuard<'_, Connection> {
        // A panic elsewhere leaves the connection between two statements, or its transaction rolled back.
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the -wal into the file, which keeps its size otherwise.
    pub fn shrink(&self) -> Answer<()> {
        let moved = self.database().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        moved.at(&self.directory.join("state.db"))
    }

    /// Writes into the lock file where this agent listens, for the message of the second one.
    pub fn note_address(&self, address: &str) {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = lock.as_mut()
            && let Err(error) = describe_holder(file, Some(address))
        {
            tracing::warn!(error = %error, "the agent's address could not be noted in its lock file");
        }
    }

    /// Gives the lock back.
    pub fn release(&self) {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn state_error(path: &Path, error: &rusqlite::Error) -> StartError {
    StartError::State(format!("{}: {error}", path.display()))
}

fn make_directory(directory: &Path, owner: &Metadata) -> std::io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    owner::give(directory, owner)
}

fn take_lock(path: &Path, owner: &Metadata) -> Result<Flock<File>, StartError> {
    let failed = |error| StartError::File(path.into(), error);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            owner::give(path, owner).map_err(failed)?;
            describe_holder(&mut lock, None).map_err(failed)?;
            Ok(lock)
        }
        Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).map_err(failed)?;
            Err(StartError::Held(if holder.is_empty() { "it does not say who".into() } else { holder.trim().into() }))
        }
        Err((_, errno)) => Err(failed(errno.into())),
    }
}

fn describe_holder(file: &mut File, address: Option<&str>) -> std::io::Result<()> {
    let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let address = address.map(|address| format!(", listening on {address}")).unwrap_or_default();
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "process {} on {host}{address}", std::process::id())
}

fn open_database(path: &Path, owner: &Metadata) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    if let Err(error) = owner::give(path, owner) {
        tracing::warn!(error = %error, "state.db could not be given to the owner of the storage");
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A grant that was answered must be known after a power failure.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Grants that ended lie anywhere in it: otherwise it would all come to lie in memory, night by night.
    connection.pragma_update(None, "cache_size", -500)?;
    connection.execute_batch(SCHEMA)?;
    connection.execute_batch(list::SCHEMA)?;
    connection.execute_batch(actions::SCHEMA)?;
    connection.execute_batch(crate::audit::SCHEMA)?;
    Ok(connection)
}

/// The id, and whether it is a new one because the state directory was copied along with its storage.
fn instance_id(connection: &mut Connection, storage: &Path, metadata: &Metadata) -> rusqlite::Result<(String, bool)> {
    let path = fs::canonicalize(storage).unwrap_or_else(|_| storage.into()).to_string_lossy().into_owned();
    let (device, inode) = (metadata.dev().cast_signed(), metadata.ino().cast_signed());
    let transaction = connection.transaction()?;
    let known = transaction
        .query_row("SELECT id, device, inode, path FROM instance", [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, String>(3)?))
        })
        .optional()?;
    let (id, is_clone) = match known {
        Some((id, known_device, known_inode, known_path))
            if (known_device, known_inode) == (device, inode) || known_path == path =>
        {
            (id, false)
        }
        Some(_) => (new_id(), true),
        None => (new_id(), false),
    };
    transaction.execute("DELETE FROM instance", [])?;
    transaction.execute("INSERT INTO instance VALUES (?1, ?2, ?3, ?4)", params![id, device, inode, path])?;
    if is_clone {
        transaction.execute_batch(
            "DELETE FROM open_grant; DELETE FROM superseded_grant; DELETE FROM closed_run; DELETE FROM run_record;
             DELETE FROM run_action;",
        )?;
        transaction.execute_batch(list::FORGET)?;
    }
    transaction.commit()?;
    Ok((id, is_clone))
}

fn new_id() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}
