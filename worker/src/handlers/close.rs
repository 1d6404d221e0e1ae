//! Gives the grant back: after this nothing of the run lands any more, however late it arrives (I4).

use std::time::{Duration, Instant};

use protocol::api::{ActionDone, ActionsRequest, AuditFrom, AuditRequest, CloseGrant, CloseWhich};
use protocol::audit::Entry;
use protocol::counts::Note;
use protocol::event;
use queue::{Outcome, Verdict};
use serde_json::json;

use crate::scope::Scope;

/// Entries of the agent's log that are looked at for those that are not copied yet.
const LATEST: u32 = 200;
/// So long the end of the run waits for the actions of the target's agent: less than what a run that ends early has for its
/// close job.
const ACTIONS: Duration = Duration::from_secs(20);
const ASK_AGAIN: Duration = Duration::from_millis(200);

pub async fn execute(scope: &Scope) -> Result<Outcome, Verdict> {
    let which = CloseWhich::Run(scope.run.id.clone());
    let closed = scope.target(&CloseGrant { which, reason: "the run is over".into() }).await?;
    if let Err(why) = copy_audit(scope).await {
        // It is in the agent's log, which is the one that counts.
        tracing::debug!(run.id = %scope.run.id, why, "the target's audit log was not copied");
    }
    Ok(if closed.actions > 0 { await_actions(scope).await } else { Outcome::default() })
}

/// What the target's agent does by its own config after the run, as far as it is over within a moment.
async fn await_actions(scope: &Scope) -> Outcome {
    let request = ActionsRequest { run: scope.run.id.clone() };
    let begun = Instant::now();
    let found = loop {
        match scope.target.call(&request).await {
            Ok(found) if found.pending == 0 || begun.elapsed() > ACTIONS => break found,
            Ok(_) => {}
            Err(error) if begun.elapsed() > ACTIONS => {
                tracing::warn!(run.id = %scope.run.id, %error, "how the actions of the target's agent went is not known");
                return Outcome::default();
            }
            Err(_) => {}
        }
        scope.context.progress();
        tokio::time::sleep(ASK_AGAIN).await;
    };
    let failed = found.done.iter().any(|action| action.error.is_some());
    let name = if failed { event::ACTIONS_FAILED } else { event::ACTIONS_DONE };
    let more = format!("\"actions\":{},\"pending\":{}", json!(found.done), found.pending);
    let note = |action: &ActionDone| Note::action(&action.name, action.error.as_deref()).encode();
    Outcome { notes: found.done.iter().map(note).collect(), event: Some((name.to_owned(), more)), ..Outcome::default() }
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
