//! The sum of a collection: what two instances compare first.

use protocol::canonical::{CollectionSummary, DocHash};

use super::Storage;
use super::database::Open;
use super::fault::Answer;
use super::index::{Embeds, Index, Known};
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
