//! What this instance and each source agreed on last: the hash of every document that both were found to hold the same.
//! A document that is neither that on the one side nor on the other was changed on both.
//!
//! A file of its own, `agreed.db`: it cannot be found out anew, so it outlives the index. Where it is lost nothing is known
//! to be a conflict until both sides have been compared again.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::api::{AgreeRequest, Diff, DiffRequest, Difference, Nothing, SummaryRequest};
use protocol::canonical::DocHash;
use protocol::collection::Collection;
use rusqlite::{Connection, OptionalExtension, params};

use super::Storage;
use super::fault::{Answer, At};
use super::index::Known;

/// So many documents are noted in one transaction.
const PAGE: usize = 2000;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS pairs (
    number INTEGER PRIMARY KEY, source TEXT NOT NULL, collection TEXT NOT NULL, made INTEGER, look INTEGER,
    UNIQUE (source, collection)
);
CREATE TABLE IF NOT EXISTS agreed (
    pair INTEGER NOT NULL, identity TEXT NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (pair, identity)
) WITHOUT ROWID;
";

pub(crate) struct Agreed {
    path: PathBuf,
    connection: Mutex<Connection>,
}

/// Up to where the index was noted: which index it was, and its look at the collection.
type Noted = (i64, i64);

impl Agreed {
    /// A copy of another instance has agreed on nothing with anybody.
    pub fn open(directory: &Path, is_clone: bool) -> Answer<Self> {
        let path = directory.join("agreed.db");
        let connection = open(&path).at(&path)?;
        if is_clone {
            connection.execute_batch("DELETE FROM agreed; DELETE FROM pairs;").at(&path)?;
        }
        Ok(Self { path, connection: Mutex::new(connection) })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A transaction that a panic left was rolled back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pair(&self, source: &str, collection: &Collection) -> Answer<(i64, Option<Noted>)> {
        let connection = self.lock();
        let insert = "INSERT OR IGNORE INTO pairs (source, collection) VALUES (?1, ?2)";
        let name = collection.name();
        let known = "SELECT number, made, look FROM pairs WHERE source = ?1 AND collection = ?2";
        let read = |row: &rusqlite::Row<'_>| {
            let (made, look): (Option<i64>, Option<i64>) = (row.get(1)?, row.get(2)?);
            Ok((row.get(0)?, made.zip(look)))
        };
        if let Some(pair) = connection.query_row(known, params![source, name], read).optional().at(&self.path)? {
            return Ok(pair);
        }
        connection.execute(insert, params![source, name]).at(&self.path)?;
        Ok((connection.last_insert_rowid(), None))
    }

    fn hashes(&self, pair: i64, identities: &[&str]) -> Answer<Vec<Option<DocHash>>> {
        let connection = self.lock();
        let sql = "SELECT hash FROM agreed WHERE pair = ?1 AND identity = ?2";
        let mut statement = connection.prepare_cached(sql).at(&self.path)?;
        let hash = |identity: &&str| {
            let found = statement.query_row(params![pair, identity], |row| row.get(0)).optional().at(&self.path)?;
            Ok(found.map(DocHash))
        };
        identities.iter().map(hash).collect()
    }

    /// Notes what is not noted like that already.
    fn note<'i>(&self, pair: i64, documents: impl Iterator<Item = (&'i str, DocHash)>) -> Answer<()> {
        let connection = self.lock();
        let transaction = connection.unchecked_transaction().at(&self.path)?;
        let sql = "INSERT INTO agreed VALUES (?1, ?2, ?3)
                   ON CONFLICT (pair, identity) DO UPDATE SET hash = ?3 WHERE hash IS NOT ?3";
        let mut statement = transaction.prepare_cached(sql).at(&self.path)?;
        for (identity, hash) in documents {
            statement.execute(params![pair, identity, hash.0]).at(&self.path)?;
        }
        drop(statement);
        transaction.commit().at(&self.path)
    }

    fn count(&self, pair: i64) -> Answer<u64> {
        let sql = "SELECT count(*) FROM agreed WHERE pair = ?1";
        self.lock().query_row(sql, [pair], |row| row.get(0)).map(i64::cast_unsigned).at(&self.path)
    }

    /// A page of what is noted, in the order of identities.
    fn identities(&self, pair: i64, behind: &str) -> Answer<Vec<String>> {
        let connection = self.lock();
        let sql = "SELECT identity FROM agreed WHERE pair = ?1 AND identity > ?2 ORDER BY identity LIMIT ?3";
        let mut statement = connection.prepare_cached(sql).at(&self.path)?;
        let page = statement.query_map(params![pair, behind, PAGE as i64], |row| row.get(0)).at(&self.path)?;
        page.collect::<rusqlite::Result<_>>().at(&self.path)
    }

    fn forget<'i>(&self, pair: i64, identities: impl Iterator<Item = &'i str>) -> Answer<()> {
        let connection = self.lock();
        let transaction = connection.unchecked_transaction().at(&self.path)?;
        for identity in identities {
            let sql = "DELETE FROM agreed WHERE pair = ?1 AND identity = ?2";
            transaction.execute(sql, params![pair, identity]).at(&self.path)?;
        }
        transaction.commit().at(&self.path)
    }

    /// Moves the -wal into the file, which keeps its size otherwise.
    pub fn shrink(&self) -> Answer<()> {
        self.lock().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).at(&self.path)
    }

    fn set_noted(&self, pair: i64, (made, look): Noted) -> Answer<()> {
        let sql = "UPDATE pairs SET made = ?2, look = ?3 WHERE number = ?1";
        self.lock().execute(sql, [pair, made, look]).at(&self.path)?;
        Ok(())
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // What a power failure takes is noted again: the index does not outlive one.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}

impl Storage {
    /// Both sides hold the same: notes it of every document that is not what it was when that was noted last.
    pub fn agree(&self, request: &AgreeRequest) -> Answer<Nothing> {
        let AgreeRequest { collection, source, selection, summary } = request;
        let asked = SummaryRequest { collection: collection.clone(), selection: selection.clone(), run: None };
        if selection.filter.is_some() || self.summary(&asked)?.summary != *summary {
            // Changed meanwhile: the next run finds out what is the same then.
            return Ok(Nothing {});
        }
        let number = self.index_number(collection)?;
        let (pair, noted) = self.agreed.pair(source, collection)?;
        if let Some(only) = &selection.only {
            let rows = self.index.lock().with_identities(number, only.iter().map(String::as_str))?;
            let first = rows.iter().filter_map(|rows| match &rows.first()?.known {
                Known::Document { identity, hash, .. } => Some((identity.as_str(), *hash)),
                _ => None,
            });
            self.agreed.note(pair, first)?;
            return Ok(Nothing {});
        }
        let now = {
            let lookup = self.index.lock();
            (lookup.made()?, lookup.look(number)?)
        };
        let since = noted.filter(|(made, _)| *made == now.0).map_or(0, |(_, look)| look);
        let mut after = i64::MIN;
        loop {
            let rows = self.index.lock().changed_since(number, since, after, PAGE)?;
            let Some((last, ..)) = rows.last() else { break };
            after = *last;
            self.agreed.note(pair, rows.iter().map(|(_, identity, hash)| (identity.as_str(), *hash)))?;
        }
        self.agreed.set_noted(pair, now)?;
        // Only what is noted can have become too much.
        if after > i64::MIN && self.agreed.count(pair)? > summary.count + summary.count / 10 {
            self.forget_gone(number, pair)?;
        }
        Ok(Nothing {})
    }

    /// Both sides hold the same: what is noted beyond is about documents that neither has any more.
    fn forget_gone(&self, collection: i64, pair: i64) -> Answer<()> {
        let mut page = self.agreed.identities(pair, "")?;
        while let Some(last) = page.last() {
            let rows = self.index.lock().with_identities(collection, page.iter().map(String::as_str))?;
            let gone = page.iter().zip(&rows).filter(|(_, rows)| rows.is_empty());
            self.agreed.forget(pair, gone.map(|(identity, _)| identity.as_str()))?;
            page = self.agreed.identities(pair, last)?;
        }
        Ok(())
    }

    /// Tells which documents were changed on both sides since they agreed, and notes on what they agree now.
    pub(crate) fn with_agreements(&self, request: &DiffRequest, mut diff: Diff) -> Answer<Diff> {
        let Some(source) = &request.source else { return Ok(diff) };
        let both = || request.entries.iter().zip(&diff.differences);
        let differ: Vec<(usize, &str, DocHash, DocHash)> = both()
            .enumerate()
            .filter_map(|(place, ((identity, wanted), difference))| match difference {
                Difference::Differs(there) => Some((place, identity.as_str(), *wanted, *there)),
                _ => None,
            })
            .collect();
        if differ.is_empty() && !request.agree {
            return Ok(diff);
        }
        let (pair, _) = self.agreed.pair(source, &request.collection)?;
        if request.agree {
            let is_same = |difference: &Difference| matches!(difference, Difference::Same | Difference::Written(_));
            let same = both().filter(|(_, difference)| is_same(difference));
            self.agreed.note(pair, same.map(|((identity, hash), _)| (identity.as_str(), *hash)))?;
        }
        let names: Vec<&str> = differ.iter().map(|(_, identity, ..)| *identity).collect();
        let agreed = self.agreed.hashes(pair, &names)?;
        let number = self.index_number(&request.collection)?;
        for ((place, identity, wanted, there), agreed) in differ.into_iter().zip(agreed) {
            let Some(agreed) = agreed.filter(|agreed| *agreed != wanted && *agreed != there) else { continue };
            // A run that ended before it compared had agreed all the same on what it wrote.
            let marks = self.index.lock().with_identity(number, identity)?;
            let written = marks.first().and_then(|row| row.mark).map_or(agreed, |mark| mark.hash);
            if written != wanted && written != there {
                diff.differences[place] = Difference::Conflict(there);
            }
        }
        Ok(diff)
    }

    fn index_number(&self, collection: &Collection) -> Answer<i64> {
        match collection {
            Collection::Models => self.number_of_models(),
            _ => Ok(self.table(collection)?.number),
        }
    }
}
