//! Instances: whether their agents are there, who may write, and the reset of a lock. The config says which there are.

use askama::Template;
use axum::Json;
use axum::extract::{Form, Path, State};
use axum::response::Response;
use config::{Instance, Place};
use producer::{Status, TargetStatus};
use protocol::api::Manifest;

use super::overview::health;
use super::words::{self, Mark};
use super::{Shell, page, see};
use crate::access::Caller;
use crate::api::protection::Means;
use crate::api::status;
use crate::error::ApiError;
use crate::monitor::Outlook;
use crate::state::Shared;

#[derive(Template)]
#[template(path = "targets.html")]
struct Targets {
    shell: Shell,
    targets: Vec<Target>,
}

struct Target {
    name: String,
    health: Mark,
    place: String,
    allowed: String,
    facts: Vec<Fact>,
    lock: String,
    is_locked: bool,
    asked: String,
    problem: Option<String>,
    warnings: Vec<String>,
}

struct Fact {
    name: &'static str,
    value: String,
}

pub async fn show(State(shared): State<Shared>, caller: Caller) -> Response {
    let local = &shared.config.local;
    let targets = shared.monitor.read(|outlook| {
        let instances = shared.config.instances.iter();
        instances.map(|(name, instance)| Target::of(name, instance, name == local, outlook)).collect()
    });
    page(&Targets { shell: Shell::new(&caller, "/targets", "Targets"), targets })
}

impl Target {
    fn of(name: &str, instance: &Instance, is_local: bool, outlook: &Outlook) -> Self {
        let known = outlook.health.get(name);
        let answer = known.map(|health| &health.answer);
        let manifest = answer.and_then(|answer| answer.as_ref().ok());
        let lock = lock(status_of(outlook.status.as_deref(), name), manifest.map(|manifest| &**manifest));
        Self {
            name: name.into(),
            health: health(known),
            place: match &instance.at {
                Place::Url { url, .. } => url.clone(),
                Place::Path(path) => path.display().to_string(),
            },
            allowed: allowed(instance, is_local),
            facts: manifest.map(|manifest| facts(manifest)).unwrap_or_default(),
            is_locked: lock.is_some(),
            lock: lock.unwrap_or_else(|| "free".into()),
            asked: known.map_or_else(|| "not yet".into(), |health| words::time(&health.asked)),
            problem: answer.and_then(|answer| answer.as_ref().err()).map(|problem| problem.message.clone()),
            warnings: manifest.map(|manifest| manifest.warnings.clone()).unwrap_or_default(),
        }
    }
}

fn status_of<'s>(status: Option<&'s Status>, name: &str) -> Option<&'s TargetStatus> {
    status?.targets.iter().find(|target| target.target == name)
}

fn allowed(instance: &Instance, is_local: bool) -> String {
    let flags = [
        (is_local, "this server (local)"),
        (instance.push, "push"),
        (instance.pull, "pull"),
        (instance.protect, "protected"),
    ];
    let said: Vec<&str> = flags.into_iter().filter_map(|(is_so, word)| is_so.then_some(word)).collect();
    if said.is_empty() { "neither push nor pull".into() } else { said.join(", ") }
}

fn facts(manifest: &Manifest) -> Vec<Fact> {
    let items: u64 = manifest.models.iter().map(|model| model.items).sum();
    let cockpit = manifest.cockpit_version.as_deref().unwrap_or("of unknown version");
    vec![
        Fact { name: "Cockpit", value: format!("{cockpit}, agent {}", manifest.agent_version) },
        Fact {
            name: "Holds",
            value: format!(
                "{} models with about {} items, {} assets",
                manifest.models.len(),
                words::number(items),
                words::number(manifest.assets)
            ),
        },
    ]
}

/// Who may write there, in words: the run of ours that holds the target, or whom the agent has given its grant.
fn lock(target: Option<&TargetStatus>, manifest: Option<&Manifest>) -> Option<String> {
    if let Some(holder) = target.and_then(|target| target.holder.as_ref()) {
        let since = target.and_then(|target| target.lease.as_ref());
        let since = since.map_or_else(|| "no lease".into(), |lease| format!("since {}", words::time(&lease.since)));
        return Some(format!(
            "held by run {} ({} from {}, {}, started by {}), {since}",
            words::short(&holder.run),
            holder.direction,
            holder.source,
            holder.state,
            holder.started_by
        ));
    }
    let grant = manifest?.grant.as_ref()?;
    let since = words::time(&producer::utc(u64::try_from(grant.since_ms).unwrap_or(0)));
    Some(format!("its agent has given the right to write to {}, since {since}", grant.holder))
}

pub async fn check(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Response, ApiError> {
    known(&shared, &name)?;
    shared.monitor.refresh(&shared, &name).await;
    Ok(see("/targets"))
}

fn known<'s>(shared: &'s Shared, name: &str) -> Result<&'s Instance, ApiError> {
    let instance = shared.config.instances.get(name);
    instance.ok_or_else(|| ApiError::not_found(format!("no instance is called {name:?} in the config")))
}

#[derive(Template)]
#[template(path = "reset.html")]
struct Reset {
    shell: Shell,
    name: String,
    lock: String,
    is_protected: bool,
}

pub async fn show_reset(
    State(shared): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let is_protected = known(&shared, &name)?.protect;
    // Not what is remembered: whoever is thrown out is who holds it now.
    let (status, ()) = tokio::join!(shared.status(), shared.monitor.ask(&shared, &name));
    let answer = shared.monitor.read(|outlook| outlook.health.get(&name).map(|health| health.answer.clone()));
    let manifest = answer.and_then(Result::ok);
    let lock = lock(status_of(status.ok().as_deref(), &name), manifest.as_deref());
    let lock = format!("{name} is {}.", lock.unwrap_or_else(|| "free: there is nothing to reset".into()));
    let shell = Shell::new(&caller, "/targets", format!("Reset the lock of {name}"));
    Ok(page(&Reset { shell, name, lock, is_protected }))
}

pub async fn reset(
    State(shared): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
    Form(means): Form<Means>,
) -> Result<Response, ApiError> {
    let Json(_told) = status::unlock(State(shared.clone()), caller, Path(name.clone()), Some(Json(means))).await?;
    shared.monitor.refresh(&shared, &name).await;
    Ok(see("/targets"))
}
