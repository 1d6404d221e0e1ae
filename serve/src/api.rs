//! The control API: JSON in, JSON out. `openapi.json` describes every address of it.

use crate::access::Needs;
use crate::routes::Routes;

mod events;
mod protection;
mod runs;
mod schedules;
mod session;

pub fn routes(routes: Routes) -> Routes {
    routes
        .get("/api/session", Needs::Nothing, session::show)
        .post("/api/session", Needs::Nothing, session::log_in)
        .delete("/api/session", Needs::Nothing, session::log_out)
        .get("/api/events", Needs::View, events::follow)
        .post("/api/runs", Needs::Manage, runs::submit)
        .get("/api/runs", Needs::View, runs::list)
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
}
