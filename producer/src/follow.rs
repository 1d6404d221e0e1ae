//! Waits for the end of a run, and tells how it gets on meanwhile.

use std::time::{Duration, Instant};

use queue::{Queue, RunState, RunView};

use crate::control::is_served;
use crate::error::{Problem, ProblemKind};

/// How often progress is looked at when no event comes.
const REFRESH: Duration = Duration::from_millis(200);
/// A run that nobody serves is reported after so long.
const NO_WORKER_AFTER: Duration = Duration::from_secs(1);

/// What is told while a run goes on.
pub enum Follow<'a> {
    Progress(&'a RunView),
    /// No worker that is alive knows these instances.
    NoWorker {
        requires: &'a [String],
    },
    /// Redis does not answer; the run goes on when it is back.
    RedisAway(String),
}

/// Follows a run to its end. With `patience`, a run that never found a worker is withdrawn after so long.
pub async fn follow(
    queue: &Queue,
    run: &str,
    patience: Option<Duration>,
    mut tell: impl FnMut(Follow<'_>),
) -> Result<RunView, Problem> {
    // What an event more or less changes is only how soon we look.
    let mut events = queue.subscribe(queue.last_seq().await.unwrap_or_default());
    let mut refresh = tokio::time::interval(REFRESH);
    let begun = Instant::now();
    let mut nobody_since: Option<Instant> = None;
    let mut next_look = begun + NO_WORKER_AFTER;
    let mut away = false;
    loop {
        let view = match queue.run(run).await {
            Ok(view) => view,
            Err(queue::Error::UnknownRun(_)) => return Err(lost(run)),
            Err(error) if error.is_transient() => {
                if !std::mem::replace(&mut away, true) {
                    tell(Follow::RedisAway(error.to_string()));
                }
                refresh.tick().await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        away = false;
        tell(Follow::Progress(&view));
        if view.state.is_final() {
            return Ok(view);
        }
        if Instant::now() >= next_look && view.state != RunState::Paused {
            next_look = Instant::now() + NO_WORKER_AFTER;
            match is_served(queue, &view).await {
                Ok(true) => nobody_since = None,
                Ok(false) => {
                    let since = *nobody_since.get_or_insert_with(|| {
                        tell(Follow::NoWorker { requires: &view.requires });
                        begun
                    });
                    let never_started = view.started.is_none() || view.counters.is_empty();
                    if patience.is_some_and(|patience| since.elapsed() > patience) && never_started {
                        return Err(withdraw(queue, &view).await?);
                    }
                }
                // Redis went away between two questions; the next look says so.
                Err(problem) if problem.kind == ProblemKind::Unreachable => {}
                Err(problem) => return Err(problem),
            }
        }
        wait_for_news(&mut events, &mut refresh, run).await;
    }
}

/// An event of this run, or the next time to look.
async fn wait_for_news(events: &mut queue::Subscription, refresh: &mut tokio::time::Interval, run: &str) {
    loop {
        tokio::select! {
            _ = refresh.tick() => return,
            event = events.next() => {
                if event.is_none_or(|event| event.run == run) {
                    return;
                }
            }
        }
    }
}

fn lost(run: &str) -> Problem {
    Problem::new(
        ProblemKind::Lost,
        format!(
            "run {run} is gone: Redis does not know it any more (it lost its data, or was flushed). Starting the sync \
             again is safe: only what is missing is written"
        ),
    )
}

async fn withdraw(queue: &Queue, view: &RunView) -> Result<Problem, Problem> {
    queue.cancel(&view.id, "no worker").await?;
    Ok(Problem::unreachable(format!(
        "no worker that is alive knows {}, so run {} was withdrawn: nothing was written. Start `cockpit-sync worker` \
         with a config that has these instances, or leave the run in line with --detach",
        view.requires.join(" and "),
        view.id
    )))
}
