//! One collection in its table: brings what the index knows of it up to date, a page at a time.
//!
//! Two ways to be right. A row that is read has the bytes the index speaks of, or is looked at anew. And a table is
//! *certain* when all of it was read and nobody else has written to its file since: then the index is the table, and
//! what is not in the index is not there.

use protocol::api::{HeldCause, HeldDocument};
use protocol::canonical::{CollectionSummary, DocHash, Identity};
use protocol::collection::Collection;
use rusqlite::OptionalExtension;

use super::Storage;
use super::analysis::{analyse, bytes_of, raw_hash};
use super::asset_rows::AssetView;
use super::database::{Database, End, Locked, Open};
use super::fault::{Answer, At};
use super::index::{Embeds, Index, IndexRow, Known};

/// Rows that are looked at in one transaction.
pub(crate) const PAGE: i64 = 500;
/// Somebody writes all the time: then what was read last has to do.
const ATTEMPTS: usize = 3;

/// What is known of a table as long as nobody else writes to its file.
#[derive(Default)]
pub(crate) struct TableState {
    /// The index is the table.
    pub certain: bool,
    /// The state of the assets with which all copies were compared, if it is certain.
    pub assets: i64,
    pub sums: Option<Sums>,
}

/// All documents of a collection, summed up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub summary: CollectionSummary,
    pub bytes: u64,
    pub held: u64,
    /// Documents that hold a copy of an asset which is not as the asset's own row.
    pub stale: u64,
}

/// Where a collection is.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub collection: Collection,
    pub identity: Identity,
    /// Its number in the index.
    pub number: i64,
    pub file: String,
    pub name: String,
}

impl Table {
    /// The name between Cockpit's own quotes. Table names have no quotes in them.
    pub fn quoted(&self) -> String {
        format!("`{}`", self.name)
    }
}

/// A page that was looked at.
pub(crate) struct Scanned {
    /// The index is right up to this row.
    pub covered_to: i64,
    pub is_last: bool,
}

/// The hash a reader is told: with all copies of assets fresh.
pub(crate) fn effective_hash(hash: DocHash, embeds: Option<Embeds>) -> DocHash {
    embeds.and_then(|embeds| embeds.refreshed).unwrap_or(hash)
}

impl Storage {
    /// Looks at the first [`PAGE`] rows of `from..=to` within a transaction and makes the index right for them.
    pub(crate) fn scan_page(
        &self,
        open: &mut Open,
        table: &Table,
        (from, to): (i64, i64),
        assets: Option<&AssetView<'_>>,
    ) -> Answer<Scanned> {
        let path = self.database_path(&table.file);
        let quoted = table.quoted();
        let sql = format!(
            "SELECT max(id), count(*) FROM (SELECT id FROM {quoted} WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT {PAGE})"
        );
        let (last, count): (Option<i64>, i64) = open
            .connection
            .prepare_cached(&sql)
            .and_then(|mut statement| statement.query_row([from, to], |row| Ok((row.get(0)?, row.get(1)?))))
            .at(&path)?;
        let is_last = count < PAGE;
        let covered_to = if is_last { to } else { last.unwrap_or(to) };
        let known = self.index.lock().raw_hashes(table.number, from, covered_to)?;
        let mut known = known.into_iter().peekable();
        let mut gone = Vec::new();
        let mut changed = Vec::new();
        if count > 0 {
            let sql = format!("SELECT id, document FROM {quoted} WHERE id BETWEEN ?1 AND ?2 ORDER BY id");
            let mut statement = open.connection.prepare_cached(&sql).at(&path)?;
            let mut rows = statement.query([from, last.unwrap_or(from)]).at(&path)?;
            while let Some(row) = rows.next().at(&path)? {
                let id: i64 = row.get(0).at(&path)?;
                while let Some((vanished, ..)) = known.next_if(|(known_id, ..)| *known_id < id) {
                    gone.push(vanished);
                }
                let remembered = known.next_if(|(known_id, ..)| *known_id == id);
                let bytes = bytes_of(row.get_ref(1).at(&path)?).unwrap_or_default();
                let holds = remembered.is_some_and(|(_, raw, compared_with)| {
                    let is_fresh = match (compared_with, assets) {
                        (Some(state), Some(view)) => state == view.state(),
                        _ => true,
                    };
                    is_fresh && raw == raw_hash(bytes)
                });
                if !holds {
                    changed.push((analyse(id, bytes, table.identity, assets)?, remembered.is_some()));
                }
            }
        }
        gone.extend(known.map(|(vanished, ..)| vanished));
        if !gone.is_empty() || !changed.is_empty() {
            open.table(&table.name).sums = None;
            store_page(&self.index, table.number, &gone, &changed)?;
        }
        if let Some(last) = last {
            let lookup = self.index.lock();
            // Rows that were never looked at must not be taken for old ones.
            if from <= lookup.last_row(table.number)?.saturating_add(1) {
                lookup.raise_last_row(table.number, last)?;
            }
        }
        Ok(Scanned { covered_to, is_last })
    }

    /// Looks at the rows that came into being since the last look: all of them, the first time.
    pub(crate) fn catch_up(&self, database: &Database, table: &Table, assets: Option<&AssetView<'_>>) -> Answer<()> {
        loop {
            let is_last = self.locked(database)?.transaction("BEGIN", |locked| {
                if self.is_certain(locked, table, None)? {
                    return Ok(End::Commit(true));
                }
                let Some(open) = with_table(locked, table)? else { return Ok(End::Commit(true)) };
                let from = self.index.lock().last_row(table.number)?.saturating_add(1);
                Ok(End::Commit(self.scan_page(open, table, (from, i64::MAX), assets)?.is_last))
            })?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// The same within a transaction, for the few rows since [`Storage::catch_up`].
    pub(crate) fn catch_up_within(&self, open: &mut Open, table: &Table, assets: Option<&AssetView<'_>>) -> Answer<()> {
        while !open.table(&table.name).certain {
            let from = self.index.lock().last_row(table.number)?.saturating_add(1);
            if self.scan_page(open, table, (from, i64::MAX), assets)?.is_last {
                break;
            }
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
                        return Ok(End::Commit(None));
                    }
                    let undisturbed = *generation.get_or_insert(now) == now;
                    let Some(open) = with_table(locked, table)? else {
                        self.index.lock().forget(table.number)?;
                        return Ok(End::Commit(None));
                    };
                    let scanned = self.scan_page(open, table, (from, i64::MAX), assets)?;
                    if scanned.is_last && undisturbed {
                        let state = open.table(&table.name);
                        state.certain = true;
                        state.assets = assets.map_or(0, AssetView::state);
                        state.sums = None;
                        return Ok(End::Commit(None));
                    }
                    Ok(End::Commit(Some(scanned)))
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

    /// Whether the index is the table, copies of assets included.
    pub(crate) fn is_certain(
        &self,
        locked: &mut Locked<'_>,
        table: &Table,
        assets: Option<&AssetView<'_>>,
    ) -> Answer<bool> {
        let Some(open) = locked.open() else { return Ok(false) };
        let state = open.tables.get(&table.name).map(|state| (state.certain, state.assets));
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
        let state = open.table(&table.name);
        state.certain = true;
        state.assets = compared_with;
        Ok(assets.is_none() || compared_with == wanted)
    }

    /// The sums of a table whose index is up to date.
    pub(crate) fn sums(&self, open: &mut Open, table: &Table) -> Answer<Sums> {
        let state = open.table(&table.name);
        if let Some(sums) = state.sums {
            return Ok(sums);
        }
        let sums = summed_up(&self.index, table.number)?;
        if state.certain {
            state.sums = Some(sums);
        }
        Ok(sums)
    }

    /// The bytes of a row; none when there is no such row or no text in it.
    pub(crate) fn row_bytes(&self, open: &Open, table: &Table, row: i64) -> Answer<Option<Vec<u8>>> {
        let sql = format!("SELECT document FROM {} WHERE id = ?1", table.quoted());
        let read = |row: &rusqlite::Row<'_>| Ok(bytes_of(row.get_ref(0)?).map(<[u8]>::to_vec));
        let bytes = open
            .connection
            .prepare_cached(&sql)
            .and_then(|mut statement| statement.query_row([row], read).optional())
            .at(&self.database_path(&table.file))?;
        Ok(bytes.flatten())
    }

    /// Every row that has this identity now, the lowest first, with its bytes: the index says where to look.
    pub(crate) fn rows_of(
        &self,
        open: &mut Open,
        table: &Table,
        identity: &str,
        assets: Option<&AssetView<'_>>,
    ) -> Answer<Vec<(IndexRow, Vec<u8>)>> {
        let candidates = self.index.lock().with_identity(table.number, identity)?;
        let mut found = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let Some(bytes) = self.row_bytes(open, table, candidate.row)? else {
                open.table(&table.name).certain = false;
                continue;
            };
            if raw_hash(&bytes) == candidate.raw {
                found.push((candidate, bytes));
                continue;
            }
            let mut looked_at = analyse(candidate.row, &bytes, table.identity, assets)?;
            open.table(&table.name).sums = None;
            store_page(&self.index, table.number, &[], &[(looked_at.clone(), true)])?;
            if looked_at.identity() == Some(identity) {
                looked_at.mark = candidate.mark;
                found.push((looked_at, bytes));
            }
        }
        Ok(found)
    }

    /// Why a row that holds no usable document is set aside.
    pub(crate) fn held_fault(&self, row: &IndexRow) -> Option<HeldDocument> {
        let (cause, message) = match &row.known {
            Known::Document { .. } => return None,
            Known::Malformed(reason) => (HeldCause::Malformed, format!("no usable document: {reason}")),
            Known::TooLarge => (HeldCause::TooLarge, format!("{} bytes are over the limit of 16 MiB", row.size)),
        };
        Some(HeldDocument { identity: format!("row {}", row.row), cause, message })
    }

    pub(crate) fn held_duplicate(&self, table: &Table, identity: &str, row: i64, winner: i64) -> HeldDocument {
        HeldDocument {
            identity: identity.into(),
            cause: HeldCause::Duplicate,
            message: format!(
                "rows {winner} and {row} have the same {}: row {winner} counts, delete the other one",
                table.identity.field()
            ),
        }
    }
}

/// The open file, if the table is in it.
pub(crate) fn with_table<'l>(locked: &'l mut Locked<'_>, table: &Table) -> Answer<Option<&'l mut Open>> {
    let path = locked.path().to_owned();
    let Some(open) = locked.open() else { return Ok(None) };
    Ok(if open.has_table(&table.name).at(&path)? { Some(open) } else { None })
}

/// Stores what was seen: rows that are gone, and rows that changed (with whether they were known before).
pub(crate) fn store_page(index: &Index, collection: i64, gone: &[i64], changed: &[(IndexRow, bool)]) -> Answer<()> {
    index.lock().transaction(|lookup| {
        for row in gone {
            lookup.remove(collection, *row)?;
        }
        for (row, was_known) in changed {
            // Which run wrote a row is forgotten when it is another document now.
            if *was_known && lookup.row(collection, row.row)?.is_some_and(|before| before.identity() != row.identity())
            {
                lookup.remove(collection, row.row)?;
            }
            lookup.put(collection, row)?;
        }
        lookup.set_whole(collection, None)
    })
}

fn summed_up(index: &Index, collection: i64) -> Answer<Sums> {
    let lookup = index.lock();
    let mut sums = Sums::default();
    lookup.each_document(collection, |row| {
        if let Known::Document { identity, hash, embeds } = &row.known {
            sums.summary.add(identity, effective_hash(*hash, *embeds));
            sums.bytes += u64::from(row.size);
            sums.stale += u64::from(embeds.is_some_and(|embeds| embeds.refreshed.is_some()));
        }
    })?;
    for duplicated in lookup.duplicated(collection)? {
        for row in lookup.with_identity(collection, &duplicated)?.iter().skip(1) {
            if let Known::Document { identity, hash, embeds } = &row.known {
                sums.summary.remove(identity, effective_hash(*hash, *embeds));
                sums.bytes -= u64::from(row.size);
                sums.stale -= u64::from(embeds.is_some_and(|embeds| embeds.refreshed.is_some()));
                sums.held += 1;
            }
        }
    }
    sums.held += lookup.faults(collection, 0)?.1;
    Ok(sums)
}
