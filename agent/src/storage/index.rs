//! What the agent remembers of documents and files, so that it need not read and hash them again.
//!
//! A side file that can be lost at any time: nothing in it is believed unless the row it speaks of still has the same
//! bytes, or nobody else has written to the SQLite file since. Knows rows, not what is in them.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::api::Wrote;
use protocol::canonical::DocHash;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::fault::{Answer, At};
use super::place::FileId;

mod gone;
mod intents;
mod looks;
mod opening;
mod pruning;
mod rows;

pub(crate) use gone::Gone;
pub(crate) use looks::Seen;
use opening::{create, open_trusted};

/// Its name, in the agent's own directory.
pub(crate) const FILE: &str = "index.db";

/// The side file. One lock, held for moments: nothing else is ever locked while it is.
pub(crate) struct Index {
    path: PathBuf,
    connection: Mutex<Connection>,
    /// Whether anything is remembered as gone: mostly not, and then nobody asks.
    any_gone: AtomicBool,
}

/// A locked index.
pub(crate) struct Lookup<'a> {
    connection: MutexGuard<'a, Connection>,
    path: &'a Path,
    any_gone: &'a AtomicBool,
}

/// What is known of one row of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexRow {
    pub row: i64,
    /// xxh3 of the bytes in the row: whether the rest still holds.
    pub raw: i64,
    pub size: u32,
    pub known: Known,
    pub mark: Option<Mark>,
    /// The collection's look at which it was first seen like this; set by [`Lookup::put`]. See `looks.rs`.
    pub look: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    Document {
        identity: String,
        /// Of what is stored.
        hash: DocHash,
        /// None when it embeds no asset.
        embeds: Option<Embeds>,
    },
    /// No usable document; why, in words.
    Malformed(String),
    TooLarge,
}

/// What is known of the copies of assets within a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Embeds {
    /// State of the asset rows the copies were compared with; 0 = not compared.
    pub assets: i64,
    /// The hash with every copy as in its asset's row, where that is another one.
    pub refreshed: Option<DocHash>,
}

/// Which run wrote a row last, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub run: i64,
    pub wrote: Wrote,
    pub hash: DocHash,
}

/// What is known of a row that holds a document, as far as sums need it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DocumentRow<'r> {
    pub row: i64,
    pub size: u32,
    pub identity: &'r str,
    /// Of what is stored.
    pub hash: DocHash,
    /// It embeds assets.
    pub has_copies: bool,
    /// See [`Embeds::refreshed`].
    pub refreshed: Option<DocHash>,
}

impl DocumentRow<'_> {
    /// The hash a reader is told: with all copies of assets fresh.
    pub fn sent_hash(&self) -> DocHash {
        self.refreshed.unwrap_or(self.hash)
    }
}

impl IndexRow {
    /// None when it holds no document.
    pub fn document(&self) -> Option<DocumentRow<'_>> {
        let Known::Document { identity, hash, embeds } = &self.known else { return None };
        let (has_copies, refreshed) = (embeds.is_some(), embeds.and_then(|embeds| embeds.refreshed));
        Some(DocumentRow { row: self.row, size: self.size, identity, hash: *hash, has_copies, refreshed })
    }

    pub fn identity(&self) -> Option<&str> {
        match &self.known {
            Known::Document { identity, .. } => Some(identity),
            _ => None,
        }
    }
}

impl Index {
    /// Opens the side file, or begins anew when it cannot be trusted.
    pub fn open(directory: &Path) -> Answer<Self> {
        let path = directory.join(FILE);
        let connection = match open_trusted(&path) {
            Ok(Some(connection)) => connection,
            Ok(None) | Err(_) => create(&path)?,
        };
        let any_gone = gone::is_any(&connection).at(&path)?;
        Ok(Self { path, connection: Mutex::new(connection), any_gone: AtomicBool::new(any_gone) })
    }

    pub fn lock(&self) -> Lookup<'_> {
        // After a panic elsewhere the open transaction was rolled back when its guard was dropped.
        Lookup {
            connection: self.connection.lock().unwrap_or_else(PoisonError::into_inner),
            path: &self.path,
            any_gone: &self.any_gone,
        }
    }

    /// Makes the file safe against a power failure, for the next start, and lets go of it.
    pub fn close(&self) {
        let mut lookup = self.lock();
        let result = lookup.connection.execute_batch(
            "PRAGMA synchronous = FULL; REPLACE INTO meta VALUES ('boot', 'clean'); PRAGMA wal_checkpoint(TRUNCATE);",
        );
        if let Err(error) = result {
            tracing::debug!(error = %error, "the index was not closed cleanly: it may be built anew");
        }
        if let Ok(nothing) = Connection::open_in_memory() {
            *lookup.connection = nothing;
        }
    }
}

impl Lookup<'_> {
    /// Runs `work` as one transaction.
    pub fn transaction<T>(&self, work: impl FnOnce(&Self) -> Answer<T>) -> Answer<T> {
        let transaction = self.connection.unchecked_transaction().at(self.path)?;
        let result = work(self)?;
        transaction.commit().at(self.path)?;
        Ok(result)
    }

    /// The number a collection has here; `file` is the name of the SQLite file it lies in.
    pub fn number(&self, name: &str, file: &str) -> Answer<i64> {
        let select = "SELECT number FROM collections WHERE name = ?1";
        self.numbered(select, "INSERT INTO collections (name, file) VALUES (?1, ?2)", name, params![name, file])
    }

    pub fn run(&self, name: &str) -> Answer<i64> {
        let select = "SELECT number FROM runs WHERE name = ?1";
        self.numbered(select, "INSERT INTO runs (name) VALUES (?1)", name, params![name])
    }

    fn numbered(&self, select: &str, insert: &str, name: &str, values: impl rusqlite::Params) -> Answer<i64> {
        let mut statement = self.connection.prepare_cached(select).at(self.path)?;
        if let Some(number) = statement.query_row([name], |row| row.get(0)).optional().at(self.path)? {
            return Ok(number);
        }
        self.connection.execute(insert, values).at(self.path)?;
        Ok(self.connection.last_insert_rowid())
    }

    /// Numbers and names of all collections.
    pub fn collections(&self) -> Answer<Vec<(i64, String)>> {
        let mut statement = self.connection.prepare_cached("SELECT number, name FROM collections").at(self.path)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).at(self.path)?;
        rows.collect::<rusqlite::Result<_>>().at(self.path)
    }

    /// Every row up to this one was looked at, since the table is what it is.
    pub fn last_row(&self, collection: i64) -> Answer<i64> {
        let sql = "SELECT last_row FROM collections WHERE number = ?1";
        let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
        statement.query_row([collection], |row| row.get(0)).at(self.path)
    }

    pub fn raise_last_row(&self, collection: i64, row: i64) -> Answer<()> {
        let sql = "UPDATE collections SET last_row = ?2 WHERE number = ?1 AND last_row < ?2";
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([collection, row]))
            .at(self.path)?;
        Ok(())
    }

    /// Every row has to be looked at again. What is known of them may still hold.
    pub fn doubt(&self, collection: i64) -> Answer<()> {
        let sql = "UPDATE collections SET last_row = 0, whole = NULL WHERE number = ?1";
        self.connection.execute(sql, [collection]).at(self.path)?;
        Ok(())
    }

    /// The version of the file's schema when the collection's table was looked at last.
    pub fn schema_version(&self, collection: i64) -> Answer<Option<i64>> {
        let sql = "SELECT schema_version FROM collections WHERE number = ?1";
        let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
        statement.query_row([collection], |row| row.get(0)).at(self.path)
    }

    pub fn set_schema_version(&self, collection: i64, version: i64) -> Answer<()> {
        let sql = "UPDATE collections SET schema_version = ?2 WHERE number = ?1";
        self.connection.execute(sql, [collection, version]).at(self.path)?;
        Ok(())
    }

    /// A table of ours in this file made the difference: the others are what they were.
    pub fn replace_schema_version(&self, file: &str, before: i64, after: i64) -> Answer<()> {
        let sql = "UPDATE collections SET schema_version = ?3 WHERE file = ?1 AND schema_version = ?2";
        self.connection.execute(sql, params![file, before, after]).at(self.path)?;
        Ok(())
    }

    /// Forgets all rows of a collection.
    pub fn forget(&self, collection: i64) -> Answer<()> {
        self.remove_between(collection, i64::MIN, i64::MAX)?;
        self.connection.execute("DELETE FROM gone WHERE collection = ?1", [collection]).at(self.path)?;
        self.connection.execute("DELETE FROM intents WHERE collection = ?1", [collection]).at(self.path)?;
        self.doubt(collection)
    }

    /// The fingerprint of the SQLite file for which every row of the collection is known, and the state of the
    /// assets the copies were compared with.
    pub fn whole(&self, collection: i64) -> Answer<Option<(String, i64)>> {
        let sql = "SELECT whole, whole_assets FROM collections WHERE number = ?1 AND whole IS NOT NULL";
        self.connection.query_row(sql, [collection], |row| Ok((row.get(0)?, row.get(1)?))).optional().at(self.path)
    }

    pub fn set_whole(&self, collection: i64, whole: Option<(&str, i64)>) -> Answer<()> {
        let sql = "UPDATE collections SET whole = ?2, whole_assets = ?3 WHERE number = ?1";
        let (fingerprint, assets) = whole.unzip();
        let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
        statement.execute(params![collection, fingerprint, assets]).at(self.path)?;
        Ok(())
    }

    pub fn database(&self, name: &str) -> Answer<Option<FileId>> {
        let sql = "SELECT device, inode FROM databases WHERE name = ?1";
        let read = |row: &Row<'_>| {
            let (device, inode): (i64, i64) = (row.get(0)?, row.get(1)?);
            Ok(FileId { device: device.cast_unsigned(), inode: inode.cast_unsigned() })
        };
        self.connection.query_row(sql, [name], read).optional().at(self.path)
    }

    pub fn set_database(&self, name: &str, id: Option<FileId>) -> Answer<()> {
        match id {
            Some(id) => {
                let values = params![name, id.device.cast_signed(), id.inode.cast_signed()];
                self.connection.execute("REPLACE INTO databases VALUES (?1, ?2, ?3)", values).at(self.path)?;
            }
            None => {
                self.connection.execute("DELETE FROM databases WHERE name = ?1", [name]).at(self.path)?;
            }
        }
        Ok(())
    }

    /// SHA-256 and MD5 of a file, in hex, if it is still the one they were computed of.
    pub fn file_hashes(&self, path: &str, fingerprint: &str) -> Answer<Option<(String, String)>> {
        let sql = "SELECT sha256, md5 FROM files WHERE path = ?1 AND fingerprint = ?2";
        let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
        statement.query_row([path, fingerprint], |row| Ok((row.get(0)?, row.get(1)?))).optional().at(self.path)
    }

    pub fn set_file_hashes(&self, path: &str, fingerprint: &str, sha256: &str, md5: &str) -> Answer<()> {
        let sql = "REPLACE INTO files VALUES (?1, ?2, ?3, ?4)";
        let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
        statement.execute([path, fingerprint, sha256, md5]).at(self.path)?;
        Ok(())
    }
}
