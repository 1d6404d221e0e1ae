//! Whether the target of a mirror holds what the source does not have, and who made it so.

use std::collections::HashSet;

use comparing::Extras;
use protocol::api::{DiffRequest, Difference, Entry};
use protocol::collection::Collection;
use protocol::mirror::look_of;
use queue::Verdict;

use super::{Side, saved};
use crate::failure::verdict_of_comparing;
use crate::handlers::deletes::ALL_OF_THEM;
use crate::scope::Scope;
use crate::tally::Tally;

/// What only the target has and nobody can explain. What was created or saved there, or deleted at the source, since the run
/// made its list is a note.
pub async fn unexplained(
    scope: &Scope,
    collection: &Collection,
    held: &HashSet<String>,
    tally: &mut Tally,
) -> Result<Vec<String>, Verdict> {
    if !is_mirrored_here(scope, collection) || held.contains(ALL_OF_THEM) {
        return Ok(Vec::new());
    }
    let selection = scope.run.spec.selection(collection);
    let mut pages = Extras::begin(scope.ends(), collection, selection).await.map_err(verdict_of_comparing)?;
    let mut unexplained = Vec::new();
    while let Some(mut page) = pages.next().await.map_err(verdict_of_comparing)? {
        scope.context.progress();
        page.extras.retain(|entry| !held.contains(&entry.identity));
        if !page.extras.is_empty() {
            unexplained.extend(explain(scope, collection, page.extras, tally).await?);
        }
    }
    Ok(unexplained)
}

fn is_mirrored_here(scope: &Scope, collection: &Collection) -> bool {
    let order = scope.run.spec.mirror.as_ref().and_then(|signed| signed.order().ok());
    order.is_some_and(|order| order.scope.iter().any(|selected| selected.collection == *collection))
}

async fn explain(
    scope: &Scope,
    collection: &Collection,
    extras: Vec<Entry>,
    tally: &mut Tally,
) -> Result<Vec<String>, Verdict> {
    let (look, planned) = (look_of(&scope.run.id), scope.run.spec.modified);
    let identities: Vec<String> = extras.iter().map(|entry| entry.identity.clone()).collect();
    let entries = extras.into_iter().map(|entry| (entry.identity, entry.hash)).collect();
    let at_source =
        DiffRequest { collection: collection.clone(), run: look.clone(), entries, source: None, agree: false };
    let (source, target) = tokio::try_join!(
        scope.read(&at_source),
        saved(scope, Side::Target, collection, &look, &identities, |modified| modified > planned),
    )?;
    if source.differences.len() != identities.len() {
        return Err(Verdict::retry("verify: the source's agent compared fewer documents than it was asked to"));
    }
    let mut unexplained = Vec::new();
    for (identity, difference) in identities.into_iter().zip(source.differences) {
        if target.edited.contains(&identity) {
            tally.edited(&identity, "created or edited on the target during the run");
        } else if difference == Difference::Deleted {
            tally.edited(&identity, "deleted on the source during the run");
        } else {
            unexplained.push(identity);
        }
    }
    Ok(unexplained)
}
