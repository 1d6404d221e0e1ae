//! Runs: asked for, listed, looked at, ended, made again.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use producer::{Problem, SyncRequest, dead_jobs, find_run, report, spec_of};
use protocol::counts::Note;
use protocol::run::{Direction, OnLocked};
use queue::{IfBusy, RunState, RunView};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::protection::Means;
use crate::access::Caller;
use crate::error::ApiError;
use crate::state::{Serving, Shared};

/// A run shows so many of its notes; there is a page of them for the rest.
const NOTES: usize = 100;
/// The most on a page of them.
const MOST_NOTES: usize = 500;
/// So long the same `Idempotency-Key` means the same run.
const SAME_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// What a mirror does to a protected target.
const MIRROR: &str = "delete there what the source does not have";

/// What a sync is asked for with, besides its options.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    direction: Direction,
    /// The instance to push to, or to pull from.
    instance: String,
    #[serde(flatten)]
    means: Means,
    #[serde(flatten)]
    options: Map<String, Value>,
}

impl Asked {
    /// The request it stands for. What deletes on a protected target must name it.
    fn request(self, shared: &Serving, caller: &Caller) -> Result<SyncRequest, ApiError> {
        let means = Means { yes_i_mean: self.means.yes_i_mean.clone() };
        let request = self.plan_request(shared, caller)?;
        if request.mirror.is_some() {
            means.check(request.target(&shared.config), &shared.config, MIRROR)?;
        }
        Ok(request)
    }

    /// The same for those who only want to know.
    pub fn plan_request(self, shared: &Serving, caller: &Caller) -> Result<SyncRequest, ApiError> {
        let Self { direction, instance, options, .. } = self;
        Ok(SyncRequest::asked(direction, instance, options, &shared.config, caller.in_words())?)
    }
}

/// `POST /api/runs`
pub async fn submit(
    State(shared): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    Json(asked): Json<Value>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let fingerprint = hex::encode(Sha256::digest(asked.to_string()));
    let wanted: Asked = serde_json::from_value(asked).map_err(|error| ApiError::usage(error.to_string()))?;
    let request = wanted.request(&shared, &caller)?;
    let run = match headers.get("idempotency-key") {
        None => producer::submit(&request, &shared.config, &shared.directory, &shared.queue).await?,
        Some(key) => submit_once(&shared, &caller, key.as_bytes(), &fingerprint, &request).await?,
    };
    let view = shared.queue.run(&run).await?;
    Ok((StatusCode::CREATED, Json(json!(report(&view)))))
}

/// The run's id is chosen before it is submitted and kept under the key: whoever comes with the same key submits the
/// same run, of which the queue takes one.
async fn submit_once(
    shared: &Serving,
    caller: &Caller,
    key: &[u8],
    fingerprint: &str,
    request: &SyncRequest,
) -> Result<String, ApiError> {
    if !(1..=255).contains(&key.len()) {
        return Err(ApiError::usage("Idempotency-Key has 1 to 255 characters"));
    }
    let whose = caller.name.as_deref().unwrap_or_default();
    let name = format!(
        "once:{}",
        hex::encode(Sha256::new().chain_update(whose).chain_update("\0").chain_update(key).finalize())
    );
    let mine = format!("{} {fingerprint}", uuid::Uuid::now_v7());
    let kept = shared.queue.keep_first(&name, mine.as_bytes(), SAME_FOR).await?;
    let kept = String::from_utf8_lossy(&kept).into_owned();
    let (run, of) = kept.split_once(' ').unwrap_or_default();
    if of != fingerprint {
        let message = "this Idempotency-Key was used for another request: each request has a key of its own";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency", message));
    }
    match shared.queue.run(run).await {
        Ok(_) => return Ok(run.to_owned()),
        Err(queue::Error::UnknownRun(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let submitted = producer::submit_as(run, request, &shared.config, &shared.directory, &shared.queue).await?;
    if submitted != run {
        // It joined one that waited to do the same.
        let joined = format!("{submitted} {fingerprint}");
        shared.queue.keep(&name, joined.as_bytes(), SAME_FOR).await?;
    }
    Ok(submitted)
}

/// `GET /api/runs/{run}`
pub async fn show(State(shared): State<Shared>, Path(run): Path<String>) -> Result<Json<Value>, ApiError> {
    let view = find_run(&shared.queue, &run).await?;
    let notes = shared.queue.notes(&view.id).await?;
    let notes: Vec<Note> = notes.iter().take(NOTES).filter_map(|note| Note::decode(note)).collect();
    let mut value = json!(report(&view));
    value["explanation"] = shared.queue.explain(&view.id).await?.into();
    value["notes"] = json!(notes);
    value["notes_total"] = view.notes_total.into();
    value["dead"] = json!(dead_jobs(&shared.queue, &view).await?);
    Ok(Json(value))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    #[serde(default)]
    from: usize,
    limit: Option<usize>,
}

/// `GET /api/runs/{run}/notes`: held items and what else people should see.
pub async fn notes(
    State(shared): State<Shared>,
    Path(run): Path<String>,
    Query(part): Query<Part>,
) -> Result<Json<Value>, ApiError> {
    let view = find_run(&shared.queue, &run).await?;
    let notes = shared.queue.notes(&view.id).await?;
    let limit = super::limit(part.limit, NOTES, MOST_NOTES)?;
    let of_page: Vec<Note> = notes.iter().skip(part.from).take(limit).filter_map(|note| Note::decode(note)).collect();
    let next = part.from.saturating_add(limit);
    let next = (next < notes.len()).then_some(next);
    Ok(Json(json!({ "notes": of_page, "notes_total": view.notes_total, "next": next })))
}

/// `GET /api/runs/{run}/receipt`: what the target's agent remembers of it.
pub async fn receipt(State(shared): State<Shared>, Path(run): Path<String>) -> Result<Json<Value>, ApiError> {
    let view = find_run(&shared.queue, &run).await?;
    Ok(Json(json!(producer::receipt(&shared.directory, &view.target, &view.id).await?)))
}

/// `POST /api/runs/{run}/cancel`
pub async fn cancel(
    State(shared): State<Shared>,
    caller: Caller,
    Path(run): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let view = find_run(&shared.queue, &run).await?;
    if view.state.is_final() {
        return Err(Problem::refused(format!("run {} is over already: {}", view.id, view.state)).into());
    }
    let closed = producer::cancel(&shared.queue, &shared.directory, &view, &caller.in_words()).await?;
    let mut value = json!(report(&shared.queue.run(&view.id).await?));
    value["grant_is_closing"] = closed.into();
    Ok(Json(value))
}

/// `POST /api/runs/{run}/pause`
pub async fn pause(State(shared): State<Shared>, Path(run): Path<String>) -> Result<Json<Value>, ApiError> {
    let view = find_run(&shared.queue, &run).await?;
    is_now(&shared, &view, shared.queue.pause(&view.id).await?, RunState::Paused).await
}

/// `POST /api/runs/{run}/resume`
pub async fn resume(State(shared): State<Shared>, Path(run): Path<String>) -> Result<Json<Value>, ApiError> {
    let view = find_run(&shared.queue, &run).await?;
    is_now(&shared, &view, shared.queue.resume(&view.id).await?, RunState::Running).await
}

async fn is_now(shared: &Serving, view: &RunView, state: RunState, wanted: RunState) -> Result<Json<Value>, ApiError> {
    if state != wanted {
        return Err(Problem::refused(format!("run {} is {state}: it cannot become {wanted}", view.id)).into());
    }
    Ok(Json(json!(report(&shared.queue.run(&view.id).await?))))
}

/// `POST /api/runs/{run}/retry`: a new run of what one that is over left over.
pub async fn retry(
    State(shared): State<Shared>,
    caller: Caller,
    Path(run): Path<String>,
    means: Option<Json<Means>>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let view = find_run(&shared.queue, &run).await?;
    if spec_of(&view)?.mirror.is_some() {
        means.unwrap_or_default().check(&view.target, &shared.config, MIRROR)?;
    }
    let (queue, directory, config) = (&shared.queue, &shared.directory, &shared.config);
    let run = producer::retry(queue, directory, config, &view, IfBusy::Wait, caller.in_words()).await?;
    Ok((StatusCode::CREATED, Json(json!(report(&queue.run(&run).await?)))))
}

/// `GET /api/runs/{run}/undo`: what undoing it would do.
pub async fn plan_undo(State(shared): State<Shared>, Path(run): Path<String>) -> Result<Json<Value>, ApiError> {
    let view = find_run(&shared.queue, &run).await?;
    Ok(Json(json!(producer::plan_undo(&shared.directory, &view.target, &view.id).await?)))
}

/// `POST /api/runs/{run}/undo`
pub async fn undo(
    State(shared): State<Shared>,
    caller: Caller,
    Path(run): Path<String>,
    means: Option<Json<Means>>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let view = find_run(&shared.queue, &run).await?;
    if !view.state.is_final() {
        return Err(Problem::refused(format!("run {} is {}: end it first", view.id, view.state)).into());
    }
    means.unwrap_or_default().check(&view.target, &shared.config, "undo that")?;
    let plan = producer::plan_undo(&shared.directory, &view.target, &view.id).await?;
    if let Some(problem) = producer::nothing_to_undo(&plan) {
        return Err(problem.into());
    }
    let (queue, directory, config) = (&shared.queue, &shared.directory, &shared.config);
    let run = producer::submit_undo(&plan, config, directory, queue, OnLocked::Hold, caller.in_words()).await?;
    Ok((StatusCode::CREATED, Json(json!(report(&queue.run(&run).await?)))))
}
