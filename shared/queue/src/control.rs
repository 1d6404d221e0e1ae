//! What people do to runs: pause, resume, cancel, unlock.

use redis::Script;
use serde::Serialize;

use crate::scripts::{CANCEL, PAUSE, RESUME, UNLOCK};
use crate::{Error, Queue, Result, RunState};

/// The answer to a request to end a run early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It is over. `closed` is false when its close job was needed but no worker could do it.
    Now { run: String, closed: bool },
    /// Its close job is on the way; the final event follows, after [`crate::Settings::close_within`] at the latest.
    Ending { run: String },
    /// It was over before.
    Already { run: String, state: RunState },
    /// No run holds the target (of `unlock`).
    Nothing,
}

#[derive(Serialize)]
struct OfRun<'a> {
    run: &'a str,
    by: &'a str,
}

#[derive(Serialize)]
struct OfTarget<'a> {
    target: &'a str,
    by: &'a str,
}

impl Queue {
    /// Hands out nothing more of the run; claimed jobs run to their end. The run keeps its target.
    /// Answers the state the run is in then; only a running one is paused.
    pub async fn pause(&self, run: &str) -> Result<RunState> {
        self.pause_or_resume(&PAUSE, run).await
    }

    /// The opposite of [`Queue::pause`].
    pub async fn resume(&self, run: &str) -> Result<RunState> {
        self.pause_or_resume(&RESUME, run).await
    }

    async fn pause_or_resume(&self, script: &Script, run: &str) -> Result<RunState> {
        let state: String = self.call(script, &OfRun { run, by: "" }).await?;
        if state.is_empty() {
            return Err(Error::UnknownRun(run.to_string()));
        }
        RunState::parse(&state)
    }

    /// Ends a run: nothing more is handed out, running tasks are stopped, its close job runs, then the state is `cancelled`.
    pub async fn cancel(&self, run: &str, by: &str) -> Result<Ended> {
        let (before, state, closed): (String, String, bool) = self.call(&CANCEL, &OfRun { run, by }).await?;
        if before.is_empty() {
            return Err(Error::UnknownRun(run.to_string()));
        }
        let before = RunState::parse(&before)?;
        if before.is_final() {
            return Ok(Ended::Already { run: run.to_string(), state: before });
        }
        Self::ended(run.to_string(), &state, closed)
    }

    /// Takes the target from whichever run holds it; that run ends as `unlocked`. A run that is ending already ends at once.
    pub async fn unlock(&self, target: &str, by: &str) -> Result<Ended> {
        let (run, state, closed): (String, String, bool) = self.call(&UNLOCK, &OfTarget { target, by }).await?;
        if run.is_empty() {
            return Ok(Ended::Nothing);
        }
        Self::ended(run, &state, closed)
    }

    fn ended(run: String, state: &str, closed: bool) -> Result<Ended> {
        if RunState::parse(state)?.is_final() { Ok(Ended::Now { run, closed }) } else { Ok(Ended::Ending { run }) }
    }
}
