//! Deletes what is on a mirror's list of one collection, after everything else was written (I6). Each document is asked for
//! at the source once more; what changed meanwhile, or is needed by something that stays, is held.

use std::collections::HashSet;
use std::time::Instant;

use comparing::absent;
use protocol::api::{
    CandidatesRequest, DeleteOutcome, DeleteRequest, HeldCause, HeldDocument, PAGE_DOCUMENTS, TidyFilesRequest,
};
use protocol::canonical::DocHash;
use protocol::collection::Collection;
use protocol::job::Job;
use queue::{Outcome, Verdict};

use crate::failure::{verdict_of, verdict_of_comparing};
use crate::scope::Scope;
use crate::tally::Tally;

/// In notes, where no document of a collection was deleted.
pub const ALL_OF_THEM: &str = "(all)";

/// Identity, and what is expected to be there.
type Candidate = (String, DocHash);

/// Something lies below it, or an editor has it open: it may go later.
struct Waiting {
    candidate: Candidate,
    cause: HeldCause,
    message: String,
}

pub async fn execute(scope: &Scope, collection: &Collection) -> Result<Outcome, Verdict> {
    let mut tally = Tally::new(collection);
    if let Some(reason) = what_failed(scope, collection).await? {
        if !page(scope, collection, None).await?.0.is_empty() {
            let message = format!("{reason}: nothing of it was deleted. Mirror again when that is mended");
            tally.held(HeldDocument { identity: ALL_OF_THEM.into(), cause: HeldCause::Unproven, message });
        }
        return Ok(tally.outcome(scope.run.spec.direction));
    }
    let mut waiting = Vec::new();
    let mut after = None;
    loop {
        let (candidates, next) = page(scope, collection, after).await?;
        waiting.extend(delete(scope, collection, candidates, &mut tally).await?);
        after = next;
        if after.is_none() {
            break;
        }
    }
    delete_waiting(scope, collection, waiting, &mut tally).await?;
    if *collection == Collection::Assets {
        let tidied = scope.write(&TidyFilesRequest { token: scope.token() }).await.map_err(verdict_of)?;
        for (path, place) in tidied.kept {
            tally.kept_file(&path, &place);
        }
    }
    Ok(tally.outcome(scope.run.spec.direction))
}

/// Why nothing of the collection may be deleted: not all of it was brought over.
async fn what_failed(scope: &Scope, collection: &Collection) -> Result<Option<String>, Verdict> {
    let view = scope.queue.run(&scope.run.id).await.map_err(Verdict::retry)?;
    if view.dropped > 0 {
        return Ok(Some("jobs of this run were dropped".into()));
    }
    let dead = scope.queue.dead(&scope.run.id).await.map_err(Verdict::retry)?;
    let is_of_it = |payload: &[u8]| match Job::decode(payload) {
        Ok(job) => job.collection() == Some(collection),
        // Nobody knows what it was about.
        Err(_) => true,
    };
    let count = dead.iter().filter(|job| is_of_it(&job.payload)).count();
    Ok((count > 0).then(|| format!("{count} jobs of {collection} failed for good")))
}

async fn page(
    scope: &Scope,
    collection: &Collection,
    after: Option<String>,
) -> Result<(Vec<Candidate>, Option<String>), Verdict> {
    let request = CandidatesRequest { token: scope.token(), collection: collection.clone(), after };
    let page = scope.target(&request).await?;
    Ok((page.candidates, page.next))
}

/// Deletes what the source still does not have. Gives back what may go later.
async fn delete(
    scope: &Scope,
    collection: &Collection,
    mut candidates: Vec<Candidate>,
    tally: &mut Tally,
) -> Result<Vec<Waiting>, Verdict> {
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let identities = candidates.iter().map(|(identity, _)| identity.clone()).collect();
    let asked = absent(scope.ends(), collection, identities).await.map_err(verdict_of_comparing)?;
    scope.context.progress();
    if let Some(reason) = asked.unproven {
        for (identity, _) in candidates {
            let message = format!("it was not there at the source, but by now {reason}: it was not deleted");
            tally.held(HeldDocument { identity, cause: HeldCause::Unproven, message });
        }
        return Ok(Vec::new());
    }
    // What the source has again stays as it is; the next run brings it over.
    let still_absent: HashSet<String> = asked.absent.into_iter().collect();
    candidates.retain(|(identity, _)| still_absent.contains(identity));
    let request = DeleteRequest {
        token: scope.token(),
        collection: collection.clone(),
        modified: (*collection != Collection::Folders).then_some(scope.run.spec.modified),
        override_locks: scope.overrides_locks(),
        documents: candidates.clone(),
    };
    let outcomes = scope.write(&request).await.map_err(verdict_of)?.outcomes;
    if outcomes.len() != candidates.len() {
        return Err(Verdict::retry("the target's agent answered for fewer documents than it was asked to delete"));
    }
    tally.landed();
    let mut waiting = Vec::new();
    for (candidate, outcome) in candidates.into_iter().zip(outcomes) {
        let identity = candidate.0.clone();
        match outcome {
            DeleteOutcome::Deleted => tally.deleted(identity),
            DeleteOutcome::Gone => tally.edited(&identity, "deleted on the target during the run"),
            DeleteOutcome::NotEmpty(message) => waiting.push(Waiting { candidate, cause: HeldCause::InUse, message }),
            DeleteOutcome::Held { cause: HeldCause::Locked, message } => {
                waiting.push(Waiting { candidate, cause: HeldCause::Locked, message });
            }
            DeleteOutcome::Held { cause, message } => tally.held(HeldDocument { identity, cause, message }),
            DeleteOutcome::Conflict => tally.held(HeldDocument {
                identity,
                cause: HeldCause::Contended,
                message: "somebody saved it on the target after this run had looked at it; it was not deleted. Mirror \
                          again to delete it"
                    .into(),
            }),
        }
    }
    Ok(waiting)
}

/// What lay below may be gone by now, and an editor be done: tried until nothing moves. Only what waits is in memory.
async fn delete_waiting(
    scope: &Scope,
    collection: &Collection,
    mut waiting: Vec<Waiting>,
    tally: &mut Tally,
) -> Result<(), Verdict> {
    let begun = Instant::now();
    while !waiting.is_empty() {
        let mut again = Vec::new();
        for some in waiting.chunks(PAGE_DOCUMENTS) {
            let candidates = some.iter().map(|waiting| waiting.candidate.clone()).collect();
            again.extend(delete(scope, collection, candidates, tally).await?);
        }
        let has_moved = again.len() < waiting.len();
        waiting = again;
        let is_open = waiting.iter().any(|waiting| waiting.cause == HeldCause::Locked);
        let goes_on = has_moved || is_open && scope.waits_for_editors(begun).await;
        if !goes_on {
            break;
        }
    }
    for Waiting { candidate: (identity, _), cause, message } in waiting {
        tally.held(HeldDocument { identity, cause, message });
    }
    Ok(())
}
