//! Undoes what a run did to one collection, page by page, and sees at the end that nothing is left to undo. All of it
//! happens at the target's agent; doing it twice changes nothing.

use std::time::Instant;

use protocol::api::{HeldCause, HeldDocument, UndoPart, UndoPlanRequest, UndoRequest, Undone};
use protocol::collection::Collection;
use protocol::counts::{BYTES, Counts, HELD, ITEMS, NOT_BROUGHT, Note};
use queue::{Outcome, Verdict};

use crate::failure::verdict_of;
use crate::scope::Scope;

pub async fn execute(scope: &Scope, collection: &str, part: UndoPart) -> Result<Outcome, Verdict> {
    let begun = Instant::now();
    let mut wrote = false;
    loop {
        let total = undo_all(scope, collection, part).await?;
        wrote |= total.created + total.updated + total.deleted > 0;
        let is_open = total.conflicts.iter().any(|held| held.cause == HeldCause::Locked);
        if !(is_open && scope.waits_for_editors(begun).await) {
            return Ok(outcome(collection, total, wrote));
        }
    }
}

/// Counts what earlier attempts did, too.
async fn undo_all(scope: &Scope, collection: &str, part: UndoPart) -> Result<Undone, Verdict> {
    let mut total = Undone::default();
    let mut after = None;
    loop {
        let request = UndoRequest {
            token: scope.token(),
            run: undone_run(scope)?,
            collection: collection.into(),
            part,
            override_locks: scope.overrides_locks(),
            after,
            order: scope.run.spec.undo_order.clone().unwrap_or_default(),
        };
        let page = scope.write(&request).await.map_err(verdict_of)?;
        total.created += page.created;
        total.updated += page.updated;
        total.deleted += page.deleted;
        total.unchanged += page.unchanged;
        total.bytes += page.bytes;
        total.conflicts.extend(page.conflicts);
        after = page.next;
        if after.is_none() {
            return Ok(total);
        }
    }
}

fn outcome(collection: &str, total: Undone, wrote: bool) -> Outcome {
    let (resource, model) = shown_as(collection);
    let held = total.conflicts.len() as u64;
    let counts = Counts {
        created: total.created,
        updated: total.updated,
        unchanged: total.unchanged,
        deleted: total.deleted,
        held,
    };
    let items = counts.created + counts.updated + counts.deleted + counts.unchanged + held;
    let totals = [(ITEMS, items), (BYTES, total.bytes), (HELD, held), (NOT_BROUGHT, held)];
    let totals = totals.into_iter().filter(|(_, count)| *count > 0);
    let totals = totals.map(|(name, count)| (name.to_owned(), i64::try_from(count).unwrap_or(i64::MAX)));
    Outcome {
        counters: totals.chain(counts.counters_of(&resource, &model)).collect(),
        notes: total.conflicts.into_iter().map(|document| note(collection, document).encode()).collect(),
        wrote,
        ..Outcome::default()
    }
}

/// What is as it was before the run is as it should be; what changed since is held already or was edited since then.
pub async fn verify(scope: &Scope, collection: &str) -> Result<Outcome, Verdict> {
    let (mut left, mut conflicts) = (0, 0);
    let mut after = None;
    loop {
        let request = UndoPlanRequest { run: undone_run(scope)?, collection: collection.into(), after };
        let page = scope.target(&request).await?;
        left += page.put_back + page.remove;
        conflicts += page.conflicts.len() as u64;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    // Held although it is as the run left it: a model that has items now, a file that is mentioned.
    let stays = held(scope, collection).await?.saturating_sub(conflicts);
    if left > stays {
        let error = format!("verify: {left} of {collection} are still as the run that was undone left them");
        return Err(Verdict::Retry { error, after: None });
    }
    Ok(Outcome::default())
}

/// How much of a collection this run has set aside.
async fn held(scope: &Scope, collection: &str) -> Result<u64, Verdict> {
    let notes = scope.queue.notes(&scope.run.id).await.map_err(Verdict::retry)?;
    let of_collection = shown_as(collection);
    let held = notes.iter().filter(|note| match Note::decode(note) {
        Some(Note::Held { resource, model, .. }) => (resource, model) == of_collection,
        _ => false,
    });
    Ok(held.count() as u64)
}

fn undone_run(scope: &Scope) -> Result<String, Verdict> {
    let unknown = || Verdict::Fail { error: "the spec of this run does not say which run is undone".into() };
    scope.run.spec.undo.clone().ok_or_else(unknown)
}

fn note(collection: &str, document: HeldDocument) -> Note {
    let (resource, model) = shown_as(collection);
    Note::Held { resource, model, document }
}

/// Resource and model of a collection, or of the files of assets.
fn shown_as(collection: &str) -> (String, String) {
    match Collection::try_from(collection.to_owned()) {
        Ok(collection) => {
            let (resource, model) = collection.resource();
            (resource.into(), model.into())
        }
        Err(_) => ("assets".into(), "files".into()),
    }
}
