//! The control API: JSON in, JSON out. `openapi.json` describes every address of it.

use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;

use crate::access::Needs;
use crate::error::ApiError;
use crate::routes::Routes;

mod audit;
mod dead;
mod events;
pub mod history;
mod hooks;
mod logs;
mod plans;
pub mod protection;
pub mod runs;
mod schedules;
mod session;
pub mod status;

/// Checked against the routes by a test.
pub const OPENAPI: &str = include_str!("../../docs/openapi.json");

pub fn routes(routes: Routes) -> Routes {
    routes
        .get("/api/session", Needs::Nothing, session::show)
        .post("/api/session", Needs::Nothing, session::log_in)
        .delete("/api/session", Needs::Nothing, session::log_out)
        .get("/api/events", Needs::View, events::follow)
        .post("/api/runs", Needs::Manage, runs::submit)
        .get("/api/runs", Needs::View, history::list)
        .get("/api/runs/{run}", Needs::View, runs::show)
        .get("/api/runs/{run}/notes", Needs::View, runs::notes)
        .get("/api/runs/{run}/receipt", Needs::View, runs::receipt)
        .post("/api/runs/{run}/cancel", Needs::Manage, runs::cancel)
        .post("/api/runs/{run}/pause", Needs::Manage, runs::pause)
        .post("/api/runs/{run}/resume", Needs::Manage, runs::resume)
        .post("/api/runs/{run}/retry", Needs::Manage, runs::retry)
        .get("/api/runs/{run}/undo", Needs::View, runs::plan_undo)
        .post("/api/runs/{run}/undo", Needs::Manage, runs::undo)
        .get("/api/schedules", Needs::View, schedules::list)
        .post("/api/schedules/{name}/run", Needs::Manage, schedules::run)
        .post("/api/plans", Needs::Manage, plans::make)
        .get("/api/status", Needs::View, status::show)
        .get("/api/targets", Needs::View, status::targets)
        .post("/api/targets/{target}/check", Needs::View, status::check_one)
        .post("/api/targets/{target}/unlock", Needs::Manage, status::unlock)
        .get("/api/dead", Needs::View, dead::list)
        .post("/api/dead/{run}/retry", Needs::Manage, dead::retry)
        .post("/api/dead/{run}/drop", Needs::Manage, dead::drop_them)
        .post("/api/hooks/{hook}", Needs::Hook, hooks::called)
        .get("/api/audit", Needs::View, audit::show)
        .get("/api/logs", Needs::View, logs::show)
        .get("/api/openapi.json", Needs::View, document)
}

/// How many are answered: so many unless asked otherwise, and never more than `most`.
fn limit(asked: Option<usize>, usual: usize, most: usize) -> Result<usize, ApiError> {
    let limit = asked.unwrap_or(usual);
    if (1..=most).contains(&limit) {
        return Ok(limit);
    }
    Err(ApiError::usage(format!("limit lies between 1 and {most}")))
}

/// What all this is, for programs.
async fn document() -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(CONTENT_TYPE, "application/json")], OPENAPI)
}
