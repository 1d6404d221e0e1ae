//! Several targets at once: a run for each, with its own lease and its own end, all submitted and followed side by side.

use std::time::Duration;

use config::Config;
use futures_util::future::join_all;
use indicatif::MultiProgress;
use producer::{Problem, ProblemKind, SyncRequest, follow};
use queue::RunView;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::display::Display;
use super::ending::Ending;
use super::{FollowOptions, interrupted};
use crate::cli::Output;
use crate::cli::output::problem_as_json;
use crate::cli::table::short;
use crate::session::Session;

/// From the worst on: what becomes of one target tells most.
const WORST_FIRST: [u8; 6] = [1, 2, 6, 5, 4, 3];

/// The targets of `a,b,c`, each once.
pub fn targets(typed: &str) -> Result<Vec<String>, Problem> {
    let mut names: Vec<String> = Vec::new();
    for name in typed.split(',').map(str::trim) {
        if name.is_empty() || names.iter().any(|known| known == name) {
            return Err(Problem::usage(format!("{typed:?} is no list of instances, each named once: eu,us")));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// Requests that differ in their target.
pub struct FanOut<'a> {
    pub requests: Vec<SyncRequest>,
    /// Goes first; the others only when it has ended well and verified.
    pub canary: Option<String>,
    pub follow: &'a FollowOptions,
    pub output: &'a Output,
}

impl FanOut<'_> {
    pub async fn run(mut self, config: Config) -> Result<u8, Problem> {
        for request in &mut self.requests {
            producer::check_names(request, &config)?;
            request.shares_source = true;
        }
        let session = self.follow.open(config).await?;
        let ended = self.until_stopped(&session).await;
        session.close().await?;
        let code = WORST_FIRST.into_iter().find(|code| ended.iter().any(|ended| ended.code == *code)).unwrap_or(0);
        if self.output.is_json() {
            let targets: Map<String, Value> = ended.into_iter().map(|ended| (ended.target, ended.json)).collect();
            self.output.print(&json!({ "targets": targets }), String::new)?;
        }
        Ok(code)
    }

    /// Ctrl-C is for all of them.
    async fn until_stopped(&self, session: &Session) -> Vec<Ended> {
        let (bars, stop) = (MultiProgress::new(), CancellationToken::new());
        let everything = self.in_order(session, &bars, &stop);
        tokio::pin!(everything);
        tokio::select! {
            ended = &mut everything => ended,
            () = crate::cli::asked_to_stop() => {
                stop.cancel();
                everything.await
            }
        }
    }

    async fn in_order(&self, session: &Session, bars: &MultiProgress, stop: &CancellationToken) -> Vec<Ended> {
        let is_canary = |request: &&SyncRequest| self.canary.as_ref() == Some(&request.other);
        let (canary, others): (Vec<&SyncRequest>, Vec<&SyncRequest>) = self.requests.iter().partition(is_canary);
        let mut ended = self.side_by_side(&canary, session, bars, stop).await;
        if ended.iter().all(|ended| ended.code == 0) {
            ended.extend(self.side_by_side(&others, session, bars, stop).await);
        } else {
            ended.extend(others.iter().map(|request| self.not_started(&request.other, &canary[0].other)));
        }
        ended
    }

    /// What one target does, the others do not wait for.
    async fn side_by_side(
        &self,
        requests: &[&SyncRequest],
        session: &Session,
        bars: &MultiProgress,
        stop: &CancellationToken,
    ) -> Vec<Ended> {
        join_all(requests.iter().map(async |request| {
            let display = Display::beside(self.output, bars);
            let view = self.one(request, session, display, stop).await;
            let ended = self.ended(&request.other, view);
            bars.suspend(|| ended.say(self.output));
            ended
        }))
        .await
    }

    async fn one(
        &self,
        request: &SyncRequest,
        session: &Session,
        mut display: Display,
        stop: &CancellationToken,
    ) -> Result<RunView, Problem> {
        let run = tokio::select! {
            run = producer::submit(request, &session.config, &session.directory, &session.queue) => run?,
            () = stop.cancelled() => {
                return Err(Problem::new(ProblemKind::Lost, "stopped before its run was in line"));
            }
        };
        if self.follow.detach {
            return Ok(session.queue.run(&run).await?);
        }
        let patience = Some(Duration::from_secs(self.follow.worker_timeout));
        let followed = tokio::select! {
            followed = follow(&session.queue, &run, patience, |news| display.show(news)) => followed,
            () = stop.cancelled() => interrupted(session, &run).await,
        };
        display.clear();
        followed
    }

    fn ended(&self, target: &str, view: Result<RunView, Problem>) -> Ended {
        let target = target.to_owned();
        let view = match view {
            Ok(view) => view,
            Err(problem) => return Ended::problem(target, problem),
        };
        if self.follow.detach {
            let words = format!("{target}: run {}\nfollow it with: cockpit-sync watch {}", view.id, short(&view.id));
            let json = serde_json::to_value(producer::report(&view)).unwrap_or_default();
            return Ended { target, json, words: Ok(words), code: 0 };
        }
        match Ending::of(&view) {
            Ok(Ending { json, words, code }) => Ended { target, json, words, code },
            Err(problem) => Ended::problem(target, problem),
        }
    }

    /// Says how the canary came out: its exit code is that of the whole.
    fn not_started(&self, target: &str, canary: &str) -> Ended {
        let message = format!("not started: {canary}, which went first, did not end finished and verified");
        let json = json!({ "error": { "code": "not_started", "message": message } });
        let ended = Ended { target: target.to_owned(), json, words: Ok(format!("{target}: {message}")), code: 0 };
        ended.say(self.output);
        ended
    }
}

/// What became of one target.
struct Ended {
    target: String,
    json: Value,
    words: Result<String, Problem>,
    code: u8,
}

impl Ended {
    fn problem(target: String, problem: Problem) -> Self {
        let (json, code) = (json!({ "error": problem_as_json(&problem) }), problem.kind.exit_code());
        Self { target, json, words: Err(problem), code }
    }

    /// To people, as soon as it is known; programs get one document at the end.
    fn say(&self, output: &Output) {
        match &self.words {
            _ if output.is_json() => {}
            Ok(words) => output.line(words),
            Err(problem) => output.say(&format!("cockpit-sync: {}: {}", self.target, problem.message)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::targets;

    #[test]
    fn targets_are_named_once_each() {
        assert_eq!(targets("eu,us").map_err(|problem| problem.message), Ok(vec!["eu".to_owned(), "us".to_owned()]));
        for wrong in ["eu,,us", "eu,", "", "eu,us,eu"] {
            assert!(targets(wrong).is_err(), "{wrong:?}");
        }
    }
}
