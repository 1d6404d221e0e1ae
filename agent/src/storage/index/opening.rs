//! The side file itself: made, believed or made anew.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::storage::fault::{Answer, At};

const SCHEMA_VERSION: i64 = 3;
const SCHEMA: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE collections (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, file TEXT NOT NULL, last_row INTEGER NOT NULL DEFAULT 0,
    schema_version INTEGER, whole TEXT, whole_assets INTEGER, look INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE rows (
    collection INTEGER NOT NULL, row INTEGER NOT NULL, raw INTEGER NOT NULL, size INTEGER NOT NULL, assets INTEGER,
    identity TEXT, hash BLOB, refreshed BLOB, fault TEXT, run INTEGER, wrote INTEGER, written_hash BLOB,
    look INTEGER NOT NULL,
    PRIMARY KEY (collection, row)
) WITHOUT ROWID;
CREATE INDEX rows_by_identity ON rows (collection, identity) WHERE identity IS NOT NULL;
CREATE INDEX rows_with_fault ON rows (collection, row) WHERE fault IS NOT NULL;
CREATE TABLE gone (
    collection INTEGER NOT NULL, identity TEXT NOT NULL, gone_ms INTEGER NOT NULL, run INTEGER, wrote INTEGER,
    look INTEGER NOT NULL,
    PRIMARY KEY (collection, identity)
) WITHOUT ROWID;
CREATE TABLE looks (
    collection INTEGER NOT NULL, run INTEGER NOT NULL, look INTEGER NOT NULL, began_ms INTEGER NOT NULL,
    PRIMARY KEY (collection, run)
) WITHOUT ROWID;
CREATE TABLE intents (collection INTEGER PRIMARY KEY, run INTEGER NOT NULL, rows BLOB NOT NULL);
CREATE TABLE runs (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE databases (name TEXT PRIMARY KEY, device INTEGER NOT NULL, inode INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE files (path TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, sha256 TEXT NOT NULL, md5 TEXT NOT NULL) WITHOUT ROWID;
";

/// The kernel's name for this boot: what was written without fsync survives everything but its end.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

pub(super) fn open_trusted(path: &Path) -> rusqlite::Result<Option<Connection>> {
    if !path.exists() {
        return Ok(None);
    }
    let connection = connect(path)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version != SCHEMA_VERSION {
        return Ok(None);
    }
    let known: String = connection.query_row("SELECT value FROM meta WHERE name = 'boot'", [], |row| row.get(0))?;
    let boot = boot();
    if known != "clean" && (known != boot || boot.is_empty()) {
        return Ok(None);
    }
    configure(&connection)?;
    connection.execute("UPDATE meta SET value = ?1 WHERE name = 'boot'", [boot])?;
    Ok(Some(connection))
}

pub(super) fn create(path: &Path) -> Answer<Connection> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).at(path),
            _ => {}
        }
    }
    let connection = connect(path).at(path)?;
    configure(&connection).at(path)?;
    connection.execute_batch(SCHEMA).at(path)?;
    connection.pragma_update(None, "user_version", SCHEMA_VERSION).at(path)?;
    connection.execute("REPLACE INTO meta VALUES ('boot', ?1)", [boot()]).at(path)?;
    Ok(connection)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    // Nobody else opens it (the lock file says so): no shared memory, and no lock of the system for each question.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    // Otherwise SQLite plans a question anew for every value it is asked with, because there are partial indexes.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "cache_size", -8_000)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}
