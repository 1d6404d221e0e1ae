//! Asks the target's agent for the grant; its token becomes the fence of every job of the lease (I4).

use protocol::api::OpenGrant;
use queue::{Outcome, Verdict};

use crate::renewal::grant_ttl;
use crate::scope::Scope;

pub async fn execute(scope: &Scope) -> Result<Outcome, Verdict> {
    let spec = &scope.run.spec;
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
