//! Brings one collection over: compares summaries, and where they differ splits itself into batches by arithmetic on
//! row ids.

use protocol::api::{ExtentRequest, Summary, SummaryRequest};
use protocol::collection::Collection;
use protocol::job::{Batch, Job, Rows};
use protocol::run::RunSpec;
use protocol::selection::Selection;
use queue::{NewJob, Outcome, Verdict};

use crate::executor::Queued;
use crate::handlers::batch;
use crate::scope::Scope;
use crate::tally::Tally;

/// So many batches go to the queue in one script.
const CHUNK: usize = 250;

pub async fn execute(scope: &Scope, collection: &Collection) -> Result<Outcome, Verdict> {
    let mut tally = Tally::new(collection);
    if let Some(cursor) = &scope.job.cursor {
        // An earlier execution had begun to split: its plan stands.
        let plan = Plan::decode(cursor)?;
        return split(scope, collection, plan, tally).await;
    }
    // What is sent is not what the source holds.
    let changes = scope.run.shaper(collection)?.is_some_and(|shaper| shaper.changes());
    let mut planned = scope.run.spec.planned.iter();
    if let Some(equal) = planned.find(|planned| planned.collection == *collection && planned.is_equal())
        && scope.run.spec.selection(collection).filter.is_none()
        && !changes
    {
        // As the plan says, and was found to be so: there is nothing to do, whatever changes now.
        tally.unchanged(equal.source.count);
        return Ok(tally.outcome(scope.run.spec.direction));
    }
    let request = ExtentRequest { collection: collection.clone() };
    let (source, target) = tokio::try_join!(scope.read(&request), scope.target(&request))?;
    if source.last_row == 0 {
        return Ok(tally.outcome(scope.run.spec.direction));
    }
    let fresh = target.last_row == 0;
    let Selection { only, filter } = scope.run.spec.selection(collection);
    if let Some(equal) = equal_summary(scope, collection, only).await?.filter(|_| filter.is_none() && !changes) {
        tally.unchanged(equal.summary.count);
        equal.held.into_iter().for_each(|held| tally.held(held));
        return Ok(tally.outcome(scope.run.spec.direction));
    }
    if let rows @ Rows::Identities(_) = scope.run.spec.rows(collection) {
        return batch::execute(scope, &Batch { collection: collection.clone(), rows, fresh }).await;
    }
    let plan = Plan { next: source.first_row, last: source.last_row, fresh };
    if plan.is_one_batch(collection, &scope.run.spec) {
        let whole = Batch { collection: collection.clone(), rows: Rows::Range { from: plan.next, to: None }, fresh };
        return batch::execute(scope, &whole).await;
    }
    split(scope, collection, plan, tally).await
}

/// With these questions the run looks at the collection for the first time: what anybody changes from then on is told
/// apart. The source's summary when the target holds exactly the same documents. Held rows are then few enough to be named.
///
/// A filter is left out: an agent would have to ask it of every document, and what is meant at the source and at the target
/// need not be the same documents.
async fn equal_summary(
    scope: &Scope,
    collection: &Collection,
    only: Option<Vec<String>>,
) -> Result<Option<Summary>, Verdict> {
    let selection = Selection { only, filter: None };
    let request = SummaryRequest { collection: collection.clone(), selection, run: Some(scope.run.id.clone()) };
    let (source, target) = tokio::try_join!(scope.read(&request), scope.target(&request))?;
    let all_held_named = source.held.len() as u64 == source.held_total;
    // An earlier execution of this job may have brought over what is equal now, and nobody may know: Redis went back in
    // time, or the result was lost. Then the batches tell what this run created.
    let is_told = source.summary == target.summary && all_held_named && target.first_look;
    Ok(is_told.then_some(source))
}

/// What is left to split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    next: u64,
    last: u64,
    fresh: bool,
}

impl Plan {
    /// Models and the other small things are not split; nor are trees, where a child may come before its parent.
    fn is_one_batch(self, collection: &Collection, spec: &RunSpec) -> bool {
        let splits = match collection {
            Collection::Items(model) => !spec.trees.contains(model),
            Collection::Assets | Collection::Custom(_) => true,
            Collection::Locales | Collection::Models | Collection::Folders | Collection::Singletons => false,
        };
        !splits || self.last - self.next < u64::from(spec.batch_size)
    }

    fn encode(self) -> Vec<u8> {
        format!("{} {} {}", self.next, self.last, u8::from(self.fresh)).into_bytes()
    }

    fn decode(cursor: &[u8]) -> Result<Self, Verdict> {
        let unreadable = || Verdict::Fail { error: "a splitting job's cursor cannot be read".into() };
        let text = std::str::from_utf8(cursor).map_err(|_| unreadable())?;
        let mut numbers = text.split(' ').map(str::parse::<u64>);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(next)), Some(Ok(last)), Some(Ok(fresh))) => Ok(Self { next, last, fresh: fresh == 1 }),
            _ => Err(unreadable()),
        }
    }
}

/// Enqueues the batches, chunk by chunk; the cursor and its chunk are stored by one script, so that doing it twice
/// doubles nothing. The last batch is open-ended: rows that come into being meanwhile belong to it.
async fn split(scope: &Scope, collection: &Collection, mut plan: Plan, tally: Tally) -> Result<Outcome, Verdict> {
    let size = u64::from(scope.run.spec.batch_size.max(1));
    while plan.next <= plan.last {
        let mut children: Vec<NewJob> = Vec::with_capacity(CHUNK);
        while plan.next <= plan.last && children.len() < CHUNK {
            let end = plan.next.saturating_add(size - 1);
            let rows = Rows::Range { from: plan.next, to: (end < plan.last).then_some(end) };
            let batch = Batch { collection: collection.clone(), rows, fresh: plan.fresh };
            children.push(Job::Batch(batch).queued(format!("{}.{}", scope.job.id, plan.next)));
            plan.next = end.saturating_add(1);
        }
        scope.context.split(children, plan.encode()).await.map_err(Verdict::retry)?;
    }
    Ok(tally.outcome(scope.run.spec.direction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_comes_back_from_its_cursor() {
        let plan = Plan { next: 4001, last: 20_000, fresh: true };
        assert_eq!(Plan::decode(&plan.encode()), Ok(plan));
        assert!(matches!(Plan::decode(b"4001"), Err(Verdict::Fail { .. })));
    }
}
