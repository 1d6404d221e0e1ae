//! Has the target's agent decide on all that a mirror wants to delete, before anything is written (I6).

use protocol::api::{DecideRequest, ErrorCode};
use protocol::run::REFUSED;
use queue::{Outcome, Verdict};

use crate::failure::verdict_of;
use crate::scope::Scope;

pub async fn execute(scope: &Scope) -> Result<Outcome, Verdict> {
    let request = DecideRequest { token: scope.token(), order: scope.order()? };
    let refusals = match scope.write(&request).await {
        Ok(decided) => decided.refusals,
        Err(error) if error.code() == Some(ErrorCode::Forbidden) => vec![error.to_string()],
        Err(error) => return Err(verdict_of(error)),
    };
    if refusals.is_empty() {
        return Ok(Outcome::default());
    }
    Err(Verdict::Fail { error: format!("{REFUSED}{}. Nothing was written", refusals.join("; ")) })
}
