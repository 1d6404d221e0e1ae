//! Ending runs early, and starting them again.

use config::Config;
use protocol::api::{CloseGrant, CloseWhich, GrantInfo};
use protocol::directory::Directory;
use protocol::run::RunSpec;
use queue::{Ended, IfBusy, Queue, RunState, RunView};

use crate::error::{Problem, ProblemKind};
use crate::request::{SyncRequest, submit};
use crate::undo::undo_again;

/// Ends a run: nothing of it lands afterwards. A worker closes the grant at the target's agent; where none is alive,
/// this command does. Gives back whether the grant is known to be closed, or on its way to be.
pub async fn cancel(queue: &Queue, directory: &Directory, view: &RunView, by: &str) -> Result<bool, Problem> {
    tracing::info!(run.id = view.id, by, "run is cancelled");
    match queue.cancel(&view.id, by).await? {
        Ended::Now { closed: false, .. } => {}
        Ended::Now { .. } | Ended::Ending { .. } | Ended::Already { .. } | Ended::Nothing => return Ok(true),
    }
    let spec = spec_of(view)?;
    let agent = directory.client(&spec.target.name, Some(&spec.target.instance))?;
    let which = CloseWhich::Run(view.id.clone());
    let closed = agent.call(&CloseGrant { which, reason: format!("cancelled by {by}") }).await;
    if let Err(error) = &closed {
        tracing::warn!(
            run.id = view.id,
            "no worker is alive, and the right to write could not be ended at the agent: {error}"
        );
    }
    Ok(closed.is_ok())
}

/// Whether a worker is alive that can execute jobs of this run.
pub async fn is_served(queue: &Queue, view: &RunView) -> Result<bool, Problem> {
    let knows = |worker: &queue::WorkerView| view.requires.iter().all(|name| worker.instances.contains(name));
    Ok(queue.workers().await?.iter().any(knows))
}

/// What an unlock found.
pub struct Unlocked {
    /// The grant that was open at the agent, whosever it was.
    pub grant: Option<GrantInfo>,
    pub ended: Ended,
    /// Why the agent could not be asked; the lease is released all the same.
    pub agent_problem: Option<String>,
}

/// The documented Reset: ends the right to write at the target's agent, whoever holds it, and the run in our queue.
pub async fn unlock(queue: &Queue, directory: &Directory, target: &str, by: &str) -> Result<Unlocked, Problem> {
    let (grant, agent_problem) = match close_any(directory, target, by).await {
        Ok(grant) => (grant, None),
        Err(problem) if problem.kind == ProblemKind::Usage => return Err(problem),
        Err(problem) => (None, Some(problem.message)),
    };
    let ended = queue.unlock(target, by).await?;
    Ok(Unlocked { grant, ended, agent_problem })
}

async fn close_any(directory: &Directory, target: &str, by: &str) -> Result<Option<GrantInfo>, Problem> {
    let manifest = directory.client(target, None)?.manifest().await?;
    let agent = directory.client(target, Some(&manifest.instance))?;
    let request = CloseGrant { which: CloseWhich::Any, reason: format!("unlocked by {by}") };
    Ok(agent.call(&request).await?.was_open)
}

/// A new run of what an ended run left over: what it brought is there and is not written again.
pub async fn retry(
    queue: &Queue,
    directory: &Directory,
    config: &Config,
    view: &RunView,
    if_busy: IfBusy,
    started_by: String,
) -> Result<String, Problem> {
    if !view.state.is_final() {
        return Err(Problem::refused(format!(
            "run {} is {}: only a run that is over can be retried",
            view.id, view.state
        )));
    }
    let spec = spec_of(view)?;
    if let Some(undone) = &spec.undo {
        return undo_again(&spec, undone, config, directory, queue, started_by).await;
    }
    if spec.carries_out_a_plan() {
        return Err(Problem::refused(format!(
            "run {} carried out a plan, which was made for what both sides were then: make a new plan and apply that",
            view.id
        )));
    }
    let request = SyncRequest::again(spec, if_busy, started_by)?;
    submit(&request, config, directory, queue).await
}

/// What a run was made of.
pub fn spec_of(view: &RunView) -> Result<RunSpec, Problem> {
    RunSpec::decode(&view.spec)
        .map_err(|error| Problem::usage(format!("run {} was made by another version ({error})", view.id)))
}

/// The run that somebody means: an id, the beginning or end of one, `last`, or a target's name (the run that holds it
/// or was its last).
pub async fn find_run(queue: &Queue, wanted: &str) -> Result<RunView, Problem> {
    match queue.run(wanted).await {
        Ok(view) => return Ok(view),
        Err(queue::Error::UnknownRun(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let runs = queue.runs(1000).await?;
    if wanted == "last" {
        return runs.into_iter().next().ok_or_else(|| Problem::new(ProblemKind::Lost, "there is no run yet"));
    }
    let holds = |view: &&RunView| view.target == wanted && !view.state.is_final() && view.state != RunState::Waiting;
    let by_target = runs.iter().find(holds).or_else(|| runs.iter().find(|view| view.target == wanted));
    if let Some(view) = by_target {
        return Ok(view.clone());
    }
    let mut named = runs.into_iter().filter(|view| view.id.starts_with(wanted) || view.id.ends_with(wanted));
    match (named.next(), named.next()) {
        (Some(view), None) => Ok(view),
        (Some(_), Some(_)) => Err(Problem::usage(format!("more than one run is called {wanted}: give more of its id"))),
        (None, _) => Err(Problem::new(
            ProblemKind::Lost,
            format!(
                "there is no run {wanted}: it never was, or its history has expired, or Redis lost its data. Starting \
                 it again is safe: only what is missing is written"
            ),
        )),
    }
}
