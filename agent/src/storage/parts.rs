//! Answers about parts of a collection, as two instances that differ in little ask them: see `protocol::api::PartsRequest`.

use protocol::api::{
    AgentError, ErrorCode, ListPartsRequest, ListRequest, Listing, MAX_PARTS, Parts, PartsRequest, part_of,
};
use protocol::canonical::CollectionSummary;
use protocol::collection::Collection;
use protocol::selection::Selection;

use super::Storage;
use super::fault::Answer;
use super::reading::Meant;
use super::sums::each_that_counts;
use super::table::with_table;

impl Storage {
    pub fn parts(&self, request: &PartsRequest) -> Answer<Parts> {
        check(&request.collection, request.parts)?;
        self.allow_collection(&request.collection)?;
        let table = self.table(&request.collection)?;
        let database = self.database(&table.file)?;
        let assets = self.assets_for(&request.collection)?;
        self.make_certain(&database, &table, assets.as_ref())?;
        let mut sums = vec![CollectionSummary::default(); request.parts as usize];
        let complete = self.locked(&database)?.transaction("BEGIN", |locked| {
            if with_table(locked, &table)?.is_none() {
                return Ok(false);
            }
            each_that_counts(&self.index.lock(), table.number, |row, counts| {
                let hash = if request.as_stored { row.hash } else { row.sent_hash() };
                let sum = &mut sums[part_of(row.identity, request.parts) as usize];
                if counts { sum.add(row.identity, hash) } else { sum.remove(row.identity, hash) }
            })?;
            Ok(true)
        })?;
        Ok(Parts { complete, sums })
    }

    pub fn list_parts(&self, request: &ListPartsRequest) -> Answer<Listing> {
        check(&request.collection, request.parts)?;
        let mut wanted = vec![false; request.parts as usize];
        for part in &request.which {
            let place = wanted.get_mut(*part as usize);
            *place.ok_or_else(|| refused(format!("there is no part {part} of {}", request.parts)))? = true;
        }
        let is_wanted = |identity: &str| wanted[part_of(identity, request.parts) as usize];
        let list = ListRequest {
            collection: request.collection.clone(),
            selection: Selection::default(),
            from_row: request.from_row,
            to_row: None,
            documents: false,
        };
        self.page(&list, Meant::Those(&is_wanted))
    }
}

/// Elsewhere more than hashes decides what is the same (files of assets), or there is too little to cut.
fn check(collection: &Collection, parts: u32) -> Answer<()> {
    if !matches!(collection, Collection::Items(_) | Collection::Custom(_)) {
        return Err(refused(format!("{collection} is not compared in parts")));
    }
    if !(1..=MAX_PARTS).contains(&parts) {
        return Err(refused(format!("a collection is cut into 1 to {MAX_PARTS} parts, not {parts}")));
    }
    Ok(())
}

fn refused(message: String) -> AgentError {
    AgentError::new(ErrorCode::BadRequest, message)
}
