//! What a target lacks or holds different, and who made it so.

use protocol::api::{Diff, DiffRequest, Difference, PAGE_DOCUMENTS};
use protocol::canonical::DocHash;
use protocol::collection::Collection;

use super::Storage;
use super::fault::Answer;
use super::index::{Gone, IndexRow, Known, Seen};
use super::table::with_table;

impl Storage {
    pub fn diff(&self, request: &DiffRequest) -> Answer<Diff> {
        self.allow_collection(&request.collection)?;
        let diff = self.differences(request)?;
        self.with_agreements(request, diff)
    }

    fn differences(&self, request: &DiffRequest) -> Answer<Diff> {
        if request.collection == Collection::Models {
            return self.diff_models(request);
        }
        let table = self.table(&request.collection)?;
        let database = self.database(&table.file)?;
        let assets = self.assets_for(&request.collection)?;
        let seen = self.seen(table.number, &request.run)?;
        self.catch_up(&database, &table, assets.as_ref())?;
        let mut differences = Vec::with_capacity(request.entries.len());
        for entries in request.entries.chunks(PAGE_DOCUMENTS) {
            self.locked(&database)?.transaction("BEGIN", |locked| {
                // The hashes of what is stored are compared: whether copies of assets are stale is no matter.
                let is_certain = self.is_certain(locked, &table, None)?;
                let mut open = with_table(locked, &table)?;
                if let Some(open) = &mut open {
                    self.catch_up_within(open, &table, assets.as_ref())?;
                }
                let identities = entries.iter().map(|(identity, _)| identity.as_str());
                let known = self.index.lock().with_identities(table.number, identities)?;
                for ((identity, hash), candidates) in entries.iter().zip(known) {
                    let row = match &mut open {
                        Some(open) if !is_certain && !candidates.is_empty() => {
                            let rows = self.rows_among(open, &table, identity, candidates, assets.as_ref())?;
                            rows.into_iter().next().map(|(row, _)| row)
                        }
                        Some(_) => candidates.into_iter().next(),
                        None => None,
                    };
                    let found = row.and_then(|row| Some((row.row, compared(&row, *hash, seen)?)));
                    differences.push(match (found, &open) {
                        (Some((row, Difference::Same | Difference::Written(_))), Some(open))
                            if self.lacks_file_of_row(open, &table, row)? =>
                        {
                            Difference::Differs(*hash)
                        }
                        (Some((_, difference)), _) => difference,
                        (None, _) => absent(self.index.lock().gone(table.number, identity)?, seen),
                    });
                }
                Ok(())
            })?;
        }
        Ok(Diff { differences })
    }
}

/// How a row compares with a document of the source, for a run. None when it holds no document.
pub(crate) fn compared(row: &IndexRow, wanted: DocHash, seen: Seen) -> Option<Difference> {
    let Known::Document { hash, .. } = &row.known else { return None };
    let written = row.mark.filter(|mark| mark.run == seen.run);
    Some(match written {
        Some(mark) if *hash == wanted => Difference::Written(mark.wrote),
        None if *hash == wanted => Difference::Same,
        Some(mark) if mark.hash != *hash => Difference::Edited(mark.wrote),
        None if seen.is_changed_by_others(row, *hash) => Difference::Changed(*hash),
        _ => Difference::Differs(*hash),
    })
}

/// What is said of a document that is not there.
pub(crate) fn absent(gone: Option<Gone>, seen: Seen) -> Difference {
    match gone {
        Some(Gone { written: Some((by, wrote)), .. }) if by == seen.run => Difference::Edited(wrote),
        Some(gone) if seen.is_gone_since(&gone) => Difference::Deleted,
        _ => Difference::Lacks,
    }
}
