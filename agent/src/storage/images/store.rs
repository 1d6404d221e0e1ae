//! What one run overwrote: a SQLite file and a directory of files, which go together when they are not kept any more.
//!
//! A row for each document or file that the run wrote says what was there before its first write and what its last
//! one left. Knows bytes and names, not what they mean.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use protocol::api::{Landed, PAGE_BYTES, PAGE_DOCUMENTS, UndoPart};
use rusqlite::{Connection, OptionalExtension, params};

use super::{Image, Rows, Step, state_of};
use crate::storage::fault::{Answer, At};
use crate::storage::owner;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS collections (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS befores (number INTEGER PRIMARY KEY, rows BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS images (
    collection INTEGER NOT NULL, identity TEXT NOT NULL, existed INTEGER NOT NULL, before INTEGER, was INTEGER,
    left INTEGER, size INTEGER NOT NULL, landed INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (collection, identity)
) WITHOUT ROWID;
";
/// What a row takes besides its before-image, about.
const ROW_BYTES: u64 = 64;

pub(crate) struct RunImages {
    directory: PathBuf,
    path: PathBuf,
    connection: Connection,
    collections: HashMap<String, i64>,
    /// What it takes on the disk, about.
    pub bytes: u64,
    /// Why not all before-images are in it.
    pub incomplete: Option<String>,
}

impl RunImages {
    pub fn open(directory: &Path) -> Answer<Self> {
        owner::make_directories(&directory.join("files")).at(directory)?;
        let path = directory.join("images.db");
        let connection = Connection::open(&path).at(&path)?;
        if let Some(parent) = directory.parent() {
            let like = fs::metadata(parent).at(parent)?;
            owner::give(&path, &like).at(&path)?;
        }
        connect(&connection).at(&path)?;
        let mut store = Self {
            directory: directory.into(),
            path,
            connection,
            collections: HashMap::new(),
            bytes: 0,
            incomplete: None,
        };
        store.incomplete = store.meta("incomplete")?;
        store.bytes = store.meta("bytes")?.unwrap_or(0_i64).cast_unsigned();
        Ok(store)
    }

    fn meta<T: rusqlite::types::FromSql>(&self, name: &str) -> Answer<Option<T>> {
        let sql = "SELECT value FROM meta WHERE name = ?1";
        self.connection.query_row(sql, [name], |row| row.get(0)).optional().at(&self.path)
    }

    /// Where the bytes of replaced files are, by their SHA-256.
    pub fn file(&self, sha256: &str) -> PathBuf {
        self.directory.join("files").join(sha256)
    }

    /// Puts the images into the file, safe on the disk when this returns. The first image of a document stays; of
    /// those that are there it is noted what this write leaves. Gives back which were not there.
    pub fn keep(&mut self, collection: &str, images: &[Image]) -> Answer<Vec<String>> {
        let path = self.path.clone();
        let number = self.number(collection)?;
        let mut first = Vec::new();
        let (mut bytes, mut lacking) = (self.bytes, false);
        let transaction = self.connection.unchecked_transaction().at(&path)?;
        {
            let mut add = transaction
                .prepare_cached("INSERT OR IGNORE INTO images VALUES (?1, ?2, ?3, ?4, NULL, ?5, ?6, 1)")
                .at(&path)?;
            let mut again = transaction
                .prepare_cached(
                    "UPDATE images SET was = ?3, left = ?4, size = ?5, landed = 1 WHERE collection = ?1 AND identity = ?2",
                )
                .at(&path)?;
            let mut put = transaction.prepare_cached("INSERT INTO befores (rows) VALUES (?1)").at(&path)?;
            let mut point = transaction
                .prepare_cached("UPDATE images SET before = ?3 WHERE collection = ?1 AND identity = ?2")
                .at(&path)?;
            for image in images {
                let values =
                    params![number, image.identity, !image.before.is_empty(), None::<i64>, image.left, image.size];
                if add.execute(values).at(&path)? == 0 {
                    again
                        .execute(params![number, image.identity, state_of(&image.before), image.left, image.size])
                        .at(&path)?;
                    continue;
                }
                first.push(image.identity.clone());
                bytes += ROW_BYTES + image.identity.len() as u64;
                // Its own output is no image of what was there before. That one was lost.
                lacking |= image.is_own;
                if !image.before.is_empty() && !image.is_own && self.incomplete.is_none() {
                    let rows = encode(&image.before);
                    bytes += rows.len() as u64;
                    let before = put.insert([rows]).at(&path)?;
                    point.execute(params![number, image.identity, before]).at(&path)?;
                }
            }
            let mut note = transaction.prepare_cached("REPLACE INTO meta VALUES ('bytes', ?1)").at(&path)?;
            note.execute([bytes.cast_signed()]).at(&path)?;
        }
        if lacking && self.incomplete.is_none() {
            self.incomplete = Some("what the run had overwritten at first was lost from the agent's own files".into());
        }
        if let Some(reason) = &self.incomplete {
            transaction.execute("REPLACE INTO meta VALUES ('incomplete', ?1)", [reason]).at(&path)?;
        }
        transaction.commit().at(&path)?;
        self.bytes = bytes;
        Ok(first)
    }

    /// The write failed for which these were kept. They harm nobody: what is there is what was there before.
    pub fn did_not_land(&self, collection: &str, identities: &[String]) -> Answer<()> {
        let Some(number) = self.collections.get(collection) else { return Ok(()) };
        let sql = "UPDATE images SET landed = 0 WHERE collection = ?1 AND identity = ?2";
        let transaction = self.connection.unchecked_transaction().at(&self.path)?;
        for identity in identities {
            transaction.execute(sql, params![number, identity]).at(&self.path)?;
        }
        transaction.commit().at(&self.path)
    }

    /// A page in the order of identities.
    pub fn steps(
        &self,
        collection: &str,
        part: Option<UndoPart>,
        after: Option<&str>,
    ) -> Answer<(Vec<Step>, Option<String>)> {
        let sql = "SELECT identity, existed, rows, was, left FROM images
                   LEFT JOIN befores ON befores.number = images.before
                   WHERE collection = (SELECT number FROM collections WHERE name = ?1)
                   AND identity > ?2 AND (?3 IS NULL OR existed = ?3) ORDER BY identity";
        let mut statement = self.connection.prepare_cached(sql).at(&self.path)?;
        let existed = part.map(|part| part == UndoPart::PutBack);
        let mut rows = statement.query(params![collection, after.unwrap_or_default(), existed]).at(&self.path)?;
        let (mut steps, mut bytes) = (Vec::<Step>::new(), 0);
        while let Some(row) = rows.next().at(&self.path)? {
            let before: Option<Vec<u8>> = row.get(2).at(&self.path)?;
            bytes += before.as_ref().map_or(0, Vec::len);
            if steps.len() >= PAGE_DOCUMENTS || (bytes > PAGE_BYTES && !steps.is_empty()) {
                let next = steps.last().map(|step| step.identity.clone());
                return Ok((steps, next));
            }
            steps.push(Step {
                identity: row.get(0).at(&self.path)?,
                existed: row.get(1).at(&self.path)?,
                before: before.map(|bytes| decode(&bytes)).unwrap_or_default(),
                was: row.get(3).at(&self.path)?,
                left: row.get(4).at(&self.path)?,
            });
        }
        Ok((steps, None))
    }

    /// Whether something was there before this run wrote it, and whether it left something; none if it did not write it.
    pub fn wrote(&self, collection: &str, identity: &str) -> Answer<Option<(bool, bool)>> {
        let sql = "SELECT existed, left IS NOT NULL FROM images
                   WHERE collection = (SELECT number FROM collections WHERE name = ?1) AND identity = ?2 AND landed = 1";
        let mut statement = self.connection.prepare_cached(sql).at(&self.path)?;
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        statement.query_row([collection, identity], read).optional().at(&self.path)
    }

    /// What landed, by collection.
    pub fn landed(&self) -> Answer<BTreeMap<String, Landed>> {
        let sql = "SELECT name, existed, left IS NOT NULL, count(*), sum(size) FROM images
                   JOIN collections ON collections.number = images.collection WHERE landed = 1 GROUP BY 1, 2, 3";
        let mut statement = self.connection.prepare(sql).at(&self.path)?;
        let mut rows = statement.query([]).at(&self.path)?;
        let mut all: BTreeMap<String, Landed> = BTreeMap::new();
        while let Some(row) = rows.next().at(&self.path)? {
            let (name, existed, is_left): (String, bool, bool) =
                (row.get(0).at(&self.path)?, row.get(1).at(&self.path)?, row.get(2).at(&self.path)?);
            let (count, bytes): (i64, i64) = (row.get(3).at(&self.path)?, row.get(4).at(&self.path)?);
            let landed = all.entry(name).or_default();
            let field = match (existed, is_left) {
                (false, _) => &mut landed.created,
                (true, true) => &mut landed.updated,
                (true, false) => &mut landed.deleted,
            };
            *field += count.cast_unsigned();
            landed.bytes += bytes.cast_unsigned();
        }
        Ok(all)
    }

    fn number(&mut self, collection: &str) -> Answer<i64> {
        if let Some(number) = self.collections.get(collection) {
            return Ok(*number);
        }
        self.connection.execute("INSERT OR IGNORE INTO collections (name) VALUES (?1)", [collection]).at(&self.path)?;
        let sql = "SELECT number FROM collections WHERE name = ?1";
        let number = self.connection.query_row(sql, [collection], |row| row.get(0)).at(&self.path)?;
        self.collections.insert(collection.into(), number);
        Ok(number)
    }
}

fn connect(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // What was there before must outlive a power failure that the new content outlives.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(SCHEMA)
}

/// Rows as they were: row id, length, bytes, all of them one after another.
fn encode(rows: &Rows) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rows.iter().map(|(_, row)| row.len() + 12).sum());
    for (row, document) in rows {
        bytes.extend(row.to_le_bytes());
        bytes.extend(super::super::analysis::size(document).to_le_bytes());
        bytes.extend(document);
    }
    bytes
}

fn decode(mut bytes: &[u8]) -> Rows {
    let mut rows = Rows::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<12>() {
        let row = i64::from_le_bytes(head[..8].try_into().expect("8 of 12 bytes"));
        let length = u32::from_le_bytes(head[8..].try_into().expect("4 of 12 bytes")) as usize;
        let (document, rest) = rest.split_at(length.min(rest.len()));
        rows.push((row, document.to_vec()));
        bytes = rest;
    }
    rows
}
