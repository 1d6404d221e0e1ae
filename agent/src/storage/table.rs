//! One collection in its table: reads rows and makes what the index knows of them right, a page at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use protocol::api::{HeldCause, HeldDocument};
use protocol::canonical::Identity;
use protocol::collection::Collection;
use rusqlite::OptionalExtension;

use super::Storage;
use super::analysis::{analyse, bytes_of, raw_hash};
use super::asset_rows::AssetView;
use super::database::{Locked, Open};
use super::fault::{Answer, At};
use super::index::{IndexRow, Known};
use super::sums::Sums;

/// Rows that are looked at in one transaction.
pub(crate) const PAGE: i64 = 500;

/// What is known of a table as long as nobody else writes to its file.
#[derive(Default)]
pub(crate) struct TableState {
    /// What was left open by whoever had the table last is settled.
    pub settled: bool,
    /// The index knows every document of the table, though perhaps not what it is now.
    pub followed: bool,
    /// The index is the table.
    pub certain: bool,
    /// The state of the assets with which all copies were compared, if it is certain.
    pub assets: i64,
    pub sums: Option<Sums>,
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
    /// Under which its state is kept: one table may be asked for by two fields.
    pub key: String,
    pub sql: Arc<TableSql>,
}

/// What is asked for each row.
#[derive(Debug)]
pub(crate) struct TableSql {
    pub select: String,
    pub insert: String,
    pub update: String,
}

impl Table {
    pub fn new(collection: &Collection, number: i64, file: String, name: String) -> Self {
        let sql = TableSql {
            select: format!("SELECT document FROM `{name}` WHERE id = ?1"),
            insert: format!("INSERT INTO `{name}` (document) VALUES (?1)"),
            update: format!("UPDATE `{name}` SET document = ?2 WHERE id = ?1"),
        };
        let identity = collection.identity();
        let key = match identity {
            Identity::Field(field) => format!("{name}#{field}"),
            _ => name.clone(),
        };
        Self { collection: collection.clone(), identity, number, file, name, key, sql: Arc::new(sql) }
    }

    /// Whether a state is that of the same table, asked for by another field.
    pub fn shares(&self, key: &str) -> bool {
        key != self.key && key.split('#').next().is_some_and(|name| name.eq_ignore_ascii_case(&self.name))
    }

    /// The name between Cockpit's own quotes. Table names have no quotes in them.
    pub fn quoted(&self) -> String {
        format!("`{}`", self.name)
    }
}

/// What came of looking where the index says.
enum Looked {
    At(Vec<(IndexRow, Vec<u8>)>),
    /// Another document is there.
    Moved,
}

/// A page that was looked at.
pub(crate) struct Scanned {
    /// The index is right up to this row.
    pub covered_to: i64,
    pub is_last: bool,
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
        let known = self.index.lock().raw_hashes(table.number, from, to, PAGE)?;
        // Whether rows behind these are known was not asked.
        let end = known.last().filter(|_| known.len() == PAGE as usize).map_or(to, |(row, ..)| *row);
        let mut known = known.into_iter().peekable();
        let (mut gone, mut changed) = (Vec::new(), Vec::new());
        let (mut last, mut count) = (None, 0);
        {
            let quoted = table.quoted();
            let sql = format!("SELECT id, document FROM {quoted} WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT {PAGE}");
            let mut statement = open.connection.prepare_cached(&sql).at(&path)?;
            let mut rows = statement.query([from, end]).at(&path)?;
            while let Some(row) = rows.next().at(&path)? {
                let id: i64 = row.get(0).at(&path)?;
                last = Some(id);
                count += 1;
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
        let covered_to = last.filter(|_| count == PAGE).unwrap_or(end);
        gone.extend(known.map(|(vanished, ..)| vanished).take_while(|vanished| *vanished <= covered_to));
        if !gone.is_empty() || !changed.is_empty() {
            open.table(&table.key).sums = None;
            self.store_page(table, &gone, &changed)?;
        }
        self.rows_looked_at.fetch_add(count.cast_unsigned(), Ordering::Relaxed);
        if let Some(last) = last {
            let lookup = self.index.lock();
            // Rows that were never looked at must not be taken for old ones.
            if from <= lookup.last_row(table.number)?.saturating_add(1) {
                lookup.raise_last_row(table.number, last)?;
            }
        }
        Ok(Scanned { covered_to, is_last: count < PAGE && end == to })
    }

    /// The bytes of a row; none when there is no such row or no text in it.
    pub(crate) fn row_bytes(&self, open: &Open, table: &Table, row: i64) -> Answer<Option<Vec<u8>>> {
        self.rows_looked_at.fetch_add(1, Ordering::Relaxed);
        let read = |row: &rusqlite::Row<'_>| Ok(bytes_of(row.get_ref(0)?).map(<[u8]>::to_vec));
        let bytes = open
            .connection
            .prepare_cached(&table.sql.select)
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
        self.rows_among(open, table, identity, candidates, assets)
    }

    /// The same where the index was asked already.
    pub(crate) fn rows_among(
        &self,
        open: &mut Open,
        table: &Table,
        identity: &str,
        candidates: Vec<IndexRow>,
        assets: Option<&AssetView<'_>>,
    ) -> Answer<Vec<(IndexRow, Vec<u8>)>> {
        let Looked::At(found) = self.look_at(open, table, identity, candidates, assets)? else {
            // Nothing is where it was: whoever does that is not Cockpit. All rows tell where it is now.
            self.index.lock().doubt(table.number)?;
            *open.table(&table.key) = TableState::default();
            self.catch_up_within(open, table, assets)?;
            let candidates = self.index.lock().with_identity(table.number, identity)?;
            return Ok(match self.look_at(open, table, identity, candidates, assets)? {
                Looked::At(found) => found,
                Looked::Moved => Vec::new(),
            });
        };
        Ok(found)
    }

    fn look_at(
        &self,
        open: &mut Open,
        table: &Table,
        identity: &str,
        candidates: Vec<IndexRow>,
        assets: Option<&AssetView<'_>>,
    ) -> Answer<Looked> {
        let mut found = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let Some(bytes) = self.row_bytes(open, table, candidate.row)? else {
                open.table(&table.key).sums = None;
                self.store_page(table, &[candidate.row], &[])?;
                continue;
            };
            if raw_hash(&bytes) == candidate.raw {
                found.push((candidate, bytes));
                continue;
            }
            let looked_at = analyse(candidate.row, &bytes, table.identity, assets)?;
            open.table(&table.key).sums = None;
            self.store_page(table, &[], &[(looked_at.clone(), true)])?;
            match looked_at.identity() {
                Some(own) if own == identity => {
                    let stored = self.index.lock().row(table.number, candidate.row)?;
                    found.extend(stored.map(|row| (row, bytes)));
                }
                Some(_) => return Ok(Looked::Moved),
                None => {}
            }
        }
        Ok(Looked::At(found))
    }

    /// Stores what was seen: rows that are gone, and rows that changed (with whether they were known before).
    pub(crate) fn store_page(&self, table: &Table, gone: &[i64], changed: &[(IndexRow, bool)]) -> Answer<()> {
        let now_ms = self.now_ms();
        self.index.lock().transaction(|lookup| {
            for row in gone {
                if let Some(before) = lookup.row(table.number, *row)? {
                    lookup.bury(table.number, &before, now_ms)?;
                }
            }
            for (row, was_known) in changed {
                // Which run wrote a row is forgotten when it is another document now.
                if *was_known
                    && let Some(before) = lookup.row(table.number, row.row)?
                    && before.identity() != row.identity()
                {
                    lookup.bury(table.number, &before, now_ms)?;
                }
                lookup.put(table.number, row)?;
            }
            lookup.set_whole(table.number, None)
        })
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
