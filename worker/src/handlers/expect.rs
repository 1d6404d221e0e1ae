//! Looks whether both sides are what the plan says that the run carries out. It is the run's first look at everything:
//! what moved before is refused here, before anything is written, and what moves later is told apart.

use protocol::api::SummaryRequest;
use protocol::run::REFUSED;
use protocol::selection::Selection;
use queue::{Outcome, Verdict};

use crate::scope::Scope;

pub async fn execute(scope: &Scope) -> Result<Outcome, Verdict> {
    let spec = &scope.run.spec;
    for planned in &spec.planned {
        let collection = planned.collection.clone();
        let selection = Selection { filter: None, ..spec.selection(&collection) };
        let request = SummaryRequest { collection, selection, run: Some(scope.run.id.clone()) };
        let (source, target) = tokio::try_join!(scope.read(&request), scope.target(&request))?;
        if let Some(moved) = spec.moved(planned, &source.summary, &target.summary) {
            return Err(Verdict::Fail { error: format!("{REFUSED}{moved}. Nothing was written") });
        }
    }
    Ok(Outcome::default())
}
