//! What runs by itself.

use std::time::SystemTime;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use producer::schedules::{self, ScheduleReport};
use serde_json::{Value, json};

use crate::access::Caller;
use crate::error::ApiError;
use crate::state::Shared;

/// `GET /api/schedules`
pub async fn list(State(shared): State<Shared>) -> Result<Json<Vec<ScheduleReport>>, ApiError> {
    Ok(Json(schedules::list(&shared.config, &shared.queue, SystemTime::now()).await?))
}

/// `POST /api/schedules/{name}/run`
pub async fn run(
    State(shared): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let (config, directory, queue) = (&shared.config, &shared.directory, &shared.queue);
    let run = schedules::run_by_hand(&name, config, directory, queue, caller.in_words()).await?;
    Ok((StatusCode::CREATED, Json(json!(producer::report(&queue.run(&run).await?)))))
}
