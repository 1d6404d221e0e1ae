//! Jobs that were given up, decoded, and what can be done about them.

use askama::Template;
use axum::extract::{Form, Path, State};
use axum::response::Response;
use producer::{DeadReport, dead_jobs, drop_dead, retry_dead};
use queue::WantedRuns;
use serde::Deserialize;

use super::words;
use super::{Shell, page, see};
use crate::access::Caller;
use crate::error::ApiError;
use crate::state::Shared;

/// The latest runs, whose dead jobs are looked for; and jobs that are shown.
const RUNS: usize = 200;
const SHOWN: usize = 100;

#[derive(Template)]
#[template(path = "dead.html")]
struct Dead {
    shell: Shell,
    dead: Vec<DeadJob>,
}

/// What the template `dead_jobs.html` shows.
pub struct DeadJob {
    pub run: String,
    pub id: String,
    pub name: String,
    pub stage: String,
    pub attempts: u32,
    pub crashes: u32,
    pub died: String,
    pub error: String,
    pub payload: String,
    pub history: Vec<String>,
    /// Its run is not over, so it can go back to work.
    pub is_live: bool,
}

impl DeadJob {
    pub fn new(job: DeadReport, is_live: bool) -> Self {
        Self {
            name: if job.kind.is_empty() { job.job.clone() } else { format!("{} {}", job.kind, job.job) },
            payload: serde_json::to_string_pretty(&job.payload).unwrap_or_default(),
            history: job.history.iter().map(|one| format!("{} {}", words::time(&one.time), one.error)).collect(),
            died: words::time(&job.died),
            run: job.run,
            id: job.job,
            stage: job.stage,
            attempts: job.attempts,
            crashes: job.crashes,
            error: job.error,
            is_live,
        }
    }
}

pub async fn show(State(shared): State<Shared>, caller: Caller) -> Result<Response, ApiError> {
    let latest = WantedRuns { limit: RUNS, ..WantedRuns::default() };
    let runs = shared.queue.page_of_runs(&latest).await?.runs;
    let mut dead = Vec::new();
    for view in runs.iter().filter(|view| view.depth.dead > 0) {
        let is_live = !view.state.is_final();
        dead.extend(dead_jobs(&shared.queue, view).await?.into_iter().map(|job| DeadJob::new(job, is_live)));
        if dead.len() >= SHOWN {
            dead.truncate(SHOWN);
            break;
        }
    }
    Ok(page(&Dead { shell: Shell::new(&caller, "/dead", "Dead jobs"), dead }))
}

#[derive(Deserialize)]
pub struct Chosen {
    job: String,
}

pub async fn act(
    State(shared): State<Shared>,
    caller: Caller,
    Path((id, what)): Path<(String, String)>,
    Form(chosen): Form<Chosen>,
) -> Result<Response, ApiError> {
    let view = shared.queue.run(&id).await?;
    let (jobs, by) = ([chosen.job], caller.in_words());
    match what.as_str() {
        "retry" => retry_dead(&shared.queue, &view, &jobs, &by).await?,
        "drop" => drop_dead(&shared.queue, &view, &jobs, &by).await?,
        _ => return Err(ApiError::not_found(format!("nothing is called {what:?} that could be done to a dead job"))),
    };
    Ok(see(&format!("/runs/{id}")))
}
