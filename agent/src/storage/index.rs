//! What the agent remembers of documents and files, so that it need not read and hash them again.
//!
//! A side file that can be lost at any time: nothing in it is believed unless the row it speaks of still has the same
//! bytes, or nobody else has written to the SQLite file since. Knows rows, not what is in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::api::Wrote;
use protocol::canonical::DocHash;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::fault::{Answer, At};
use super::place::FileId;

const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE collections (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, last_row INTEGER NOT NULL DEFAULT 0,
    whole TEXT, whole_assets INTEGER
);
CREATE TABLE rows (
    collection INTEGER NOT NULL, row INTEGER NOT NULL, raw INTEGER NOT NULL, size INTEGER NOT NULL, assets INTEGER,
    identity TEXT, hash BLOB, refreshed BLOB, fault TEXT, run INTEGER, wrote INTEGER, written_hash BLOB,
    PRIMARY KEY (collection, row)
) WITHOUT ROWID;
CREATE INDEX rows_by_identity ON rows (collection, identity) WHERE identity IS NOT NULL;
CREATE INDEX rows_with_fault ON rows (collection, row) WHERE fault IS NOT NULL;
CREATE TABLE runs (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE databases (name TEXT PRIMARY KEY, device INTEGER NOT NULL, inode INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE files (path TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, sha256 TEXT NOT NULL, md5 TEXT NOT NULL) WITHOUT ROWID;
";

/// The side file. One lock, held for moments: nothing else is ever locked while it is.
pub(crate) struct Index {
    path: PathBuf,
    connection: Mutex<Connection>,
}

/// A locked index.
pub(crate) struct Lookup<'a> {
    connection: MutexGuard<'a, Connection>,
    path: &'a Path,
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

impl IndexRow {
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
        let path = directory.join("index.db");
        let connection = match open_trusted(&path) {
            Ok(Some(connection)) => connection,
            Ok(None) | Err(_) => create(&path)?,
        };
        Ok(Self { path, connection: Mutex::new(connection) })
    }

    pub fn lock(&self) -> Lookup<'_> {
        // After a panic elsewhere the open transaction was rolled back when its guard was dropped.
        Lookup { connection: self.connection.lock().unwrap_or_else(PoisonError::into_inner), path: &self.path }
    }

    /// Makes the file safe against a power failure, for the next start.
    pub fn close(&self) {
        let lookup = self.lock();
        let result = lookup.connection.execute_batch(
            "PRAGMA synchronous = FULL; REPLACE INTO meta VALUES ('boot', 'clean'); PRAGMA wal_checkpoint(TRUNCATE);",
        );
        if let Err(error) = result {
            tracing::debug!(error = %error, "the index was not closed cleanly: it may be built anew");
        }
    }
}

/// The kernel's name for this boot: what was written without fsync survives everything but its end.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

fn open_trusted(path: &Path) -> rusqlite::Result<Option<Connection>> {
    if !path.exists() {
        return Ok(None);
    }
    let connection = Connection::open(path)?;
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

fn create(path: &Path) -> Answer<Connection> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).at(path),
            _ => {}
        }
    }
    let connection = Connection::open(path).at(path)?;
    configure(&connection).at(path)?;
    connection.execute_batch(SCHEMA).at(path)?;
    connection.pragma_update(None, "user_version", SCHEMA_VERSION).at(path)?;
    connection.execute("REPLACE INTO meta VALUES ('boot', ?1)", [boot()]).at(path)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "cache_size", -16_000)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

const ROW: &str = "row, raw, size, identity, hash, assets, refreshed, fault, run, wrote, written_hash";

impl Lookup<'_> {
    /// Runs `work` as one transaction.
    pub fn transaction<T>(&self, work: impl FnOnce(&Self) -> Answer<T>) -> Answer<T> {
        let transaction = self.connection.unchecked_transaction().at(self.path)?;
        let result = work(self)?;
        transaction.commit().at(self.path)?;
        Ok(result)
    }

    /// The number a collection has here.
    pub fn number(&self, name: &str) -> Answer<i64> {
        self.numbered("collections", name)
    }

    pub fn run(&self, name: &str) -> Answer<i64> {
        self.numbered("runs", name)
    }

    fn numbered(&self, table: &str, name: &str) -> Answer<i64> {
        let select = format!("SELECT number FROM {table} WHERE name = ?1");
        let mut statement = self.connection.prepare_cached(&select).at(self.path)?;
        if let Some(number) = statement.query_row([name], |row| row.get(0)).optional().at(self.path)? {
            return Ok(number);
        }
        self.connection.execute(&format!("INSERT INTO {table} (name) VALUES (?1)"), [name]).at(self.path)?;
        Ok(self.connection.last_insert_rowid())
    }

    /// Numbers and names of all collections.
    pub fn collections(&self) -> Answer<Vec<(i64, String)>> {
        let mut statement = self.connection.prepare_cached("SELECT number, name FROM collections").at(self.path)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).at(self.path)?;
        rows.collect::<rusqlite::Result<_>>().at(self.path)
    }

    /// The highest row that was ever seen.
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

    /// Of the rows `from..=to`: row, hash of the bytes, and the state of the assets the copies were compared with.
    pub fn raw_hashes(&self, collection: i64, from: i64, to: i64) -> Answer<Vec<(i64, i64, Option<i64>)>> {
        let sql = "SELECT row, raw, assets FROM rows WHERE collection = ?1 AND row BETWEEN ?2 AND ?3 ORDER BY row";
        let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
        let rows = statement
            .query_map([collection, from, to], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .at(self.path)?;
        rows.collect::<rusqlite::Result<_>>().at(self.path)
    }

    /// At most `limit` rows of `from..=to`, in order.
    pub fn rows(&self, collection: i64, from: i64, to: i64, limit: usize) -> Answer<Vec<IndexRow>> {
        let sql =
            format!("SELECT {ROW} FROM rows WHERE collection = ?1 AND row BETWEEN ?2 AND ?3 ORDER BY row LIMIT ?4");
        let mut statement = self.connection.prepare_cached(&sql).at(self.path)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map([collection, from, to, limit], read_row).at(self.path)?;
        rows.collect::<rusqlite::Result<_>>().at(self.path)
    }

    pub fn row(&self, collection: i64, row: i64) -> Answer<Option<IndexRow>> {
        Ok(self.rows(collection, row, row, 1)?.pop())
    }

    /// Every row with this identity, the lowest first: that one wins.
    pub fn with_identity(&self, collection: i64, identity: &str) -> Answer<Vec<IndexRow>> {
        let sql = format!(
            "SELECT {ROW} FROM rows INDEXED BY rows_by_identity WHERE collection = ?1 AND identity = ?2 ORDER BY row"
        );
        let mut statement = self.connection.prepare_cached(&sql).at(self.path)?;
        let rows = statement.query_map(params![collection, identity], read_row).at(self.path)?;
        rows.collect::<rusqlite::Result<_>>().at(self.path)
    }

    /// The lowest row with this identity.
    pub fn winner(&self, collection: i64, identity: &str) -> Answer<Option<i64>> {
        let sql = "SELECT min(row) FROM rows INDEXED BY rows_by_identity WHERE collection = ?1 AND identity = ?2";
        let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
        statement.query_row(params![collection, identity], |row| row.get(0)).at(self.path)
    }

    /// Identities that more than one row has.
    pub fn duplicated(&self, collection: i64) -> Answer<Vec<String>> {
        let sql = "SELECT identity FROM rows INDEXED BY rows_by_identity WHERE collection = ?1 AND identity IS NOT NULL
                   GROUP BY identity HAVING count(*) > 1";
        let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
        let identities = statement.query_map([collection], |row| row.get(0)).at(self.path)?;
        identities.collect::<rusqlite::Result<_>>().at(self.path)
    }

    /// Rows without a usable document, at most `limit`, and how many there are.
    pub fn faults(&self, collection: i64, limit: i64) -> Answer<(Vec<IndexRow>, u64)> {
        let sql = "SELECT count(*) FROM rows INDEXED BY rows_with_fault WHERE collection = ?1 AND fault IS NOT NULL";
        let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
        let total: i64 = statement.query_row([collection], |row| row.get(0)).at(self.path)?;
        if total == 0 {
            return Ok((Vec::new(), 0));
        }
        let sql = format!(
            "SELECT {ROW} FROM rows INDEXED BY rows_with_fault WHERE collection = ?1 AND fault IS NOT NULL ORDER BY row LIMIT ?2"
        );
        let mut statement = self.connection.prepare_cached(&sql).at(self.path)?;
        let rows = statement.query_map([collection, limit], read_row).at(self.path)?;
        Ok((rows.collect::<rusqlite::Result<_>>().at(self.path)?, total.cast_unsigned()))
    }

    /// Visits every usable row in the order of the rows.
    pub fn each_document(&self, collection: i64, mut visit: impl FnMut(IndexRow)) -> Answer<()> {
        let sql = format!("SELECT {ROW} FROM rows WHERE collection = ?1 AND identity IS NOT NULL ORDER BY row");
        let mut statement = self.connection.prepare_cached(&sql).at(self.path)?;
        let mut rows = statement.query([collection]).at(self.path)?;
        while let Some(row) = rows.next().at(self.path)? {
            visit(read_row(row).at(self.path)?);
        }
        Ok(())
    }

    /// Stores a row. A mark that is there already stays unless a new one comes.
    pub fn put(&self, collection: i64, row: &IndexRow) -> Answer<()> {
        let sql = "INSERT INTO rows
            (collection, row, raw, size, identity, hash, assets, refreshed, fault, run, wrote, written_hash)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
            ON CONFLICT (collection, row) DO UPDATE SET raw = ?3, size = ?4, identity = ?5, hash = ?6, assets = ?7,
                refreshed = ?8, fault = ?9, run = coalesce(?10, run), wrote = coalesce(?11, wrote),
                written_hash = coalesce(?12, written_hash)";
        let (identity, hash, embeds, fault) = match &row.known {
            Known::Document { identity, hash, embeds } => (Some(identity.as_str()), Some(&hash.0[..]), *embeds, None),
            Known::Malformed(reason) => (None, None, None, Some(reason.as_str())),
            Known::TooLarge => (None, None, None, Some(TOO_LARGE)),
        };
        let values = params![
            collection,
            row.row,
            row.raw,
            row.size,
            identity,
            hash,
            embeds.map(|embeds| embeds.assets),
            embeds.and_then(|embeds| embeds.refreshed).map(|hash| hash.0),
            fault,
            row.mark.map(|mark| mark.run),
            row.mark.map(|mark| StoredWrote(mark.wrote)),
            row.mark.map(|mark| mark.hash.0),
        ];
        self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute(values)).at(self.path)?;
        Ok(())
    }

    pub fn remove(&self, collection: i64, row: i64) -> Answer<()> {
        let sql = "DELETE FROM rows WHERE collection = ?1 AND row = ?2";
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([collection, row]))
            .at(self.path)?;
        Ok(())
    }

    /// Forgets the rows `from..=to`: there are none.
    pub fn remove_between(&self, collection: i64, from: i64, to: i64) -> Answer<()> {
        let sql = "DELETE FROM rows WHERE collection = ?1 AND row BETWEEN ?2 AND ?3";
        let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
        statement.execute([collection, from, to]).at(self.path)?;
        Ok(())
    }

    /// Forgets all rows of a collection.
    pub fn forget(&self, collection: i64) -> Answer<()> {
        self.remove_between(collection, i64::MIN, i64::MAX)?;
        let sql = "UPDATE collections SET last_row = 0, whole = NULL WHERE number = ?1";
        self.connection.execute(sql, [collection]).at(self.path)?;
        Ok(())
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

const TOO_LARGE: &str = "too large";

fn read_row(row: &Row<'_>) -> rusqlite::Result<IndexRow> {
    let identity: Option<String> = row.get(3)?;
    let known = match identity {
        Some(identity) => Known::Document {
            identity,
            hash: DocHash(row.get(4)?),
            embeds: match row.get::<_, Option<i64>>(5)? {
                Some(assets) => Some(Embeds { assets, refreshed: row.get::<_, Option<[u8; 16]>>(6)?.map(DocHash) }),
                None => None,
            },
        },
        None => match row.get::<_, String>(7)? {
            reason if reason == TOO_LARGE => Known::TooLarge,
            reason => Known::Malformed(reason),
        },
    };
    let mark = match (row.get::<_, Option<i64>>(8)?, row.get::<_, Option<StoredWrote>>(9)?) {
        (Some(run), Some(StoredWrote(wrote))) => Some(Mark { run, wrote, hash: DocHash(row.get(10)?) }),
        _ => None,
    };
    Ok(IndexRow { row: row.get(0)?, raw: row.get(1)?, size: row.get(2)?, known, mark })
}

struct StoredWrote(Wrote);

impl ToSql for StoredWrote {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Wrote::Created => 1.into(),
            Wrote::Updated => 2.into(),
        })
    }
}

impl FromSql for StoredWrote {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_i64()? {
            1 => Ok(Self(Wrote::Created)),
            2 => Ok(Self(Wrote::Updated)),
            other => Err(FromSqlError::OutOfRange(other)),
        }
    }
}
