//! Brings what the selected documents need of assets and folders, before the documents (I7).

use std::collections::BTreeSet;
use std::ops::Bound;

use protocol::api::SummaryRequest;
use protocol::job::{Batch, Embedded, Job, Rows};
use protocol::selection::Selection;
use protocol::sign::body_hash;
use queue::{NewJob, Outcome, Verdict};

use crate::executor::Queued;
use crate::failure::verdict_of_comparing;
use crate::handlers::batch;
use crate::scope::Scope;
use crate::tally::Tally;

/// So many batches go to the queue in one script.
const CHUNK: usize = 250;

pub async fn execute(scope: &Scope, what: &Embedded) -> Result<Outcome, Verdict> {
    // The run looks at the collection for the first time: what anybody changes from then on is told apart.
    let (collection, run) = (what.wanted.clone(), Some(scope.run.id.clone()));
    let look = SummaryRequest { collection, selection: Selection::default(), run };
    tokio::try_join!(scope.read(&look), scope.target(&look))?;
    let mut left = gather(scope, what).await?;
    let size = scope.run.spec.batch_size.max(1) as usize;
    if left.len() <= size && scope.job.cursor.is_none() {
        let rows = Rows::Identities(left.into_iter().collect());
        let batch = Batch { collection: what.wanted.clone(), rows, fresh: false };
        return batch::execute(scope, &batch, Tally::new(&what.wanted)).await;
    }
    if let Some(cursor) = &scope.job.cursor {
        // An earlier execution enqueued what comes up to here.
        let done = String::from_utf8_lossy(cursor).into_owned();
        left = left.range((Bound::Excluded(done), Bound::Unbounded)).cloned().collect();
    }
    split(scope, what, &left.into_iter().collect::<Vec<_>>(), size).await?;
    Ok(Tally::new(&what.wanted).outcome(scope.run.spec.direction))
}

pub async fn gather(scope: &Scope, what: &Embedded) -> Result<BTreeSet<String>, Verdict> {
    let progress = || scope.context.progress();
    comparing::embedded(scope.source(), &scope.run.spec, what, progress).await.map_err(verdict_of_comparing)
}

/// The last name that was enqueued is the cursor: names are sorted, and those that come into being meanwhile double nothing.
async fn split(scope: &Scope, what: &Embedded, names: &[String], size: usize) -> Result<(), Verdict> {
    for several in names.chunks(size * CHUNK) {
        let batch = |names: &[String]| {
            let rows = Rows::Identities(names.to_vec());
            let id = format!("{}.{}", scope.job.id, &body_hash(names[0].as_bytes())[..16]);
            Job::Batch(Batch { collection: what.wanted.clone(), rows, fresh: false }).queued(id)
        };
        let children: Vec<NewJob> = several.chunks(size).map(batch).collect();
        let cursor = several.last().map(|name| name.clone().into_bytes()).unwrap_or_default();
        scope.context.split(children, cursor).await.map_err(Verdict::retry)?;
    }
    Ok(())
}
