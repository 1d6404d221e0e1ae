//! What differs between two instances, page by page: whoever plans, whoever writes and whoever verifies gets the same
//! answer.
//!
//! Owns the order of questions: list at the source, ask the target which of it it lacks or holds different, fetch what is
//! wanted. Memory is bounded by a page (I8). It must not know what is done about a difference, nor the queue.

mod conflicts;
mod documents;
mod embedded;
mod extras;
mod merging;
mod narrowing;
pub mod shaping;

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::api::{DiffRequest, Difference, Entry, HeldDocument, ListRequest, PAGE_DOCUMENTS};
use protocol::client::{AgentClient, CallError};
use protocol::collection::Collection;
use protocol::job::Rows;
use protocol::selection::Selection;

use shaping::{Shaper, ShapingError};

pub use conflicts::{Decided, Stays, decide};
pub use documents::documents;
pub use embedded::embedded;
pub use extras::{ExtraPage, Extras, absent};
pub use merging::become_of;
pub use narrowing::{Narrowed, narrow};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    #[error(transparent)]
    Call(#[from] CallError),
    /// An agent answered less than it was asked; in words. Asking again may help.
    #[error("{0}")]
    Incomplete(String),
    #[error(transparent)]
    Shaping(#[from] ShapingError),
}

/// The two ends of a run.
#[derive(Clone, Copy)]
pub struct Ends<'a> {
    pub source: &'a AgentClient,
    pub target: &'a AgentClient,
    /// The run in whose name is asked: the target tells apart what this run wrote.
    pub run: &'a str,
}

/// A document of the source, and how the target's compares.
#[derive(Debug)]
pub struct Compared {
    pub entry: Entry,
    pub difference: Difference,
}

/// Some documents of the source, compared.
#[derive(Debug)]
pub struct Page {
    pub documents: Vec<Compared>,
    /// What the source cannot send (malformed, duplicated, too large), and what a transform failed on.
    pub held: Vec<HeldDocument>,
    /// False when the source cannot prove that this is all: a missing file or table of a known model.
    pub complete: bool,
}

/// Whether documents come with their hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// Hashes alone: pages are larger then.
    Hashes,
    /// Documents too, once most of a page differed: asking for them one by one would only cost a round trip more.
    WhatDiffers,
    Documents,
}

/// Compares the documents of a collection, a page at a time.
pub struct Pages<'a> {
    ends: Ends<'a>,
    collection: &'a Collection,
    left: Left,
    sending: Sending,
    with_documents: bool,
    shaper: Option<Arc<Shaper>>,
    agrees: bool,
    progress: &'a (dyn Fn() + Sync),
}

/// What has not been looked at yet.
enum Left {
    Range {
        selection: Selection,
        next: Option<u64>,
        to: Option<u64>,
    },
    /// Parts that differ.
    Parts {
        narrowed: Narrowed,
        next: Option<u64>,
    },
    Identities(VecDeque<String>),
}

impl<'a> Pages<'a> {
    /// Rows of a collection, as far as they are selected.
    pub fn new(
        ends: Ends<'a>,
        collection: &'a Collection,
        selection: Selection,
        rows: &Rows,
        sending: Sending,
    ) -> Self {
        let left = match rows {
            Rows::Range { from, to } => Left::Range { selection, next: Some(*from), to: *to },
            Rows::Identities(identities) => Left::Identities(identities.iter().cloned().collect()),
        };
        Self::of(ends, collection, left, sending)
    }

    /// What differs of a whole collection, with what is in the same parts.
    pub fn narrowed(ends: Ends<'a>, collection: &'a Collection, narrowed: Narrowed) -> Self {
        Self::of(ends, collection, Left::Parts { narrowed, next: Some(0) }, Sending::Hashes)
    }

    fn of(ends: Ends<'a>, collection: &'a Collection, left: Left, sending: Sending) -> Self {
        Self {
            ends,
            collection,
            left,
            sending,
            with_documents: sending == Sending::Documents,
            shaper: None,
            agrees: false,
            progress: &|| {},
        }
    }

    /// Documents are shaped before they are compared: read whole, then, and sent by the target too where they are merged.
    pub fn shaped(mut self, shaper: Option<Arc<Shaper>>) -> Self {
        self.with_documents |= shaper.is_some();
        self.shaper = shaper;
        self
    }

    /// The target notes of what is the same that both agree on it.
    pub fn agreeing(mut self) -> Self {
        self.agrees = true;
        self
    }

    /// Calls this now and then while documents are shaped, which may take long.
    pub fn reporting(mut self, progress: &'a (dyn Fn() + Sync)) -> Self {
        self.progress = progress;
        self
    }

    /// The next page; none when all was compared.
    pub async fn next(&mut self) -> Result<Option<Page>, CompareError> {
        let listed = match &mut self.left {
            Left::Range { next: None, .. } | Left::Parts { next: None, .. } => return Ok(None),
            Left::Parts { narrowed, next: Some(from_row) } => {
                let request = narrowed.request(self.collection, *from_row);
                let listing = self.ends.source.call(&request).await?;
                self.left = Left::Parts { narrowed: narrowed.clone(), next: listing.next_row };
                (listing.entries, listing.held, listing.complete)
            }
            Left::Range { selection, next: Some(from_row), to } => {
                let request = ListRequest {
                    collection: self.collection.clone(),
                    selection: selection.clone(),
                    from_row: *from_row,
                    to_row: *to,
                    documents: self.with_documents,
                };
                let listing = self.ends.source.call(&request).await?;
                self.left = Left::Range { selection: std::mem::take(selection), next: listing.next_row, to: *to };
                (listing.entries, listing.held, listing.complete)
            }
            Left::Identities(identities) if identities.is_empty() => return Ok(None),
            Left::Identities(identities) => {
                let asked = identities.drain(..identities.len().min(PAGE_DOCUMENTS)).collect();
                // What is gone by now was deleted meanwhile: it is no document of this run any more.
                let found = documents(self.ends.source, self.collection, asked, None).await?;
                (found.documents, Vec::new(), true)
            }
        };
        let (mut entries, mut held, complete) = listed;
        if let Some(shaper) = &self.shaper {
            let shaped = shaper.shape(entries, self.progress).await?;
            entries = shaped.entries;
            held.extend(shaped.held);
        }
        let mut documents = self.compare(entries).await?;
        if let Some(shaper) = self.shaper.as_ref().filter(|shaper| shaper.merges()) {
            documents = self.merge(shaper, documents, &mut held).await?;
        }
        if self.sending != Sending::Hashes && self.shaper.is_none() {
            let same = |compared: &&Compared| matches!(compared.difference, Difference::Same | Difference::Written(_));
            self.with_documents = documents.iter().filter(same).count() * 2 < documents.len();
        }
        Ok(Some(Page { documents, held, complete }))
    }

    /// Asks the target what of it it lacks or holds different.
    async fn compare(&self, entries: Vec<Entry>) -> Result<Vec<Compared>, CompareError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let request = DiffRequest {
            collection: self.collection.clone(),
            run: self.ends.run.to_owned(),
            entries: entries.iter().map(|entry| (entry.identity.clone(), entry.hash)).collect(),
            source: self.ends.source.instance().map(str::to_owned),
            agree: self.agrees,
        };
        let diff = self.ends.target.call(&request).await?;
        if diff.differences.len() != entries.len() {
            let message = "the target's agent compared fewer documents than it was asked to";
            return Err(CompareError::Incomplete(message.into()));
        }
        let both = entries.into_iter().zip(diff.differences);
        Ok(both.map(|(entry, difference)| Compared { entry, difference }).collect())
    }
}
