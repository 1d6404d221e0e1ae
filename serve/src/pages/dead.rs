//! Jobs that were given up, decoded, and what can be done about them.

use askama::Template;
use axum::extract::{Form, Path, State};
use axum::response::Response;
use producer::{DeadReport, TryReport, all_dead, drop_dead, is_listener, retry_dead};
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
    /// And not of a notification, which has no page.
    pub is_of_a_run: bool,
    /// Its run is not over, so it can go back to work.
    pub is_live: bool,
}

impl DeadJob {
    pub fn new(job: DeadReport) -> Self {
        Self {
            name: if job.kind.is_empty() { job.job.clone() } else { format!("{} {}", job.kind, job.job) },
            payload: words::cut(serde_json::to_string_pretty(&job.payload).unwrap_or_default(), PAYLOAD),
            history: job.history.iter().rev().take(HISTORY).rev().map(failed).collect(),
            died: words::time(&job.died),
            is_of_a_run: !is_listener(&job.run),
            run: job.run,
            id: job.job,
            stage: job.stage,
            attempts: job.attempts,
            crashes: job.crashes,
            error: words::cut(job.error, ERROR),
            is_live: job.live,
        }
    }
}

fn failed(attempt: &TryReport) -> String {
    format!("{} {}", words::time(&attempt.time), words::cut(attempt.error.clone(), ERROR))
}

pub async fn show(State(shared): State<Shared>, caller: Caller) -> Result<Response, ApiError> {
    let dead = all_dead(&shared.queue, RUNS, SHOWN + 1).await?;
    let are_more = dead.len() > SHOWN;
    let dead = dead.into_iter().take(SHOWN).map(DeadJob::new).collect();
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
    Ok(see(&if is_listener(&id) { "/dead".into() } else { format!("/runs/{id}") }))
}
