//! The lists of what mirrors may delete, in state.db: nobody's memory grows with them, and they outlive the agent.
//!
//! Knows names and numbers. It must not know tables of Cockpit.

use std::collections::HashMap;
use std::path::PathBuf;

use protocol::api::{Listed, PAGE_DOCUMENTS};
use protocol::canonical::DocHash;
use protocol::collection::Collection;
use rusqlite::{OptionalExtension, params};

use super::guard::Counted;
use crate::state::State;
use crate::storage::fault::{Answer, At, bad_request};

/// What goes with a list that nobody can use any more.
const KEPT_MS: i64 = 7 * 24 * 3600 * 1000;

pub(crate) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS mirror_run (run TEXT PRIMARY KEY, begun_ms INTEGER NOT NULL, decided INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS mirror_listed (
    run TEXT NOT NULL, collection TEXT NOT NULL, there INTEGER NOT NULL, at_source INTEGER NOT NULL, unproven TEXT,
    PRIMARY KEY (run, collection)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mirror_candidate (
    run TEXT NOT NULL, collection TEXT NOT NULL, identity TEXT NOT NULL, hash BLOB NOT NULL,
    is_begun INTEGER NOT NULL DEFAULT 0, file TEXT,
    PRIMARY KEY (run, collection, identity)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mirror_left_file (run TEXT NOT NULL, path TEXT NOT NULL, PRIMARY KEY (run, path)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mirror_source (
    source TEXT NOT NULL, collection TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (source, collection)
) WITHOUT ROWID;
";
/// For a storage that turns out to be a copy.
pub(crate) const FORGET: &str = "DELETE FROM mirror_run; DELETE FROM mirror_listed; DELETE FROM mirror_candidate;
DELETE FROM mirror_left_file; DELETE FROM mirror_source;";

/// The lists of all runs.
pub(crate) struct Lists<'a> {
    state: &'a State,
    path: PathBuf,
}

/// A document on a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub hash: DocHash,
    /// A transaction that deletes it was begun: if it is gone, this run did it.
    pub is_begun: bool,
    /// Of an asset whose deletion was begun: the path of its file.
    pub file: Option<String>,
}

impl<'a> Lists<'a> {
    pub fn new(state: &'a State) -> Self {
        Self { state, path: state.directory().join("state.db") }
    }

    /// Adds to the list of a run, unless that is decided.
    pub fn add(
        &self,
        run: &str,
        collection: &Collection,
        from_start: bool,
        candidates: &[(String, DocHash)],
        listed: Option<&Listed>,
        now_ms: i64,
    ) -> Answer<()> {
        if self.is_decided(run)? {
            return Ok(());
        }
        let name = collection.name();
        let mut database = self.state.database();
        let transaction = database.transaction().at(&self.path)?;
        if from_start {
            let old = "run IN (SELECT run FROM mirror_run WHERE begun_ms < ?1 UNION SELECT run FROM closed_run)";
            for table in ["mirror_listed", "mirror_candidate", "mirror_left_file", "mirror_run"] {
                transaction.execute(&format!("DELETE FROM {table} WHERE {old}"), [now_ms - KEPT_MS]).at(&self.path)?;
            }
            let sql = "INSERT OR IGNORE INTO mirror_run (run, begun_ms) VALUES (?1, ?2)";
            transaction.execute(sql, params![run, now_ms]).at(&self.path)?;
            for table in ["mirror_listed", "mirror_candidate"] {
                let sql = format!("DELETE FROM {table} WHERE run = ?1 AND collection = ?2");
                transaction.execute(&sql, [run, &name]).at(&self.path)?;
            }
        }
        {
            let sql =
                "INSERT OR REPLACE INTO mirror_candidate (run, collection, identity, hash) VALUES (?1, ?2, ?3, ?4)";
            let mut statement = transaction.prepare_cached(sql).at(&self.path)?;
            for (identity, hash) in candidates {
                statement.execute(params![run, name, identity, hash.0]).at(&self.path)?;
            }
        }
        if let Some(listed) = listed {
            let values =
                params![run, name, listed.there.cast_signed(), listed.at_source.cast_signed(), listed.unproven];
            transaction
                .execute("INSERT OR REPLACE INTO mirror_listed VALUES (?1, ?2, ?3, ?4, ?5)", values)
                .at(&self.path)?;
        }
        transaction.commit().at(&self.path)
    }

    /// What the list of a run says of a collection, and how many documents the source had at the last sync.
    pub fn counted(&self, run: &str, source: &str, collection: &Collection) -> Answer<Counted> {
        let name = collection.name();
        let database = self.state.database();
        let sql = "SELECT there, at_source, unproven FROM mirror_listed WHERE run = ?1 AND collection = ?2";
        let read = |row: &rusqlite::Row<'_>| {
            let (there, at_source): (i64, i64) = (row.get(0)?, row.get(1)?);
            Ok(Listed { there: there.cast_unsigned(), at_source: at_source.cast_unsigned(), unproven: row.get(2)? })
        };
        let listed = database.query_row(sql, [run, &name], read).optional().at(&self.path)?;
        let listed = listed.ok_or_else(|| bad_request(format!("the run has not listed {collection} to its end")))?;
        let sql = "SELECT count(*) FROM mirror_candidate WHERE run = ?1 AND collection = ?2";
        let candidates: i64 = database.query_row(sql, [run, &name], |row| row.get(0)).at(&self.path)?;
        let sql = "SELECT count FROM mirror_source WHERE source = ?1 AND collection = ?2";
        let last: Option<i64> = database.query_row(sql, [source, &name], |row| row.get(0)).optional().at(&self.path)?;
        Ok(Counted {
            collection: collection.clone(),
            candidates: candidates.cast_unsigned(),
            listed,
            at_source_before: last.map(i64::cast_unsigned),
        })
    }

    pub fn is_decided(&self, run: &str) -> Answer<bool> {
        let sql = "SELECT decided FROM mirror_run WHERE run = ?1";
        let decided = self.state.database().query_row(sql, [run], |row| row.get(0)).optional().at(&self.path)?;
        Ok(decided.unwrap_or(false))
    }

    pub fn decide(&self, run: &str) -> Answer<()> {
        self.state.database().execute("UPDATE mirror_run SET decided = 1 WHERE run = ?1", [run]).at(&self.path)?;
        Ok(())
    }

    /// At most [`PAGE_DOCUMENTS`] of them.
    pub fn page(&self, run: &str, collection: &Collection, after: &str) -> Answer<Vec<(String, DocHash)>> {
        let sql = format!(
            "SELECT identity, hash FROM mirror_candidate WHERE run = ?1 AND collection = ?2 AND identity > ?3
             ORDER BY identity LIMIT {PAGE_DOCUMENTS}"
        );
        let database = self.state.database();
        let mut statement = database.prepare_cached(&sql).at(&self.path)?;
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, DocHash(row.get(1)?)));
        let rows = statement.query_map([run, &collection.name(), after], read).at(&self.path)?;
        rows.collect::<rusqlite::Result<_>>().at(&self.path)
    }

    /// Those of these that are on the list.
    pub fn find<'i>(
        &self,
        run: &str,
        collection: &Collection,
        identities: impl Iterator<Item = &'i str>,
    ) -> Answer<HashMap<String, Candidate>> {
        let sql =
            "SELECT hash, is_begun, file FROM mirror_candidate WHERE run = ?1 AND collection = ?2 AND identity = ?3";
        let (name, database) = (collection.name(), self.state.database());
        let mut statement = database.prepare_cached(sql).at(&self.path)?;
        let mut found = HashMap::new();
        for identity in identities {
            let read = |row: &rusqlite::Row<'_>| {
                Ok(Candidate { hash: DocHash(row.get(0)?), is_begun: row.get(1)?, file: row.get(2)? })
            };
            let candidate = statement.query_row([run, &name, identity], read).optional().at(&self.path)?;
            found.extend(candidate.map(|candidate| (identity.to_owned(), candidate)));
        }
        Ok(found)
    }

    /// These are about to be deleted: identity, and the path of the file of an asset.
    pub fn begin(&self, run: &str, collection: &Collection, doomed: &[(&str, Option<String>)]) -> Answer<()> {
        let sql = "UPDATE mirror_candidate SET is_begun = 1, file = ?4
                   WHERE run = ?1 AND collection = ?2 AND identity = ?3";
        let name = collection.name();
        let mut database = self.state.database();
        let transaction = database.transaction().at(&self.path)?;
        for (identity, file) in doomed {
            transaction.execute(sql, params![run, name, identity, file]).at(&self.path)?;
        }
        transaction.commit().at(&self.path)
    }

    /// Assets are about to get other files. Noted for a mirror only: others leave the old ones where they are.
    pub fn note_left_files(&self, run: &str, paths: &[String]) -> Answer<()> {
        let sql = "INSERT OR IGNORE INTO mirror_left_file SELECT run, ?2 FROM mirror_run WHERE run = ?1 AND decided";
        let mut database = self.state.database();
        let transaction = database.transaction().at(&self.path)?;
        for path in paths {
            transaction.execute(sql, params![run, path]).at(&self.path)?;
        }
        transaction.commit().at(&self.path)
    }

    /// At most [`PAGE_DOCUMENTS`] of them.
    pub fn left_files(&self, run: &str, after: &str) -> Answer<Vec<String>> {
        let sql = format!(
            "SELECT path FROM mirror_left_file WHERE run = ?1 AND path > ?2 ORDER BY path LIMIT {PAGE_DOCUMENTS}"
        );
        let database = self.state.database();
        let mut statement = database.prepare_cached(&sql).at(&self.path)?;
        let rows = statement.query_map([run, after], |row| row.get(0)).at(&self.path)?;
        rows.collect::<rusqlite::Result<_>>().at(&self.path)
    }

    /// How many documents a source has now.
    pub fn remember_source(&self, source: &str, collection: &Collection, count: u64) -> Answer<()> {
        let sql = "INSERT INTO mirror_source VALUES (?1, ?2, ?3)
                   ON CONFLICT (source, collection) DO UPDATE SET count = ?3 WHERE count <> ?3";
        let values = params![source, collection.name(), count.cast_signed()];
        self.state.database().execute(sql, values).at(&self.path)?;
        Ok(())
    }
}
