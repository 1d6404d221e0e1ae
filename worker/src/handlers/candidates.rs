//! Lists what a mirror may delete of one collection, at the target's agent (I6): nothing is written yet, and nobody's
//! memory grows with it (I8).

use comparing::Extras;
use protocol::api::{Listed, ProposeRequest, SummaryRequest};
use protocol::collection::Collection;
use protocol::mirror::{SignedOrder, look_of};
use queue::{Outcome, Verdict};

use crate::failure::{verdict_of, verdict_of_comparing};
use crate::scope::Scope;

pub async fn execute(scope: &Scope, collection: &Collection) -> Result<Outcome, Verdict> {
    let list = List { scope, collection, order: scope.order()? };
    let selection = scope.run.spec.selection(collection);
    // From this look on the target tells apart what somebody changes, which is not deleted, and the source what somebody
    // deletes, which is left to the next run.
    let run = Some(look_of(&scope.run.id));
    let look = SummaryRequest { collection: collection.clone(), selection: selection.clone(), run };
    let (source, target) = tokio::try_join!(scope.read(&look), scope.target(&look))?;
    let mut listed = Listed { there: target.summary.count, at_source: source.summary.count, unproven: None };
    list.propose(true, Vec::new(), None).await?;
    if source.summary != target.summary {
        let mut extras = Extras::begin(scope.ends(), collection, selection).await.map_err(verdict_of_comparing)?;
        listed.there = 0;
        while let Some(page) = extras.next().await.map_err(verdict_of_comparing)? {
            scope.context.progress();
            listed.there += page.listed;
            listed.at_source = page.at_source;
            listed.unproven = listed.unproven.or(page.unproven);
            if !page.extras.is_empty() {
                list.propose(false, page.extras.into_iter().map(|entry| entry.identity).collect(), None).await?;
            }
        }
    }
    list.propose(false, Vec::new(), Some(listed)).await?;
    Ok(Outcome::default())
}

struct List<'a> {
    scope: &'a Scope,
    collection: &'a Collection,
    order: SignedOrder,
}

impl List<'_> {
    async fn propose(&self, from_start: bool, identities: Vec<String>, listed: Option<Listed>) -> Result<(), Verdict> {
        let request = ProposeRequest {
            token: self.scope.token(),
            order: self.order.clone(),
            collection: self.collection.clone(),
            from_start,
            identities,
            listed,
        };
        self.scope.write(&request).await.map_err(verdict_of)?;
        Ok(())
    }
}
