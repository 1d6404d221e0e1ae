//! Jobs that were given up, decoded, and what can be done about them.

use askama::Template;
use axum::extract::{Form, Path, State};
use axum::response::Response;
use producer::{DeadReport, TryReport, dead_jobs, drop_dead, retry_dead};
use queue::WantedRuns;
use serde::Deserialize;

use super::words;
use super::{Shell, page, see};
use crate::access::Caller;
use crate::error::ApiError;
use crate::state::Shared;

/// The latest runs, whose dead jobs are looked for; and jobs that are shown.
const RUNS: usize = 200;
const SHOWN: usize = 20;
/// Of each: characters of its payload and of an error, and errors.
const PAYLOAD: usize = 1000;
const ERROR: usize = 300;
const HISTORY: usize = 5;

#[derive(Template)]
#[template(path = "dead.html")]
struct Dead {
    shell: Shell,
    dead: Vec<DeadJob>,
    are_more: bool,
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
            payload: words::cut(serde_json::to_string_pretty(&job.payload).unwrap_or_default(), PAYLOAD),
            history: job.history.iter().rev().take(HISTORY).rev().map(failed).collect(),
            died: words::time(&job.died),
            run: job.run,
            id: job.job,
            stage: job.stage,
            attempts: job.attempts,
            crashes: job.crashes,
            error: words::cut(job.error, ERROR),
            is_live,
        }
    }
}

fn failed(attempt: &TryReport) -> String {
    format!("{} {}", words::time(&attempt.time), words::cut(attempt.error.clone(), ERROR))
}

pub async fn show(State(shared): State<Shared>, caller: Caller) -> Result<Response, ApiError> {
    let latest = WantedRuns { limit: RUNS, ..WantedRuns::default() };
    let runs = shared.queue.page_of_runs(&latest).await?.runs;
    let mut dead = Vec::new();
    for view in runs.iter().filter(|view| view.depth.dead > 0) {
        let is_live = !view.state.is_final();
        dead.extend(dead_jobs(&shared.queue, view).await?.into_iter().map(|job| DeadJob::new(job, is_live)));
        if dead.len() > SHOWN {
            break;
        }
    }
    let are_more = dead.len() > SHOWN;
    dead.truncate(SHOWN);
    Ok(page(&Dead { shell: Shell::new(&caller, "/dead", "Dead jobs"), dead, are_more }))
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
