//! The sum of a collection: what two instances compare first.

use protocol::canonical::{CollectionSummary, DocHash};

use super::Storage;
use super::database::Open;
use super::fault::Answer;
use super::index::{DocumentRow, Embeds, Index, IndexRow, Lookup};
use super::table::Table;

/// All documents of a collection, summed up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub summary: CollectionSummary,
    pub bytes: u64,
    pub held: u64,
    /// Documents that hold a copy of an asset which is not as the asset's own row.
    pub stale: u64,
}

/// The hash a reader is told: with all copies of assets fresh.
pub(crate) fn effective_hash(hash: DocHash, embeds: Option<Embeds>) -> DocHash {
    embeds.and_then(|embeds| embeds.refreshed).unwrap_or(hash)
}

impl Storage {
    /// The sums of a table whose index is up to date.
    pub(crate) fn sums(&self, open: &mut Open, table: &Table) -> Answer<Sums> {
        let state = open.table(&table.key);
        if let Some(sums) = state.sums {
            return Ok(sums);
        }
        let sums = summed_up(&self.index, table.number)?;
        if state.certain {
            state.sums = Some(sums);
        }
        Ok(sums)
    }
}

fn summed_up(index: &Index, collection: i64) -> Answer<Sums> {
    let lookup = index.lock();
    let mut sums = Sums::default();
    each_that_counts(&lookup, collection, |row, counts| {
        let hash = row.sent_hash();
        let stale = u64::from(row.refreshed.is_some());
        if counts {
            sums.summary.add(row.identity, hash);
            sums.bytes += u64::from(row.size);
            sums.stale += stale;
        } else {
            sums.summary.remove(row.identity, hash);
            sums.bytes -= u64::from(row.size);
            sums.stale -= stale;
            sums.held += 1;
        }
    })?;
    sums.held += lookup.faults(collection, 0)?.1;
    Ok(sums)
}

/// Visits every document, and then once more, with false, those that do not count: another row with the same identity
/// does.
pub(crate) fn each_that_counts(
    lookup: &Lookup<'_>,
    collection: i64,
    mut visit: impl FnMut(DocumentRow<'_>, bool),
) -> Answer<()> {
    lookup.each_document(collection, |row| visit(row, true))?;
    for duplicated in lookup.duplicated(collection)? {
        let rows = lookup.with_identity(collection, &duplicated)?;
        rows.iter().skip(1).filter_map(IndexRow::document).for_each(|row| visit(row, false));
    }
    Ok(())
}
