//! What goes on: `/api/status`, and each target with what its agent says.

use axum::Json;
use axum::extract::{Path, State};
use producer::{Problem, check, check_report};
use queue::Ended;
use serde_json::{Value, json};

use super::protection::Means;
use crate::access::Caller;
use crate::error::ApiError;
use crate::state::{Serving, Shared};

/// `GET /api/status`: `syncing` and `lastSync` as documented, and what is behind them.
pub async fn show(State(shared): State<Shared>) -> Result<Json<Value>, ApiError> {
    let status = shared.status().await?;
    let ended = status.targets.iter().filter_map(|target| target.last_sync.as_ref()?.finished.clone());
    let mut value = json!(*status);
    // Null before the first; times in this form sort as they follow each other.
    value["lastSync"] = json!(ended.max());
    Ok(Json(value))
}

/// `GET /api/targets`
pub async fn targets(State(shared): State<Shared>) -> Result<Json<Value>, ApiError> {
    let (status, agents) = tokio::join!(shared.status(), shared.now.agents(&shared.directory));
    let status = status?;
    let target = |(name, instance): (&String, &config::Instance)| {
        let goes_on = status.targets.iter().find(|target| target.target == *name);
        let mut value = json!({
            "name": name, "local": *name == shared.config.local, "push": instance.push, "pull": instance.pull,
            "protect": instance.protect, "health": agents.get(name),
        });
        for (key, part) in json!(goes_on).as_object().into_iter().flatten().filter(|(key, _)| *key != "target") {
            value[key] = part.clone();
        }
        value
    };
    let targets: Vec<Value> = shared.config.instances.iter().map(target).collect();
    Ok(Json(json!({ "targets": targets })))
}

/// `POST /api/targets/{target}/check`: asks its agent now.
pub async fn check_one(State(shared): State<Shared>, Path(target): Path<String>) -> Result<Json<Value>, ApiError> {
    is_there(&shared, &target)?;
    let answer = check(&shared.directory, &target).await;
    Ok(Json(check_report(&target, &answer)))
}

/// `POST /api/targets/{target}/unlock`: the documented Reset of its lock.
pub async fn unlock(
    State(shared): State<Shared>,
    caller: Caller,
    Path(target): Path<String>,
    means: Option<Json<Means>>,
) -> Result<Json<Value>, ApiError> {
    is_there(&shared, &target)?;
    means.unwrap_or_default().check(&target, &shared.config, "reset its lock")?;
    let unlocked = producer::unlock(&shared.queue, &shared.directory, &target, &caller.in_words()).await?;
    let run = match unlocked.ended {
        Ended::Now { run, .. } | Ended::Ending { run } | Ended::Already { run, .. } => Some(run),
        Ended::Nothing => None,
    };
    Ok(Json(json!({
        "target": target, "run": run, "grant": unlocked.grant.map(|grant| grant.holder),
        "agent_problem": unlocked.agent_problem,
    })))
}

fn is_there(shared: &Serving, target: &str) -> Result<(), ApiError> {
    if shared.config.instances.contains_key(target) {
        return Ok(());
    }
    Err(ApiError::not_found(Problem::usage(format!("no instance is called {target:?} in the config")).message))
}
