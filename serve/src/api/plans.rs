//! `POST /api/plans`: what a run would do. Nothing is enqueued and nothing written.

use axum::Json;
use axum::extract::State;
use producer::{Change, Detail, Forecast, Forecasting, Head, Problem, ProblemKind, SyncRequest};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::runs::Asked;
use crate::access::Caller;
use crate::error::ApiError;
use crate::state::{Serving, Shared};

/// So many changes are named; all are counted.
const NAMED: usize = 1000;

#[derive(Deserialize)]
struct Wanted {
    /// With the fields that differ.
    #[serde(default)]
    diff: bool,
    #[serde(flatten)]
    asked: Asked,
}

/// What a plan found.
pub struct Plan {
    pub head: Head,
    pub forecast: Forecast,
    /// The first of them.
    pub changes: Vec<Change>,
    pub changes_total: u64,
}

/// The same as [`super::runs::submit`] takes, and `diff`.
pub async fn make(
    State(shared): State<Shared>,
    caller: Caller,
    Json(asked): Json<Value>,
) -> Result<Json<Value>, ApiError> {
    let wanted: Wanted = serde_json::from_value(asked).map_err(|error| ApiError::usage(error.to_string()))?;
    let detail = if wanted.diff { Detail::Fields } else { Detail::Names };
    let Plan { head, forecast, changes, changes_total } = plan(&shared, &caller, wanted.asked, detail).await?;
    let mut value = json!(head);
    value["counts"] = json!(forecast.counts);
    value["resources"] = json!(forecast.resources);
    value["schema"] = json!(forecast.schema);
    value["changes"] = json!(changes);
    value["changes_total"] = changes_total.into();
    Ok(Json(value))
}

/// A few at a time: each reads both sides.
pub async fn plan(shared: &Shared, caller: &Caller, asked: Asked, detail: Detail) -> Result<Plan, ApiError> {
    let request = asked.plan_request(shared, caller)?;
    let turn = shared.plans.clone().acquire_owned().await;
    // On a thread of its own: comparing is told what it found by closures, and the compiler cannot see that their futures
    // may move between threads.
    let (shared, runtime) = (shared.clone(), Handle::current());
    let made = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        runtime.block_on(make_plan(&shared, &request, detail))
    });
    let made = made.await.map_err(|error| Problem::new(ProblemKind::Failed, format!("the plan broke off: {error}")))?;
    Ok(made?)
}

async fn make_plan(shared: &Serving, request: &SyncRequest, detail: Detail) -> Result<Plan, Problem> {
    let Serving { config, directory, queue, .. } = shared;
    let forecasting = Forecasting::begin(request, detail, config, directory, queue).await?;
    let head = forecasting.head.clone();
    let (mut changes, mut changes_total) = (Vec::new(), 0);
    let tell = |change: &Change| {
        changes_total += 1;
        if changes.len() < NAMED {
            changes.push(change.clone());
        }
        Ok(())
    };
    let forecast = forecasting.finish(tell).await?;
    Ok(Plan { head, forecast, changes, changes_total })
}
