//! Gives the grant back: after this nothing of the run lands any more, however late it arrives (I4).

use protocol::api::{CloseGrant, CloseWhich};
use queue::{Outcome, Verdict};

use crate::scope::Scope;

pub async fn execute(scope: &Scope) -> Result<Outcome, Verdict> {
    let which = CloseWhich::Run(scope.run.id.clone());
    scope.target(&CloseGrant { which, reason: "the run is over".into() }).await?;
    Ok(Outcome::default())
}
