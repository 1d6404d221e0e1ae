//! Jobs that were given up: looked at, put back to work, dropped.

use axum::Json;
use axum::extract::{Path, Query, State};
use producer::{all_dead, dead_jobs, drop_dead, find_run, retry_dead};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::Caller;
use crate::error::ApiError;
use crate::state::Shared;

/// Runs whose dead jobs are looked for when no run is named.
const RUNS: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    run: Option<String>,
}

/// `GET /api/dead`: of one run, or of the latest and of notifications.
pub async fn list(State(shared): State<Shared>, Query(which): Query<Which>) -> Result<Json<Value>, ApiError> {
    let dead = match which.run {
        Some(run) => dead_jobs(&shared.queue, &find_run(&shared.queue, &run).await?).await?,
        None => all_dead(&shared.queue, RUNS, usize::MAX).await?,
    };
    Ok(Json(json!({ "dead": dead })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chosen {
    /// Ids; or all of them, said aloud.
    #[serde(default)]
    jobs: Vec<String>,
    #[serde(default)]
    all: bool,
}

impl Chosen {
    /// None: all.
    fn check(self) -> Result<Vec<String>, ApiError> {
        match (self.jobs.is_empty(), self.all) {
            (true, true) => Ok(Vec::new()),
            (false, false) => Ok(self.jobs),
            _ => Err(ApiError::usage("say which \"jobs\", or \"all\": true")),
        }
    }
}

/// `POST /api/dead/{run}/retry`
pub async fn retry(
    State(shared): State<Shared>,
    caller: Caller,
    Path(run): Path<String>,
    Json(chosen): Json<Chosen>,
) -> Result<Json<Value>, ApiError> {
    let (view, jobs) = (find_run(&shared.queue, &run).await?, chosen.check()?);
    let retried = retry_dead(&shared.queue, &view, &jobs, &caller.in_words()).await?;
    Ok(Json(json!({ "run": view.id, "retried": retried })))
}

/// `POST /api/dead/{run}/drop`
pub async fn drop_them(
    State(shared): State<Shared>,
    caller: Caller,
    Path(run): Path<String>,
    Json(chosen): Json<Chosen>,
) -> Result<Json<Value>, ApiError> {
    let (view, jobs) = (find_run(&shared.queue, &run).await?, chosen.check()?);
    let dropped = drop_dead(&shared.queue, &view, &jobs, &caller.in_words()).await?;
    Ok(Json(json!({ "run": view.id, "dropped": dropped })))
}
