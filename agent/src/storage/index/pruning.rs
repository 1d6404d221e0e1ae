//! What nothing in the index speaks of any more: names of runs, hashes of files that are gone.

use std::path::Path;

use rusqlite::{OptionalExtension, params};

use super::Lookup;
use crate::storage::fault::{Answer, At};

/// Of the latest runs the names stay: they may be at work, and the highest number is not given twice.
const RUNS_KEPT: i64 = 1000;
/// So many files are looked for at once.
const FILES: i64 = 200;

impl Lookup<'_> {
    /// Forgets the names of runs that nothing is noted of. It takes a look at every row, so only one in so many runs pays.
    pub(super) fn prune_runs(&self) -> Answer<()> {
        let newest = "SELECT ifnull(max(number), 0) FROM runs";
        let newest: i64 = self.connection.query_row(newest, [], |row| row.get(0)).at(self.path)?;
        let pruned = "SELECT value FROM meta WHERE name = 'runs pruned'";
        let pruned: Option<i64> = self.connection.query_row(pruned, [], |row| row.get(0)).optional().at(self.path)?;
        if newest - pruned.unwrap_or(0) < RUNS_KEPT {
            return Ok(());
        }
        let sql = "DELETE FROM runs WHERE number <= ?1 AND number NOT IN (
                       SELECT run FROM rows WHERE run IS NOT NULL UNION SELECT run FROM gone WHERE run IS NOT NULL
                       UNION SELECT run FROM looks UNION SELECT run FROM intents)";
        self.connection.execute(sql, [newest - RUNS_KEPT]).at(self.path)?;
        self.connection.execute("REPLACE INTO meta VALUES ('runs pruned', ?1)", [newest]).at(self.path)?;
        Ok(())
    }

    /// Forgets the hashes of files that are gone: looks for some of them, and goes on behind those the next time.
    pub fn prune_files(&self, behind: &mut String) -> Answer<()> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT path FROM files WHERE path > ?1 ORDER BY path LIMIT ?2")
            .at(self.path)?;
        let paths = statement.query_map(params![behind.as_str(), FILES], |row| row.get(0)).at(self.path)?;
        let paths = paths.collect::<rusqlite::Result<Vec<String>>>().at(self.path)?;
        for path in paths.iter().filter(|path| !Path::new(path).exists()) {
            self.connection.execute("DELETE FROM files WHERE path = ?1", [path]).at(self.path)?;
        }
        *behind = paths.into_iter().next_back().unwrap_or_default();
        Ok(())
    }

    /// Moves the -wal into the file, which keeps its size otherwise.
    pub fn shrink(&self) -> Answer<()> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).at(self.path)
    }
}
