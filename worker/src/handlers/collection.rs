//! Brings one collection over: compares summaries, and where they differ splits itself into batches by arithmetic on
//! row ids.

use protocol::api::{ExtentRequest, Summary, SummaryRequest};
use protocol::collection::Collection;
use protocol::job::{Batch, Job, Rows};
use protocol::run::RunSpec;
use protocol::selection::Selection;
use queue::{NewJob, Outcome, Verdict};

use crate::executor::Queued;
use crate::handlers::{batch, narrowed};
use crate::scope::Scope;
use crate::tally::Tally;

/// So many batches go to the queue in one script.
const CHUNK: usize = 250;

pub async fn execute(scope: &Scope, collection: &Collection) -> Result<Outcome, Verdict> {
    let mut tally = Tally::new(collection);
    if let Some(cursor) = &scope.job.cursor {
        // An earlier execution had begun to split: its plan stands.
        let plan = Plan::decode(cursor)?;
        tally.unchanged(plan.unchanged);
        return split(scope, collection, plan, tally).await;
    }
    // What is sent is not what the source holds.
    let shaper = scope.run.shaper(collection)?;
    let changes = shaper.as_ref().is_some_and(|shaper| shaper.changes());
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
    let (rows, rows_there) = tokio::try_join!(scope.read(&request), scope.target(&request))?;
    if rows.last_row == 0 {
        return Ok(tally.outcome(scope.run.spec.direction));
    }
    let fresh = rows_there.last_row == 0;
    let selection = scope.run.spec.selection(collection);
    let (source, target) = look(scope, collection, selection.only.clone()).await?;
    // An earlier execution of this job may have brought over what is equal now, and nobody may know: Redis went back in
    // time, or the result was lost. Then the batches tell what this run created.
    let is_first = target.first_look;
    let all_held_named = source.held.len() as u64 == source.held_total;
    let is_equal = source.summary == target.summary && all_held_named;
    if is_equal && is_first && selection.filter.is_none() && !changes {
        tally.unchanged(source.summary.count);
        source.held.into_iter().for_each(|held| tally.held(held));
        return Ok(tally.outcome(scope.run.spec.direction));
    }
    if let rows @ Rows::Identities(_) = scope.run.spec.rows(collection) {
        return batch::execute(scope, &Batch { collection: collection.clone(), rows, fresh }, tally).await;
    }
    let mut plan = Plan { next: rows.first_row, last: rows.last_row, fresh, unchanged: 0 };
    if plan.is_one_batch(collection, &scope.run.spec) {
        let whole = Batch { collection: collection.clone(), rows: Rows::Range { from: plan.next, to: None }, fresh };
        return batch::execute(scope, &whole, tally).await;
    }
    if is_first
        && !fresh
        && selection.is_everything()
        && shaper.is_none()
        && let Some(names) = narrowed::differing(scope, collection, &source, &mut tally).await?
    {
        if names.len() <= narrowed::batch_size(scope) {
            let few = Batch { collection: collection.clone(), rows: Rows::Identities(names), fresh };
            return batch::execute(scope, &few, tally).await;
        }
        // Nothing is left to split then.
        plan = Plan { next: plan.last.saturating_add(1), unchanged: tally.unchanged_so_far(), ..plan };
        let batches = narrowed::batches(scope, collection, &names);
        scope.context.split(batches, plan.encode()).await.map_err(Verdict::retry)?;
    }
    split(scope, collection, plan, tally).await
}

/// With these questions the run looks at the collection for the first time: what anybody changes from then on is told
/// apart.
///
/// A filter is left out: an agent would have to ask it of every document, and what is meant at the source and at the target
/// need not be the same documents.
async fn look(
    scope: &Scope,
    collection: &Collection,
    only: Option<Vec<String>>,
) -> Result<(Summary, Summary), Verdict> {
    let selection = Selection { only, filter: None };
    let request = SummaryRequest { collection: collection.clone(), selection, run: Some(scope.run.id.clone()) };
    tokio::try_join!(scope.read(&request), scope.target(&request))
}

/// What is left to split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    next: u64,
    last: u64,
    fresh: bool,
    /// Documents that need no batch.
    unchanged: u64,
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
        format!("{} {} {} {}", self.next, self.last, u8::from(self.fresh), self.unchanged).into_bytes()
    }

    fn decode(cursor: &[u8]) -> Result<Self, Verdict> {
        let unreadable = || Verdict::Fail { error: "a splitting job's cursor cannot be read".into() };
        let text = std::str::from_utf8(cursor).map_err(|_| unreadable())?;
        let numbers: Result<Vec<u64>, _> = text.split(' ').map(str::parse).collect();
        match numbers.map_err(|_| unreadable())?[..] {
            // As it was written before parts were compared.
            [next, last, fresh] => Ok(Self { next, last, fresh: fresh == 1, unchanged: 0 }),
            [next, last, fresh, unchanged] => Ok(Self { next, last, fresh: fresh == 1, unchanged }),
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
        let plan = Plan { next: 4001, last: 20_000, fresh: true, unchanged: 7 };
        assert_eq!(Plan::decode(&plan.encode()), Ok(plan));
        assert_eq!(Plan::decode(b"4001 20000 1"), Ok(Plan { unchanged: 0, ..plan }));
        assert!(matches!(Plan::decode(b"4001"), Err(Verdict::Fail { .. })));
    }
}
