//! Documents that were there and are not any more: for a day it is remembered that somebody deleted them.

use std::sync::atomic::Ordering;

use protocol::api::Wrote;
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::StoredWrote;
use super::{IndexRow, Lookup};
use crate::storage::fault::{Answer, At};

/// What is remembered of a document that is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone {
    /// The collection's look at which it was noticed.
    pub look: i64,
    /// Which run had written it, and how.
    pub written: Option<(i64, Wrote)>,
}

pub(super) fn is_any(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM gone)", [], |row| row.get(0))
}

impl Lookup<'_> {
    /// Forgets a row that is not in the table any more, or is another document now. Its document is gone, unless
    /// another row holds it.
    pub fn bury(&self, collection: i64, row: &IndexRow, now_ms: i64) -> Answer<()> {
        self.remove(collection, row.row)?;
        let Some(identity) = row.identity() else { return Ok(()) };
        if self.winner(collection, identity)?.is_some() {
            return Ok(());
        }
        let sql = "REPLACE INTO gone VALUES (?1, ?2, ?3, ?4, ?5, (SELECT look FROM collections WHERE number = ?1))";
        let (run, wrote) = row.mark.map(|mark| (mark.run, StoredWrote(mark.wrote))).unzip();
        let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
        statement.execute(params![collection, identity, now_ms, run, wrote]).at(self.path)?;
        self.any_gone.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// It is there again.
    pub(super) fn unbury(&self, collection: i64, identity: &str) -> Answer<()> {
        if self.any_gone.load(Ordering::Relaxed) {
            let sql = "DELETE FROM gone WHERE collection = ?1 AND identity = ?2";
            let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
            statement.execute(params![collection, identity]).at(self.path)?;
        }
        Ok(())
    }

    /// For an identity that no row has.
    pub fn gone(&self, collection: i64, identity: &str) -> Answer<Option<Gone>> {
        if !self.any_gone.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let sql = "SELECT look, run, wrote FROM gone WHERE collection = ?1 AND identity = ?2";
        let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
        let read = |row: &rusqlite::Row<'_>| {
            let wrote: Option<StoredWrote> = row.get(2)?;
            let written = row.get::<_, Option<i64>>(1)?.zip(wrote.map(|StoredWrote(wrote)| wrote));
            Ok(Gone { look: row.get(0)?, written })
        };
        statement.query_row(params![collection, identity], read).optional().at(self.path)
    }

    /// Forgets what went before that time.
    pub(super) fn prune_gone(&self, before_ms: i64) -> Answer<()> {
        let sql = "DELETE FROM gone WHERE gone_ms < ?1";
        self.connection.execute(sql, [before_ms]).at(self.path)?;
        self.any_gone.store(is_any(&self.connection).at(self.path)?, Ordering::Relaxed);
        Ok(())
    }
}
