//! Runs, newest first, with filters. A page reads a bounded part of the history, however long that is.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use producer::report;
use queue::{RunState, RunView, WantedRuns};
use serde::Deserialize;

use super::login::as_query;
use super::words::{self, Mark};
use super::{Shell, page};
use crate::access::Caller;
use crate::error::ApiError;
use crate::state::Shared;

/// Runs on a page.
const SHOWN: usize = 50;

#[derive(Template)]
#[template(path = "history.html")]
struct History {
    shell: Shell,
    targets: Vec<Choice>,
    states: Vec<Choice>,
    caption: String,
    runs: Vec<Row>,
    next: Option<String>,
}

struct Choice {
    name: String,
    text: String,
    is_chosen: bool,
}

struct Row {
    id: String,
    short: String,
    mark: Mark,
    direction: String,
    source: String,
    target: String,
    created: String,
    seconds: String,
    cells: [String; 4],
    by: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    target: String,
    state: String,
    /// The last run of the page before.
    after: String,
}

pub async fn show(
    State(shared): State<Shared>,
    caller: Caller,
    Query(wanted): Query<Wanted>,
) -> Result<Response, ApiError> {
    let Wanted { target, state, after } = wanted;
    let given = |text: &String| !text.is_empty();
    let states: Vec<RunState> = STATES.into_iter().filter(|known| known.as_str() == state).collect();
    let wanted = WantedRuns {
        target: Some(&target).filter(|text| given(text)).map(String::as_str),
        states: Some(states.as_slice()).filter(|_| given(&state)),
        after: Some(&after).filter(|text| given(text)).map(String::as_str),
        limit: SHOWN,
    };
    let runs = shared.queue.page_of_runs(&wanted).await?;
    let mut targets = shared.queue.targets().await?;
    targets.retain(|name| shared.config.instances.contains_key(name) || *name == target);
    let next =
        |run: String| format!("/runs?target={}&state={}&after={}", as_query(&target), as_query(&state), as_query(&run));
    let history = History {
        shell: Shell::new(&caller, "/runs", "History"),
        caption: format!("{} runs, newest first", runs.runs.len()),
        runs: runs.runs.iter().map(Row::of).collect(),
        next: runs.next.map(next),
        targets: targets
            .into_iter()
            .map(|name| Choice { is_chosen: name == target, text: name.clone(), name })
            .collect(),
        states: STATES
            .into_iter()
            .map(|known| Choice {
                name: known.as_str().into(),
                text: Mark::of_state(known).text,
                is_chosen: known.as_str() == state,
            })
            .collect(),
    };
    Ok(page(&history))
}

/// As they are stored: a stalled run is a running one.
const STATES: [RunState; 9] = [
    RunState::Waiting,
    RunState::Running,
    RunState::Paused,
    RunState::Ending,
    RunState::Finished,
    RunState::FinishedHeld,
    RunState::Failed,
    RunState::Cancelled,
    RunState::Unlocked,
];

impl Row {
    fn of(view: &RunView) -> Self {
        let report = report(view);
        let counts = report.counts;
        Self {
            short: words::short(&view.id).into(),
            mark: Mark::of_state(view.state),
            created: words::time(&report.created),
            seconds: words::seconds(report.seconds),
            cells: [counts.created, counts.updated, counts.deleted, counts.held].map(words::number),
            direction: report.direction,
            source: report.source,
            target: report.target,
            by: report.started_by,
            id: report.run,
        }
    }
}
