//! Dead jobs as people and programs see them, and what people do about them.

use protocol::collection::Collection;
use protocol::event;
use protocol::job::{Batch, Job};
use queue::{DeadJob, Queue, RunState, RunView};
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::Problem;
use crate::report::utc;

/// A dead job with its payload decoded.
#[derive(Debug, Clone, Serialize)]
pub struct DeadReport {
    pub run: String,
    /// Of what was no job: the id of its entry in the stream.
    pub job: String,
    /// Empty for what was no job.
    pub kind: String,
    pub stage: String,
    /// What it was to do; of what cannot be read: why, and its bytes.
    pub payload: Value,
    pub error: String,
    /// Executions that failed, the last one included.
    pub attempts: u32,
    /// Workers that ended while executing it.
    pub crashes: u32,
    pub died: String,
    /// What came to nothing, oldest first; the last is why it died.
    pub history: Vec<TryReport>,
    /// Its run is not over, so it can go back to work.
    pub live: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct TryReport {
    pub time: String,
    pub error: String,
}

/// The dead jobs of all notifications and of the latest runs, as far as this many are reached.
pub async fn all_dead(queue: &Queue, runs: usize, enough: usize) -> Result<Vec<DeadReport>, Problem> {
    let mut views = queue.listeners().await?;
    views.extend(queue.runs(runs).await?);
    let mut dead = Vec::new();
    for view in views.iter().filter(|view| view.depth.dead > 0) {
        if dead.len() >= enough {
            break;
        }
        dead.extend(dead_jobs(queue, view).await?);
    }
    Ok(dead)
}

/// A run's dead jobs, oldest first.
pub async fn dead_jobs(queue: &Queue, view: &RunView) -> Result<Vec<DeadReport>, Problem> {
    Ok(queue.dead(&view.id).await?.iter().map(|job| dead_report(view, job)).collect())
}

fn dead_report(view: &RunView, job: &DeadJob) -> DeadReport {
    let one = |time: u64, error: &str| TryReport { time: utc(time), error: error.to_owned() };
    let before = job.tries.iter().map(|failed| one(failed.time, &failed.error));
    let stage = usize::try_from(job.stage).ok().and_then(|number| view.stages.get(number.checked_sub(1)?));
    DeadReport {
        run: view.id.clone(),
        job: job.id.clone(),
        kind: job.kind.clone(),
        stage: stage.map(|stage| stage.name.clone()).unwrap_or_default(),
        payload: payload(job),
        error: job.error.clone(),
        attempts: if job.kind.is_empty() { 0 } else { job.attempts + 1 },
        crashes: job.crashes,
        died: utc(job.time),
        history: before.chain([one(job.time, &job.error)]).collect(),
        live: !view.state.is_final(),
    }
}

fn payload(job: &DeadJob) -> Value {
    let unreadable = |why: String| json!({ "unreadable": why, "text": job.payload.escape_ascii().to_string(), "hex": hex::encode(&job.payload) });
    if job.kind.is_empty() {
        return unreadable("it is the whole entry, which was no job".into());
    }
    if job.kind == "event" {
        return serde_json::from_slice(&job.payload).unwrap_or_else(|error| unreadable(error.to_string()));
    }
    match Job::decode(&job.payload) {
        Ok(job) => describe(&job),
        Err(error) => unreadable(error.to_string()),
    }
}

fn describe(job: &Job) -> Value {
    let kind = job.kind();
    match job {
        Job::Open | Job::Expect | Job::Decide | Job::Close => json!({ "kind": kind }),
        Job::Collection { collection }
        | Job::Candidates { collection }
        | Job::Deletes { collection }
        | Job::Verify { collection } => json!({ "kind": kind, "collection": collection.name() }),
        Job::Undo { collection, part } => json!({ "kind": kind, "collection": collection, "part": part }),
        Job::VerifyUndo { collection } => json!({ "kind": kind, "collection": collection }),
        Job::Embedded(what) | Job::VerifyEmbedded(what) => {
            let by: Vec<String> = what.by.iter().map(Collection::name).collect();
            json!({ "kind": kind, "collection": what.wanted.name(), "by": by, "part": what.part, "parts": what.parts })
        }
        Job::Batch(Batch { collection, rows, fresh }) => {
            json!({ "kind": kind, "collection": collection.name(), "rows": rows, "fresh": fresh })
        }
    }
}

/// Puts dead jobs of a live run (all, when none are named) back to work. Answers which.
pub async fn retry_dead(queue: &Queue, view: &RunView, jobs: &[String], by: &str) -> Result<Vec<String>, Problem> {
    let named = are_dead(queue, view, jobs).await?;
    let over = |state: RunState| {
        let id = &view.id;
        Problem::refused(format!(
            "run {id} is {state}: its dead jobs cannot go back to work. `cockpit-sync retry {id}` makes a new run of \
             what it left over"
        ))
    };
    let (state, retried) = queue.retry_dead(&view.id, named, by, event::JOB_RETRIED).await?;
    if state.is_final() || state == RunState::Ending {
        return Err(over(state));
    }
    if retried.is_empty() && !jobs.is_empty() {
        return Err(Problem::refused(format!("{} was never a job, so it can only be dropped", jobs.join(", "))));
    }
    Ok(retried)
}

/// Removes dead jobs (all, when none are named) for good. Answers which.
pub async fn drop_dead(queue: &Queue, view: &RunView, jobs: &[String], by: &str) -> Result<Vec<String>, Problem> {
    let named = are_dead(queue, view, jobs).await?;
    Ok(queue.drop_dead(&view.id, named, by, event::JOB_DROPPED).await?.1)
}

/// The jobs as the queue takes them, when each of them is dead.
async fn are_dead<'a>(queue: &Queue, view: &RunView, jobs: &'a [String]) -> Result<Option<&'a [String]>, Problem> {
    if jobs.is_empty() {
        return Ok(None);
    }
    let dead = queue.dead(&view.id).await?;
    match jobs.iter().find(|id| !dead.iter().any(|job| job.id == **id)) {
        None => Ok(Some(jobs)),
        Some(id) => Err(Problem::usage(format!(
            "run {} has no dead job {id:?}; cockpit-sync dead list {0} shows those it has",
            view.id
        ))),
    }
}
