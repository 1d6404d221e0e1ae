//! Failures of SQLite and of the file system, as the caller of a request is told them.

use std::io;
use std::path::Path;

use protocol::api::{AgentError, ErrorCode};
use rusqlite::ErrorCode as SqliteCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

pub(crate) type Answer<T> = Result<T, AgentError>;

/// How long a caller should wait when somebody else, Cockpit itself perhaps, holds a lock for the moment.
const RETRY_AFTER_MS: u64 = 250;

/// Says at which file something failed.
pub(crate) trait At<T> {
    fn at(self, path: &Path) -> Answer<T>;
}

impl<T> At<T> for Result<T, rusqlite::Error> {
    fn at(self, path: &Path) -> Answer<T> {
        self.map_err(|error| of_sqlite(path, &error))
    }
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Answer<T> {
        self.map_err(|error| of_file(path, &error))
    }
}

fn of_sqlite(path: &Path, error: &rusqlite::Error) -> AgentError {
    let path = path.display();
    match error.sqlite_error_code() {
        Some(SqliteCode::DatabaseBusy | SqliteCode::DatabaseLocked) => {
            busy(format!("{path} is locked by another program at the moment"))
        }
        Some(SqliteCode::DiskFull) => disk_full(path),
        // There is no room for the index of a -wal: SQLite has no better name for that.
        _ if error.sqlite_error().is_some_and(|error| error.extended_code == SQLITE_IOERR_SHMSIZE) => disk_full(path),
        _ => AgentError::new(ErrorCode::Storage, format!("{path}: {error}")),
    }
}

fn disk_full(path: std::path::Display<'_>) -> AgentError {
    AgentError::new(ErrorCode::DiskFull, format!("the disk is full: nothing was written to {path}"))
}

fn of_file(path: &Path, error: &io::Error) -> AgentError {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            AgentError::new(ErrorCode::DiskFull, format!("the disk is full: {path} was not written"))
        }
        _ => AgentError::new(ErrorCode::Storage, format!("{path}: {error}")),
    }
}

pub(crate) fn busy(message: String) -> AgentError {
    AgentError { retry_after_ms: Some(RETRY_AFTER_MS), ..AgentError::new(ErrorCode::Busy, message) }
}

pub(crate) fn bad_request(message: impl Into<String>) -> AgentError {
    AgentError::new(ErrorCode::BadRequest, message)
}

pub(crate) fn forbidden(message: impl Into<String>) -> AgentError {
    AgentError::new(ErrorCode::Forbidden, message)
}
