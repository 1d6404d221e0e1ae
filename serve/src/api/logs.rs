//! `GET /api/logs`: what workers, this process and commands logged.

use axum::Json;
use axum::extract::{Query, State};
use producer::{WantedLines, find_run, log_lines};
use protocol::log::Level;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::state::Shared;

/// Lines, unless asked otherwise; and the most there are.
const LIMIT: usize = 100;
const MOST: usize = 5000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Only about this run.
    run: Option<String>,
    /// Only of this part of the program.
    channel: Option<String>,
    /// As grave as this, or graver.
    level: Option<Level>,
    limit: Option<usize>,
}

/// The latest first.
pub async fn show(State(shared): State<Shared>, Query(which): Query<Which>) -> Result<Json<Value>, ApiError> {
    let limit = super::limit(which.limit, LIMIT, MOST)?;
    let run = match &which.run {
        Some(wanted) => Some(find_run(&shared.queue, wanted).await?.id),
        None => None,
    };
    let wanted = WantedLines { run, channel: which.channel, level: which.level };
    Ok(Json(json!({ "lines": log_lines(&shared.queue, &wanted, limit).await? })))
}
