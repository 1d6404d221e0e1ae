//! What was saved in a CMS is pushed: many saves of the same item within a few seconds as one.
//!
//! What is to be pushed waits in Redis, so that it outlives this process, and one of several processes does it.

use std::collections::BTreeMap;
use std::time::Duration;

use config::Hook;
use futures_util::stream::{self, StreamExt};
use producer::{Items, Problem, ProblemKind, SyncRequest, submit_as};
use protocol::api::ModelKind;
use protocol::run::Direction;
use queue::Due;
use serde::{Deserialize, Serialize};

use crate::state::Shared;

/// Saves of an item within this time after the first one are one push.
const GATHERS: Duration = Duration::from_secs(3);
/// How often what is due is looked for.
const LOOKS: Duration = Duration::from_millis(500);
/// A push that is not in line after so long is tried again, by whichever process is there.
const WITHIN: Duration = Duration::from_secs(30);
/// Pushes that are put in line at a time.
const AT_A_TIME: usize = 8;

/// An item that is to be pushed. The same item is the same text.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    hook: String,
    model: String,
    /// None of a singleton that did not say.
    item: Option<String>,
}

/// Puts it off for a moment. Answers whether it was not waiting already.
pub async fn saved(shared: &Shared, hook: &str, model: String, item: Option<String>) -> Result<bool, Problem> {
    let saved = Saved { hook: hook.to_owned(), model, item };
    let what = serde_json::to_string(&saved).expect("three strings always encode");
    Ok(shared.queue.put_off(&what, GATHERS).await?)
}

/// Pushes what is due, until the server stops.
pub async fn look_after(shared: Shared) {
    if shared.config.hooks.is_empty() {
        return;
    }
    let mut ticks = tokio::time::interval(LOOKS);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match shared.queue.take_due(AT_A_TIME, WITHIN).await {
            Ok(due) => stream::iter(due).for_each_concurrent(AT_A_TIME, |due| push(&shared, due)).await,
            Err(error) => tracing::warn!(%error, "what was saved in a CMS cannot be looked for; it is tried again"),
        }
    }
}

async fn push(shared: &Shared, due: Due) {
    match submit(shared, &due).await {
        Ok(run) => tracing::info!(run.id = %run, what = %due.what, "pushed for a hook"),
        // It is due again in a while.
        Err(problem) if problem.kind == ProblemKind::Unreachable => {
            tracing::warn!(what = %due.what, "{}; the push is tried again", problem.message);
            return;
        }
        Err(problem) => tracing::error!(what = %due.what, "not pushed: {}", problem.message),
    }
    if let Err(error) = shared.queue.did(&due).await {
        // It is submitted once more under the same id, of which the queue takes one.
        tracing::warn!(%error, "what was pushed for a hook cannot be crossed off");
    }
}

async fn submit(shared: &Shared, due: &Due) -> Result<String, Problem> {
    let saved: Saved = serde_json::from_str(&due.what).map_err(|error| Problem::usage(error.to_string()))?;
    let hook = hook(&shared.config.hooks, &saved.hook)?;
    let manifest = producer::check(&shared.directory, &shared.config.local).await?;
    let is_singleton =
        manifest.models.iter().any(|model| model.name == saved.model && model.kind == ModelKind::Singleton);
    let ids = saved.item.into_iter().filter(|_| !is_singleton).collect();
    let items = Items { model: saved.model, ids, with_assets: hook.with_assets, with_links: 0 };
    let by = format!("hook {}", saved.hook);
    let request = SyncRequest::of_items(Direction::Push, &hook.target, items, by);
    submit_as(&due.id, &request, &shared.config, &shared.directory, &shared.queue).await
}

/// A hook of the config.
pub fn hook<'c>(hooks: &'c BTreeMap<String, Hook>, name: &str) -> Result<&'c Hook, Problem> {
    hooks.get(name).ok_or_else(|| {
        Problem::new(
            ProblemKind::Lost,
            format!("there is no [hook.{name}] in the config: it says what to push, and where"),
        )
    })
}
