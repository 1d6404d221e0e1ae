//! What somebody may ask for and nobody keeps: said so, rather than answered with nothing.

use axum::http::StatusCode;

use crate::error::ApiError;

/// `GET /api/logs`
pub async fn logs() -> ApiError {
    let message = "log lines are not kept where serve could read them: each process writes its own to stderr \
                   (journalctl -u cockpit-sync-worker). What happened in a run is in /api/events and /api/runs/{run}";
    ApiError::new(StatusCode::NOT_IMPLEMENTED, "not_kept", message)
}
