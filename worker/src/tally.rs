//! What a job did, document by document, until it becomes the job's outcome.

use protocol::api::{HeldDocument, Wrote};
use protocol::collection::Collection;
use protocol::counts::{BYTES, CONFLICTS, Counts, EDITED, HELD, ITEMS, NOT_BROUGHT, Note, Side};
use protocol::event;
use protocol::run::Direction;
use queue::Outcome;

/// Counts, notes and the ids written, of one collection.
pub struct Tally {
    collection: Collection,
    counts: Counts,
    edited: u64,
    conflicts: u64,
    bytes: u64,
    notes: Vec<Vec<u8>>,
    written: Vec<String>,
    deleted: Vec<String>,
    wrote: bool,
}

impl Tally {
    pub fn new(collection: &Collection) -> Self {
        Self {
            collection: collection.clone(),
            counts: Counts::default(),
            edited: 0,
            conflicts: 0,
            bytes: 0,
            notes: Vec::new(),
            written: Vec::new(),
            deleted: Vec::new(),
            wrote: false,
        }
    }

    pub fn unchanged(&mut self, count: u64) {
        self.counts.unchanged += count;
    }

    /// So many were.
    pub fn unchanged_so_far(&self) -> u64 {
        self.counts.unchanged
    }

    /// Written by this run: now, or by an earlier execution of this job.
    pub fn written(&mut self, identity: String, wrote: Wrote) {
        match wrote {
            Wrote::Created => self.counts.created += 1,
            Wrote::Updated => self.counts.updated += 1,
        }
        self.written.push(identity);
    }

    pub fn deleted(&mut self, identity: String) {
        self.counts.deleted += 1;
        self.deleted.push(identity);
    }

    /// A file that an asset left behind, and that something else mentions.
    pub fn kept_file(&mut self, path: &str, place: &str) {
        let message = format!("the file that an asset left behind stays: {place} mentions it");
        self.notes.push(Note::edited(&self.collection, path, &message).encode());
    }

    pub fn bytes(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// A write landed under the grant.
    pub fn landed(&mut self) {
        self.wrote = true;
    }

    pub fn held(&mut self, document: HeldDocument) {
        self.counts.held += 1;
        self.notes.push(Note::held(&self.collection, document).encode());
    }

    pub fn edited(&mut self, identity: &str, message: &str) {
        self.edited += 1;
        self.notes.push(Note::edited(&self.collection, identity, message).encode());
    }

    /// Changed on both sides, and one of them was kept.
    pub fn conflict(&mut self, identity: String, kept: Side, message: String) {
        self.counts_conflict();
        self.notes.push(Note::conflict(&self.collection, identity, kept, message).encode());
    }

    pub fn counts_conflict(&mut self) {
        self.conflicts += 1;
    }

    /// The outcome, with one event for all that was written.
    pub fn outcome(self, direction: Direction) -> Outcome {
        let counts = self.counts;
        let items = counts.created + counts.updated + counts.unchanged + counts.held;
        let totals = [
            (ITEMS, items),
            (BYTES, self.bytes),
            (HELD, counts.held),
            (NOT_BROUGHT, counts.held),
            (EDITED, self.edited),
            (CONFLICTS, self.conflicts),
        ];
        let totals = totals.into_iter().filter(|(_, count)| *count > 0);
        let counters =
            totals.map(|(name, count)| (name.to_owned(), count as i64)).chain(counts.counters(&self.collection));
        Outcome {
            counters: counters.collect(),
            event: item_event(direction, &self.collection, &self.written, &self.deleted),
            notes: self.notes,
            wrote: self.wrote,
            ..Outcome::default()
        }
    }
}

/// A job writes or deletes; none does both.
fn item_event(
    direction: Direction,
    collection: &Collection,
    written: &[String],
    deleted: &[String],
) -> Option<(String, String)> {
    let (name, items) = match (direction, written.is_empty(), deleted.is_empty()) {
        (_, true, true) => return None,
        (_, true, false) => (event::ITEM_DELETED, deleted),
        (Direction::Push, false, _) => (event::ITEM_PUSHED, written),
        (Direction::Pull, false, _) => (event::ITEM_PULLED, written),
    };
    let (resource, model) = collection.resource();
    let about = serde_json::json!({ "type": resource, "model": model, "items": items }).to_string();
    Some((name.into(), about[1..about.len() - 1].into()))
}
