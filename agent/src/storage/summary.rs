//! Answers about a collection as a whole: how many documents, and one sum over all of them.

use protocol::api::{HeldDocument, ListRequest, Summary, SummaryRequest};
use protocol::collection::Collection;
use sha2::{Digest, Sha256};

use super::Storage;
use super::fault::Answer;
use super::index::{IndexRow, Known};
use super::sums::{Sums, effective_hash};
use super::table::{Table, with_table};

/// A summary names at most so many documents that are set aside.
const HELD_NAMED: usize = 100;

impl Storage {
    pub fn summary(&self, request: &SummaryRequest) -> Answer<Summary> {
        let summary = self.summed(request)?;
        if let Some(run) = &request.run
            && self.grants.info().is_some_and(|grant| grant.run == *run)
        {
            let collection = request.collection.name();
            self.records.fingerprint(run, &collection, summary.summary, summary.first_look);
        }
        Ok(summary)
    }

    fn summed(&self, request: &SummaryRequest) -> Answer<Summary> {
        self.allow_collection(&request.collection)?;
        if request.collection == Collection::Models {
            return self.summary_of_models(request);
        }
        let table = self.table(&request.collection)?;
        let only = self.only_allowed(&request.collection, &request.selection, false);
        let database = self.database(&table.file)?;
        let assets = self.assets_for(&request.collection)?;
        match &only {
            Some(only) => self.make_certain_of(only, &database, &table, assets.as_ref())?,
            None => self.make_certain(&database, &table, assets.as_ref())?,
        }
        let first_look = match &request.run {
            Some(run) => self.begin_look(&table, assets.is_some(), run)?,
            None => false,
        };
        if request.selection.filter.is_some() {
            return Ok(Summary { first_look, ..self.summary_by_listing(request)? });
        }
        self.locked(&database)?.transaction("BEGIN", |locked| {
            let Some(open) = with_table(locked, &table)? else {
                return Ok(Summary {
                    complete: false,
                    summary: Default::default(),
                    bytes: 0,
                    held: Vec::new(),
                    held_total: 0,
                    first_look,
                });
            };
            let (mut sums, held) = match &only {
                None => (self.sums(open, &table)?, self.named_held(&table)?),
                Some(only) => self.sums_of(&table, only)?,
            };
            sums.stale += self.rows_without_file(open, &table)?;
            Ok(Summary { first_look, ..self.summary_of(sums, held) })
        })
    }

    /// Asks every document, a page at a time. What is meant here and what is meant elsewhere need not be the same documents:
    /// the sum is salted, so that it equals no other.
    fn summary_by_listing(&self, request: &SummaryRequest) -> Answer<Summary> {
        let mut sums = Sums { stale: 1, ..Sums::default() };
        let mut held = Vec::new();
        let mut complete = true;
        let mut next = Some(0);
        while let Some(from_row) = next {
            let (collection, selection) = (request.collection.clone(), request.selection.clone());
            let page = self.list(&ListRequest { collection, selection, from_row, to_row: None, documents: false })?;
            for entry in page.entries {
                sums.summary.add(&entry.identity, entry.hash);
                sums.bytes += u64::from(entry.size);
            }
            sums.held += page.held.len() as u64;
            held.extend(page.held.into_iter().take(HELD_NAMED - held.len()));
            complete &= page.complete;
            next = page.next_row;
        }
        Ok(Summary { complete, ..self.summary_of(sums, held) })
    }

    /// From now on it counts as changed what is changed; of the assets, whose copies documents hold, as well.
    /// Whether the run had not looked at the collection before.
    fn begin_look(&self, table: &Table, holds_copies: bool, run: &str) -> Answer<bool> {
        let assets = self.table(&Collection::Assets)?.number;
        let lookup = self.index.lock();
        let run = lookup.run(run)?;
        let is_first = lookup.begin_look(table.number, run, self.now_ms())?;
        if holds_copies {
            lookup.begin_look(assets, run, self.now_ms())?;
        }
        Ok(is_first)
    }

    /// What looks equal and is not must be looked at: an asset whose file is gone, and what an unsynced asset left
    /// behind: two instances whose documents hold the same stale
    /// copies of assets hash the same when refreshed. The one that is written to needs them, though. So the sum of
    /// documents with stale copies is nobody else's, and the documents are compared one by one.
    pub(crate) fn summary_of(&self, sums: Sums, held: Vec<HeldDocument>) -> Summary {
        let mut summary = sums.summary;
        if sums.stale > 0 {
            let digest = Sha256::digest(self.instance().as_bytes());
            let salt = digest[..16].try_into().expect("a SHA-256 digest has 32 bytes");
            summary.sum = summary.sum.wrapping_add(u128::from_be_bytes(salt));
        }
        Summary { complete: true, summary, bytes: sums.bytes, held, held_total: sums.held, first_look: false }
    }

    fn named_held(&self, table: &Table) -> Answer<Vec<HeldDocument>> {
        let lookup = self.index.lock();
        let (faults, _) = lookup.faults(table.number, HELD_NAMED.try_into().unwrap_or(i64::MAX))?;
        let mut held: Vec<HeldDocument> = faults.iter().filter_map(|row| self.held_fault(row)).collect();
        for identity in lookup.duplicated(table.number)? {
            let rows = lookup.with_identity(table.number, &identity)?;
            for row in rows.iter().skip(1) {
                held.push(self.held_duplicate(table, &identity, row.row, rows[0].row));
            }
        }
        held.truncate(HELD_NAMED);
        Ok(held)
    }

    fn sums_of(&self, table: &Table, only: &[String]) -> Answer<(Sums, Vec<HeldDocument>)> {
        let lookup = self.index.lock();
        let mut sums = Sums::default();
        let mut held = Vec::new();
        for identity in only {
            let rows = lookup.with_identity(table.number, identity)?;
            for row in rows.iter().skip(1) {
                held.push(self.held_duplicate(table, identity, row.row, rows[0].row));
            }
            if let Some(IndexRow { size, known: Known::Document { hash, embeds, .. }, .. }) = rows.first() {
                sums.summary.add(identity, effective_hash(*hash, *embeds));
                sums.bytes += u64::from(*size);
                sums.stale += u64::from(embeds.is_some_and(|embeds| embeds.refreshed.is_some()));
            }
        }
        sums.held = held.len() as u64;
        held.truncate(HELD_NAMED);
        Ok((sums, held))
    }
}
