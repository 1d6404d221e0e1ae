//! The assets' own rows, by id: copies of them within documents are compared with them.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::collection::Collection;

use super::Storage;
use super::fault::Answer;
use super::table::with_table;

/// Bytes of rows that are kept at most.
const KEPT_BYTES: usize = 8 * 1024 * 1024;

/// Rows that were read lately, all in one state of the assets.
#[derive(Default)]
pub(crate) struct AssetRows {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    state: i64,
    rows: HashMap<String, Option<Arc<[u8]>>>,
    bytes: usize,
}

/// The assets in one state.
pub(crate) struct AssetView<'s> {
    storage: &'s Storage,
    state: i64,
    /// Somebody changed the assets since: what is computed now must be computed again.
    outdated: Cell<bool>,
}

impl Storage {
    /// [`Storage::asset_view`]; none for collections without copies of assets.
    pub(crate) fn assets_for(&self, collection: &Collection) -> Answer<Option<AssetView<'_>>> {
        if !matches!(collection, Collection::Items(_) | Collection::Singletons | Collection::Custom(_)) {
            return Ok(None);
        }
        self.asset_view().map(Some)
    }

    /// The assets as they are now.
    pub(crate) fn asset_view(&self) -> Answer<AssetView<'_>> {
        let table = self.table(&Collection::Assets)?;
        let database = self.database(&table.file)?;
        self.make_certain(&database, &table, None)?;
        let mut locked = self.locked(&database)?;
        let sums = match with_table(&mut locked, &table)? {
            Some(open) => self.sums(open, &table)?,
            None => super::sums::Sums::default(),
        };
        // Any number that changes with the sum will do; 0 means "not compared".
        let folded = (sums.summary.sum ^ (sums.summary.sum >> 64)) as u64 ^ sums.summary.count.rotate_left(32);
        Ok(AssetView { storage: self, state: folded.cast_signed() | 1, outdated: Cell::new(false) })
    }
}

impl AssetView<'_> {
    /// 0 when what was compared has to be compared again.
    pub fn state(&self) -> i64 {
        if self.outdated.get() { 0 } else { self.state }
    }

    /// The stored text of an asset's row.
    pub fn row(&self, id: &str) -> Answer<Option<Arc<[u8]>>> {
        if let Some(known) = self.kept(id) {
            return Ok(known);
        }
        let row = self.read(id)?;
        self.keep(id, row.clone());
        Ok(row)
    }

    fn read(&self, id: &str) -> Answer<Option<Arc<[u8]>>> {
        let table = self.storage.table(&Collection::Assets)?;
        let database = self.storage.database(&table.file)?;
        let mut locked = self.storage.locked(&database)?;
        locked.transaction("BEGIN", |locked| {
            let Some(open) = with_table(locked, &table)? else { return Ok(None) };
            if !open.table(&table.key).certain {
                self.outdated.set(true);
            }
            self.storage.catch_up_within(open, &table, None)?;
            let mut rows = self.storage.rows_of(open, &table, id, None)?;
            Ok((!rows.is_empty()).then(|| Arc::from(rows.swap_remove(0).1)))
        })
    }

    fn kept(&self, id: &str) -> Option<Option<Arc<[u8]>>> {
        let kept = self.storage.asset_rows.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.state == self.state { kept.rows.get(id).cloned() } else { None }
    }

    fn keep(&self, id: &str, row: Option<Arc<[u8]>>) {
        if self.outdated.get() {
            return;
        }
        let mut kept = self.storage.asset_rows.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = id.len() + row.as_ref().map_or(0, |row| row.len());
        if kept.state != self.state || kept.bytes + bytes > KEPT_BYTES {
            *kept = Kept { state: self.state, ..Kept::default() };
        }
        kept.bytes += bytes;
        kept.rows.insert(id.into(), row);
    }
}
