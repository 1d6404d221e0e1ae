//! Documents of the target that the source does not have: what a mirror deletes.

use protocol::api::{Absent, AbsentRequest, Entry, ExtentRequest, ListRequest};
use protocol::collection::Collection;
use protocol::selection::Selection;

use crate::{CompareError, Ends};

/// The target's documents, asked for at the source a page at a time: those that were there when it began.
pub struct Extras<'a> {
    ends: Ends<'a>,
    collection: &'a Collection,
    selection: Selection,
    next: Option<u64>,
    /// What comes into being meanwhile has a higher row id, and is somebody's new work.
    to: u64,
}

/// Some documents of the target.
#[derive(Debug)]
pub struct ExtraPage {
    /// How many there are in it.
    pub listed: u64,
    /// Those that the source does not have.
    pub extras: Vec<Entry>,
    /// Documents of the collection at the source.
    pub at_source: u64,
    /// Why the source's answer proves nothing.
    pub unproven: Option<String>,
}

impl<'a> Extras<'a> {
    pub async fn begin(ends: Ends<'a>, collection: &'a Collection, selection: Selection) -> Result<Self, CompareError> {
        let extent = ends.target.call(&ExtentRequest { collection: collection.clone() }).await?;
        let next = (extent.last_row > 0).then_some(0);
        Ok(Self { ends, collection, selection, next, to: extent.last_row })
    }

    /// The next page; none when all were asked for.
    pub async fn next(&mut self) -> Result<Option<ExtraPage>, CompareError> {
        let Some(from_row) = self.next else { return Ok(None) };
        let request = ListRequest {
            collection: self.collection.clone(),
            selection: self.selection.clone(),
            from_row,
            to_row: Some(self.to),
            documents: false,
        };
        let listing = self.ends.target.call(&request).await?;
        self.next = listing.next_row;
        let identities = listing.entries.iter().map(|entry| entry.identity.clone()).collect();
        let answer = absent(self.ends, self.collection, identities).await?;
        let listed = listing.entries.len() as u64;
        let mut extras = listing.entries;
        let absent: std::collections::HashSet<String> = answer.absent.into_iter().collect();
        extras.retain(|entry| absent.contains(&entry.identity));
        Ok(Some(ExtraPage { listed, extras, at_source: answer.count, unproven: answer.unproven }))
    }
}

/// Which of these the source does not have. An error is never an answer to that.
pub async fn absent(ends: Ends<'_>, collection: &Collection, identities: Vec<String>) -> Result<Absent, CompareError> {
    Ok(ends.source.call(&AbsentRequest { collection: collection.clone(), identities }).await?)
}
