//! Brings over the few documents in which a large collection differs, without going through all of it.

use comparing::Pages;
use protocol::api::{Difference, Summary};
use protocol::collection::Collection;
use protocol::job::{Batch, Job, Rows};
use queue::{NewJob, Verdict};

use crate::executor::Queued;
use crate::failure::verdict_of_comparing;
use crate::scope::Scope;
use crate::tally::Tally;

/// A job keeps so many names in mind (I8).
const MOST: usize = 20_000;
/// And hands them on in one script, in so many batches.
const BATCHES: usize = 250;

/// What is not the same on both sides; the rest is counted. None when that is too much, or does not tell everything: then all rows
/// are gone through.
pub async fn differing(
    scope: &Scope,
    collection: &Collection,
    source: &Summary,
    tally: &mut Tally,
) -> Result<Option<Vec<String>>, Verdict> {
    let narrowed = comparing::narrow(scope.ends(), collection, source).await.map_err(verdict_of_comparing)?;
    let Some(narrowed) = narrowed else { return Ok(None) };
    let most = MOST.min(BATCHES * batch_size(scope));
    let mut same = narrowed.same;
    let mut names = Vec::new();
    let mut pages = Pages::narrowed(scope.ends(), collection, narrowed);
    while let Some(page) = pages.next().await.map_err(verdict_of_comparing)? {
        scope.context.progress();
        for compared in page.documents {
            match compared.difference {
                Difference::Same => same += 1,
                _ => names.push(compared.entry.identity),
            }
        }
        if names.len() > most || !page.held.is_empty() || !page.complete {
            return Ok(None);
        }
    }
    tally.unchanged(same);
    Ok(Some(names))
}

/// Batches of these documents.
pub fn batches(scope: &Scope, collection: &Collection, names: &[String]) -> Vec<NewJob> {
    let batch = |(number, names): (usize, &[String])| {
        let batch = Batch { collection: collection.clone(), rows: Rows::Identities(names.to_vec()), fresh: false };
        Job::Batch(batch).queued(format!("{}.{number}", scope.job.id))
    };
    names.chunks(batch_size(scope)).enumerate().map(batch).collect()
}

pub fn batch_size(scope: &Scope) -> usize {
    scope.run.spec.batch_size.max(1) as usize
}
