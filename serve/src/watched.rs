//! `/metrics`, `/healthz` and `/readyz`, as agents and workers have them.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use protocol::viewing::METRICS_TYPE;

use crate::access::Needs;
use crate::routes::Routes;
use crate::state::Shared;

/// A Redis that takes longer is as good as away.
const PATIENCE: Duration = Duration::from_secs(3);

pub fn routes(routes: Routes) -> Routes {
    routes
        .get("/metrics", Needs::Watch, async |State(shared): State<Shared>| {
            ([(CONTENT_TYPE, METRICS_TYPE)], (shared.render)()).into_response()
        })
        .get("/healthz", Needs::Watch, async || "alive\n")
        .get("/readyz", Needs::Watch, ready)
}

/// Requests can be answered: Redis answers.
async fn ready(State(shared): State<Shared>) -> Response {
    let not_ready = |why: String| (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response();
    if shared.stop.is_cancelled() {
        return not_ready("it is stopping".into());
    }
    match tokio::time::timeout(PATIENCE, shared.queue.last_seq()).await {
        Ok(Ok(_)) => "ready\n".into_response(),
        Ok(Err(error)) => not_ready(error.to_string()),
        Err(_) => not_ready("Redis does not answer".into()),
    }
}
