//! What a write changes, and what it leaves alone.

use protocol::api::*;
use protocol::collection::Collection;

use crate::support::*;

#[test]
fn content_comes_over_and_a_second_time_changes_nothing() {
    let source = Instance::small();
    let target = Instance::empty();
    let token = target.grant();
    target.pull(&source, &token, &Collection::Models);
    let outcomes = target.pull(&source, &token, &items("authors"));
    assert_eq!(outcomes, vec![WriteOutcome::Created; source.made().authors.len()]);
    let entries: Vec<_> =
        source.list(&items("authors")).entries.into_iter().map(|entry| (entry.identity, entry.hash)).collect();
    let differences = target.diff(&items("authors"), &entries);
    assert_eq!(differences, vec![Difference::Written(Wrote::Created); entries.len()]);
    assert_eq!(source.summary(&items("authors")).summary, target.summary(&items("authors")).summary);
    assert!(target.pull(&source, &token, &items("authors")).is_empty());
}
