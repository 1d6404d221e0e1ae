//! Asks the target's agent for the grant; its token becomes the fence of every job of the lease (I4).

use protocol::api::OpenGrant;
use protocol::run::{REFUSED, RunSpec};
use queue::{Outcome, Verdict};

use crate::renewal::grant_ttl;
use crate::scope::Scope;

pub async fn execute(scope: &Scope) -> Result<Outcome, Verdict> {
    let spec = &scope.run.spec;
    check_order(spec, &scope.run.id)?;
    let authority = scope.queue.deployment().await.map_err(Verdict::retry)?;
    let what = match &spec.undo {
        Some(undone) => format!("undo of {undone} on {}", spec.target.name),
        None => format!("{} {} -> {}", spec.direction, spec.source.name, spec.target.name),
    };
    let holder = format!("run {} ({what}, started by {})", scope.run.id, spec.started_by);
    let ttl = grant_ttl(scope.queue.settings().lease);
    let request = OpenGrant {
        grant_id: scope.job.lease_id.clone(),
        authority,
        run: scope.run.id.clone(),
        holder,
        ttl_ms: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
        about: Some(spec.about()),
    };
    let opened = scope.target(&request).await?;
    Ok(Outcome { fence: Some(opened.token.into_bytes()), ..Outcome::default() })
}

/// A run that deletes or undoes says that a command asked for that, for this very run. Whether that is genuine is the
/// target's agent to tell, which knows all keys: this worker's may be another one than the command's.
fn check_order(spec: &RunSpec, run: &str) -> Result<(), Verdict> {
    let target = &spec.target.instance;
    let of_mirror = spec
        .mirror
        .as_ref()
        .map(|signed| signed.order().is_ok_and(|order| order.run == run && order.target == *target));
    let of_undo = spec.undo.as_ref().map(|undone| {
        let order = spec.undo_order.as_ref().and_then(|signed| signed.undo_order().ok());
        order.is_some_and(|order| order.run == run && order.target == *target && order.undoes == *undone)
    });
    if of_mirror.unwrap_or(true) && of_undo.unwrap_or(true) {
        return Ok(());
    }
    Err(Verdict::Fail { error: format!("{REFUSED}nobody has approved that this run deletes or undoes anything") })
}
