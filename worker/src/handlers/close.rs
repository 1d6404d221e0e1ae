//! Gives the grant back: after this nothing of the run lands any more, however late it arrives (I4).

use protocol::api::{AuditFrom, AuditRequest, CloseGrant, CloseWhich};
use protocol::audit::Entry;
use queue::{Outcome, Verdict};

use crate::scope::Scope;

/// Entries of the agent's log that are looked at for those that are not copied yet.
const LATEST: u32 = 200;

pub async fn execute(scope: &Scope) -> Result<Outcome, Verdict> {
    let which = CloseWhich::Run(scope.run.id.clone());
    scope.target(&CloseGrant { which, reason: "the run is over".into() }).await?;
    if let Err(why) = copy_audit(scope).await {
        // It is in the agent's log, which is the one that counts.
        tracing::debug!(run.id = %scope.run.id, why, "the target's audit log was not copied");
    }
    Ok(Outcome::default())
}

/// For whoever shows what happened everywhere without asking every agent.
async fn copy_audit(scope: &Scope) -> Result<(), String> {
    let latest = AuditRequest { from: AuditFrom::Last(LATEST) };
    let page = scope.target.call(&latest).await.map_err(|error| error.to_string())?;
    let target = &scope.run.spec.target;
    let copies: Vec<(u64, String)> = page.lines.iter().filter_map(|line| copy(line, &target.name)).collect();
    scope.queue.copy_audit(&target.instance, &copies).await.map(drop).map_err(|error| error.to_string())
}

/// The entry as JSON without its place in the chain, with the name of the instance.
fn copy(line: &str, name: &str) -> Option<(u64, String)> {
    let (entry, _) = Entry::read(line)?;
    let mut value = serde_json::to_value(&entry).ok()?;
    let fields = value.as_object_mut()?;
    fields.remove("previous");
    fields.insert("name".into(), name.into());
    Some((entry.number, value.to_string()))
}
