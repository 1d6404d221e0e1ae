//! What was saved in a CMS is pushed: many saves of the same item within a few seconds as one.
//!
//! What is to be pushed waits in Redis, so that it outlives this process, and one of several processes does it. What could
//! not be pushed is kept there for people as long as runs that are over are.

use std::collections::BTreeMap;
use std::time::Duration;

use config::Hook;
use futures_util::stream::{self, StreamExt};
use producer::{Items, Problem, ProblemKind, SyncRequest, now, submit_as, utc};
use protocol::api::ModelKind;
use protocol::event;
use protocol::run::Direction;
use queue::{Due, Queue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    pub hook: String,
    pub model: String,
    /// None of a singleton that did not say.
    pub item: Option<String>,
}

impl Saved {
    fn parse(what: &str) -> Result<Self, Problem> {
        serde_json::from_str(what).map_err(|error| Problem::usage(error.to_string()))
    }
}

/// The last push of a hook that nothing became of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    #[serde(flatten)]
    pub saved: Saved,
    pub error: String,
    pub at: String,
    /// It is still tried.
    pub again: bool,
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
        Err(problem) => {
            let again = problem.kind == ProblemKind::Unreachable && due.age() < shared.config.queue.retention();
            tell(shared, &due, &problem, again).await;
            if again {
                // It is due again in a while.
                return;
            }
        }
    }
    if let Err(error) = shared.queue.did(&due).await {
        // It is submitted once more under the same id, of which the queue takes one.
        tracing::warn!(%error, "what was pushed for a hook cannot be crossed off");
    }
}

async fn submit(shared: &Shared, due: &Due) -> Result<String, Problem> {
    let saved = Saved::parse(&due.what)?;
    let hook = hook(&shared.config.hooks, &saved.hook)?;
    let manifest = producer::check(&shared.directory, &shared.config.local).await?;
    let is_singleton =
        manifest.models.iter().any(|model| model.name == saved.model && model.kind == ModelKind::Singleton);
    let ids = saved.item.clone().into_iter().filter(|_| !is_singleton).collect();
    let items = Items { model: saved.model.clone(), ids, with_assets: hook.with_assets, with_links: 0 };
    let by = format!("hook {}", saved.hook);
    let request = SyncRequest::of_items(Direction::Push, &hook.target, items, by);
    let run = submit_as(&due.id, &request, &shared.config, &shared.directory, &shared.queue).await?;
    for again in [true, false] {
        forget(&shared.queue, &saved, again).await?;
    }
    Ok(run)
}

/// Whoever looks later, and whoever listens, knows that nothing became of it.
async fn tell(shared: &Shared, due: &Due, problem: &Problem, again: bool) {
    let error = problem.message.clone();
    match again {
        true => tracing::warn!(what = %due.what, "{error}; the push is tried again"),
        false => tracing::error!(what = %due.what, "not pushed: {error}"),
    }
    let Ok(saved) = Saved::parse(&due.what) else { return };
    let told = async {
        if !again {
            let target = shared.config.hooks.get(&saved.hook).map(|hook| json!({ "name": hook.target }));
            let about = [
                ("hook", json!(saved.hook)),
                ("model", json!(saved.model)),
                ("item", json!(saved.item)),
                ("target", json!(target)),
                ("error", json!(error)),
            ];
            let about = about.map(|(name, value)| (name.to_owned(), value));
            shared.queue.announce(event::HOOK_FAILED, &Map::from_iter(about)).await?;
        }
        forget(&shared.queue, &saved, !again).await?;
        let name = kept_as(&saved.hook, again);
        let trouble = Trouble { error, at: utc(now()), again, saved: saved.clone() };
        let trouble = serde_json::to_vec(&trouble).expect("strings always encode");
        shared.queue.keep(&name, &trouble, shared.config.queue.retention()).await
    };
    if let Err(error) = told.await {
        tracing::warn!(%error, "that a hook's push was not made could not be told to others");
    }
}

/// The names under which the queue keeps the last trouble of a hook: with what is still tried, and with what is not.
fn kept_as(hook: &str, again: bool) -> String {
    format!("hook:{hook}:{}", if again { "waits" } else { "failed" })
}

async fn trouble(queue: &Queue, hook: &str, again: bool) -> Result<Option<Trouble>, queue::Error> {
    Ok(queue.kept(&kept_as(hook, again)).await?.and_then(|kept| serde_json::from_slice(&kept).ok()))
}

/// It is no trouble any more; what became of another item is not known by that.
async fn forget(queue: &Queue, saved: &Saved, again: bool) -> Result<(), queue::Error> {
    match trouble(queue, &saved.hook, again).await? {
        Some(trouble) if trouble.saved == *saved => queue.forget(&kept_as(&saved.hook, again)).await,
        _ => Ok(()),
    }
}

/// The last troubles of each hook, if it had any.
pub async fn troubles(hooks: &BTreeMap<String, Hook>, queue: &Queue) -> Result<Vec<Trouble>, queue::Error> {
    let mut troubles = Vec::new();
    for hook in hooks.keys() {
        for again in [false, true] {
            troubles.extend(trouble(queue, hook, again).await?);
        }
    }
    Ok(troubles)
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
