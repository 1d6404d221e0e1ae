//! Runs, newest first, with filters. A page reads a bounded part of the history, however long that is.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use producer::report;
use queue::{RunState, RunView};

use super::login::as_query;
use super::words::{self, Mark};
use super::{Shell, page};
use crate::access::Caller;
use crate::api::history::Which;
use crate::error::ApiError;
use crate::state::Shared;

#[derive(Template)]
#[template(path = "history.html")]
struct History {
    shell: Shell,
    targets: Vec<Choice>,
    states: Vec<Choice>,
    directions: Vec<Choice>,
    by: String,
    since: String,
    until: String,
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

pub async fn show(
    State(shared): State<Shared>,
    caller: Caller,
    Query(which): Query<Which>,
) -> Result<Response, ApiError> {
    let runs = which.page(&shared.queue).await?;
    let is_target = |name: &str| which.target.as_deref() == Some(name);
    let mut targets = shared.queue.targets().await?;
    targets.retain(|name| shared.config.instances.contains_key(name) || is_target(name));
    let is_state = |state: RunState| which.state.as_deref() == Some(state.as_str());
    let history = History {
        shell: Shell::new(&caller, "/runs", "History"),
        caption: format!("{} runs, newest first", runs.runs.len()),
        runs: runs.runs.iter().map(Row::of).collect(),
        targets: targets
            .into_iter()
            .map(|name| Choice { is_chosen: is_target(&name), text: name.clone(), name })
            .collect(),
        states: STATES
            .into_iter()
            .map(|known| Choice {
                name: known.as_str().into(),
                text: Mark::of_state(known).text,
                is_chosen: is_state(known),
            })
            .collect(),
        directions: ["push", "pull"]
            .map(|name| Choice {
                name: name.into(),
                text: name.into(),
                is_chosen: which.direction.as_deref() == Some(name),
            })
            .into(),
        next: runs.next.map(|run| older(&which, &run)),
        by: which.by.unwrap_or_default(),
        since: which.since.unwrap_or_default(),
        until: which.until.unwrap_or_default(),
    };
    Ok(page(&history))
}

/// The same filters, behind this run.
fn older(which: &Which, run: &str) -> String {
    let Which { target, state, direction, by, since, until, .. } = which;
    let fields = [
        ("target", target.as_deref()),
        ("state", state.as_deref()),
        ("direction", direction.as_deref()),
        ("by", by.as_deref()),
        ("since", since.as_deref()),
        ("until", until.as_deref()),
        ("after", Some(run)),
    ];
    let fields = fields.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", as_query(value?))));
    format!("/runs?{}", fields.collect::<Vec<_>>().join("&"))
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
