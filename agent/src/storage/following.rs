//! Keeps the index at what others do to a table.
//!
//! A row that is read has the bytes the index speaks of, or is looked at anew: that is how a document is found. And
//! how it is known that there is none: row ids are never given twice and nobody changes the identity of a row, so a
//! table that was read once is *followed* by reading the rows that came since. What the index does not know then is not
//! there, whoever else writes. What would break that is noticed: another file, another schema (a table that was
//! dropped and made anew), row ids that begin again, and a row that is another document now.
//!
//! A table is *certain* when all of it was read and nobody else has written to its file since: then the index is the
//! table, and its sum the table's.

use protocol::api::PAGE_DOCUMENTS;
use rusqlite::OptionalExtension;

use super::Storage;
use super::analysis::{analyse, raw_hash};
use super::asset_rows::AssetView;
use super::database::{Database, Locked, Open};
use super::fault::{Answer, At};
use super::index::{Known, Mark};
use super::table::{Table, with_table};

/// Somebody writes all the time: then what was read last has to do.
const ATTEMPTS: usize = 3;
/// So many rows without a usable document are looked at again: somebody may have repaired them where they are.
const FAULTY_ROWS: i64 = 100;

impl Storage {
    /// Looks at the rows that came into being since the last look: all of them, the first time.
    pub(crate) fn catch_up(&self, database: &Database, table: &Table, assets: Option<&AssetView<'_>>) -> Answer<()> {
        loop {
            let is_last = self.locked(database)?.transaction("BEGIN", |locked| {
                if self.is_certain(locked, table, None)? {
                    return Ok(true);
                }
                let Some(open) = with_table(locked, table)? else { return Ok(true) };
                self.follow(open, table, assets)
            })?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// The same within a transaction, for the few rows since [`Storage::catch_up`].
    pub(crate) fn catch_up_within(&self, open: &mut Open, table: &Table, assets: Option<&AssetView<'_>>) -> Answer<()> {
        while !self.follow(open, table, assets)? {}
        Ok(())
    }

    /// One page. True when it was the last one.
    fn follow(&self, open: &mut Open, table: &Table, assets: Option<&AssetView<'_>>) -> Answer<bool> {
        if open.table(&table.key).followed {
            return Ok(true);
        }
        self.settle(open, table, assets)?;
        let from = self.index.lock().last_row(table.number)?.saturating_add(1);
        let is_last = self.scan_page(open, table, (from, i64::MAX), assets)?.is_last;
        open.table(&table.key).followed = is_last;
        Ok(is_last)
    }

    /// Finds out what became of a write that was interrupted, and whether the table can be followed from where it was
    /// looked at last.
    fn settle(&self, open: &mut Open, table: &Table, assets: Option<&AssetView<'_>>) -> Answer<()> {
        if open.table(&table.key).settled {
            return Ok(());
        }
        let path = self.database_path(&table.file);
        self.settle_intents(open, table, assets)?;
        let schema_version = schema_version(open).at(&path)?;
        let sequence = last_row_given(open, table).at(&path)?;
        let faulty = {
            let lookup = self.index.lock();
            let last_row = lookup.last_row(table.number)?;
            if lookup.schema_version(table.number)? != Some(schema_version) {
                lookup.doubt(table.number)?;
                lookup.set_schema_version(table.number, schema_version)?;
            } else if sequence < last_row {
                lookup.doubt(table.number)?;
            }
            lookup.faulty_rows(table.number, FAULTY_ROWS)?
        };
        for row in faulty {
            self.scan_page(open, table, (row, row), assets)?;
        }
        open.table(&table.key).settled = true;
        Ok(())
    }

    /// Marks the rows that a write which was interrupted did commit.
    fn settle_intents(&self, open: &mut Open, table: &Table, assets: Option<&AssetView<'_>>) -> Answer<()> {
        let intents = self.index.lock().intents(table.number)?;
        for intent in &intents {
            let Some(bytes) = self.row_bytes(open, table, intent.row)? else { continue };
            if raw_hash(&bytes) != intent.raw {
                continue;
            }
            let mut row = analyse(intent.row, &bytes, table.identity, assets)?;
            if let Known::Document { hash, .. } = row.known {
                row.mark = Some(Mark { run: intent.run, wrote: intent.wrote, hash });
                self.index.lock().put(table.number, &row)?;
            }
        }
        if !intents.is_empty() {
            tracing::info!(collection = %table.collection, "a write was interrupted here: what it committed is known now");
            self.index.lock().done(table.number)?;
        }
        Ok(())
    }

    /// Reads what must be read for the index to be the table. Where somebody else keeps writing, what was read last
    /// has to do: then the table is not certain afterwards.
    pub(crate) fn make_certain(
        &self,
        database: &Database,
        table: &Table,
        assets: Option<&AssetView<'_>>,
    ) -> Answer<()> {
        for _ in 0..ATTEMPTS {
            let mut from = 0;
            let mut generation = None;
            let done = loop {
                let mut locked = self.locked(database)?;
                let scanned = locked.transaction("BEGIN", |locked| {
                    let now = locked.generation();
                    if generation.is_none() && self.is_certain(locked, table, assets)? {
                        return Ok(None);
                    }
                    let undisturbed = *generation.get_or_insert(now) == now;
                    let Some(open) = with_table(locked, table)? else {
                        self.index.lock().forget(table.number)?;
                        return Ok(None);
                    };
                    self.settle(open, table, assets)?;
                    let scanned = self.scan_page(open, table, (from, i64::MAX), assets)?;
                    if scanned.is_last && undisturbed {
                        let state = open.table(&table.key);
                        state.followed = true;
                        state.certain = true;
                        state.assets = assets.map_or(0, AssetView::state);
                        state.sums = None;
                        return Ok(None);
                    }
                    Ok(Some(scanned))
                })?;
                match scanned {
                    None => break true,
                    Some(scanned) if scanned.is_last => break false,
                    Some(scanned) => from = scanned.covered_to + 1,
                }
            };
            if done {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The same for a few documents alone: the cost follows their number, not the size of the table.
    pub(crate) fn make_certain_of(
        &self,
        identities: &[String],
        database: &Database,
        table: &Table,
        assets: Option<&AssetView<'_>>,
    ) -> Answer<()> {
        self.catch_up(database, table, assets)?;
        for few in identities.chunks(PAGE_DOCUMENTS) {
            self.locked(database)?.transaction("BEGIN", |locked| {
                if self.is_certain(locked, table, assets)? {
                    return Ok(());
                }
                let Some(open) = with_table(locked, table)? else { return Ok(()) };
                self.catch_up_within(open, table, assets)?;
                for identity in few {
                    for (row, _) in self.rows_of(open, table, identity, assets)? {
                        // Its copies of assets may have been compared with other assets.
                        self.scan_page(open, table, (row.row, row.row), assets)?;
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Whether the index is the table, copies of assets included.
    pub(crate) fn is_certain(
        &self,
        locked: &mut Locked<'_>,
        table: &Table,
        assets: Option<&AssetView<'_>>,
    ) -> Answer<bool> {
        let Some(open) = locked.open() else { return Ok(false) };
        let state = open.tables.get(&table.key).map(|state| (state.certain, state.assets));
        let wanted = assets.map_or(0, AssetView::state);
        if let Some((true, compared_with)) = state {
            return Ok(assets.is_none() || compared_with == wanted);
        }
        let Some(fingerprint) = &open.fingerprint_at_open else { return Ok(false) };
        let whole = self.index.lock().whole(table.number)?;
        let Some((whole, compared_with)) = whole else { return Ok(false) };
        if whole != *fingerprint || !open.has_table(&table.name).at(&self.database_path(&table.file))? {
            return Ok(false);
        }
        let state = open.table(&table.key);
        state.settled = true;
        state.followed = true;
        state.certain = true;
        state.assets = compared_with;
        Ok(assets.is_none() || compared_with == wanted)
    }
}

/// Changes whenever a table is made or dropped.
pub(crate) fn schema_version(open: &Open) -> rusqlite::Result<i64> {
    open.connection.prepare_cached("PRAGMA schema_version")?.query_row([], |row| row.get(0))
}

/// The highest row id that was ever given. 0 where SQLite does not keep it: then ids may be given twice.
fn last_row_given(open: &Open, table: &Table) -> rusqlite::Result<i64> {
    if !open.has_table("sqlite_sequence")? {
        return Ok(0);
    }
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
    Ok(open.connection.prepare_cached(sql)?.query_row([&table.name], |row| row.get(0)).optional()?.unwrap_or(0))
}
