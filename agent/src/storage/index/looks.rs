//! What a run saw first: whether a document was changed by others since.
//!
//! Each collection counts its *looks*. A run that has all of a collection looked at begins a new one, and everything
//! that is found to be other than it was carries the number of the look at that time. No clock is asked: a document that
//! Cockpit stamped before the run began and stored after it is told apart all the same.

use protocol::canonical::DocHash;
use rusqlite::{OptionalExtension, params};

use super::{Gone, IndexRow, Lookup};
use crate::storage::fault::{Answer, At};

const REMEMBERED_MS: i64 = 24 * 3600 * 1000;

/// A run, and the look it began in a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub run: i64,
    /// None: it has not had the collection looked at, or that is forgotten.
    pub look: Option<i64>,
}

impl Seen {
    /// Whether a row is not what the run saw first.
    pub fn is_new(self, row: &IndexRow) -> bool {
        self.look.is_some_and(|look| row.look >= look)
    }

    /// The same, and no run wrote what is there now.
    pub fn is_changed_by_others(self, row: &IndexRow, hash: DocHash) -> bool {
        self.is_new(row) && row.mark.is_none_or(|mark| mark.hash != hash)
    }

    pub fn is_gone_since(self, gone: &Gone) -> bool {
        self.look.is_some_and(|look| gone.look >= look)
    }
}

impl Lookup<'_> {
    /// To be called when all of a collection was looked at. The first one of a run counts; whether this is it.
    pub fn begin_look(&self, collection: i64, run: i64, now_ms: i64) -> Answer<bool> {
        if self.seen(collection, run)?.look.is_some() {
            return Ok(false);
        }
        self.connection
            .execute("UPDATE collections SET look = look + 1 WHERE number = ?1", [collection])
            .at(self.path)?;
        let sql = "INSERT INTO looks SELECT number, ?2, look, ?3 FROM collections WHERE number = ?1";
        self.connection.execute(sql, params![collection, run, now_ms]).at(self.path)?;
        Ok(true)
    }

    pub fn seen(&self, collection: i64, run: i64) -> Answer<Seen> {
        let sql = "SELECT look FROM looks WHERE collection = ?1 AND run = ?2";
        let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
        let look = statement.query_row([collection, run], |row| row.get(0)).optional().at(self.path)?;
        Ok(Seen { run, look })
    }

    /// Whether a document is not what the run saw first, or not there any more.
    pub fn is_changed_since(&self, collection: i64, identity: &str, seen: Seen) -> Answer<bool> {
        match self.with_identity(collection, identity)?.first() {
            Some(row) => Ok(seen.is_new(row)),
            None => Ok(self.gone(collection, identity)?.is_some_and(|gone| seen.is_gone_since(&gone))),
        }
    }

    /// The look that what changes now is noted with.
    pub fn look(&self, collection: i64) -> Answer<i64> {
        let sql = "SELECT look FROM collections WHERE number = ?1";
        let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
        statement.query_row([collection], |row| row.get(0)).at(self.path)
    }

    /// Documents that are not what they were before this look, in the order of their rows, from behind a row on.
    pub fn changed_since(
        &self,
        collection: i64,
        look: i64,
        after: i64,
        limit: usize,
    ) -> Answer<Vec<(i64, String, DocHash)>> {
        let sql = "SELECT row, identity, hash FROM rows
                   WHERE collection = ?1 AND row > ?3 AND look >= ?2 AND identity IS NOT NULL ORDER BY row LIMIT ?4";
        let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, DocHash(row.get(2)?)));
        let rows = statement.query_map([collection, look, after, limit], read).at(self.path)?;
        rows.collect::<rusqlite::Result<_>>().at(self.path)
    }

    /// A number that no other index has: looks of another one mean nothing here.
    pub fn made(&self) -> Answer<i64> {
        let sql = "INSERT OR IGNORE INTO meta VALUES ('made', ?1)";
        self.connection.execute(sql, [rand::random::<i64>()]).at(self.path)?;
        self.connection.query_row("SELECT value FROM meta WHERE name = 'made'", [], |row| row.get(0)).at(self.path)
    }

    /// What runs saw first was another table: what is there now is new to them and nobody's work.
    pub fn forget_looks(&self, collection: i64) -> Answer<()> {
        self.connection.execute("DELETE FROM looks WHERE collection = ?1", [collection]).at(self.path)?;
        Ok(())
    }

    /// Forgets what runs saw long ago, and what was deleted then.
    pub fn prune_memory(&self, now_ms: i64) -> Answer<()> {
        let before_ms = now_ms.saturating_sub(REMEMBERED_MS);
        self.connection.execute("DELETE FROM looks WHERE began_ms < ?1", [before_ms]).at(self.path)?;
        self.prune_gone(before_ms)?;
        self.prune_runs()
    }
}
