//! What workers, this process and commands logged, newest first: of a run, a part of the program, a level.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use producer::{WantedLines, find_run, log_lines};
use protocol::log::{CHANNELS, Level, Line};
use serde::Deserialize;

use super::words::{self, Mark};
use super::{Shell, page};
use crate::access::Caller;
use crate::error::ApiError;
use crate::state::Shared;

/// Lines on the page, and characters of each: with more, the page would not be small.
const SHOWN: usize = 100;
const SHOWN_CHARACTERS: usize = 300;
/// What is less grave is not kept.
const LEVELS: [Level; 3] = [Level::Info, Level::Warn, Level::Error];

#[derive(Template)]
#[template(path = "logs.html")]
struct Logs {
    shell: Shell,
    channels: Vec<Choice>,
    levels: Vec<Choice>,
    run: String,
    lines: Vec<Row>,
}

struct Choice {
    name: &'static str,
    is_chosen: bool,
}

/// A line, as pages show it.
pub struct Row {
    pub time: String,
    pub mark: Mark,
    pub channel: String,
    pub text: String,
    pub job: String,
    pub process: String,
    pub run: String,
    pub short: String,
}

/// As the form sends it: what is empty is not chosen.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    run: String,
    channel: String,
    level: String,
}

pub async fn show(
    State(shared): State<Shared>,
    caller: Caller,
    Query(wanted): Query<Wanted>,
) -> Result<Response, ApiError> {
    let Wanted { run, channel, level } = wanted;
    let id = match run.trim() {
        "" => None,
        named => Some(find_run(&shared.queue, named).await?.id),
    };
    let level = LEVELS.into_iter().find(|known| known.name() == level);
    let channels = CHANNELS.map(|name| Choice { name, is_chosen: name == channel });
    let wanted = WantedLines { run: id, channel: Some(channel).filter(|name| !name.is_empty()), level };
    let lines = log_lines(&shared.queue, &wanted, SHOWN).await?;
    Ok(page(&Logs {
        shell: Shell::new(&caller, "/logs", "Logs"),
        channels: channels.into(),
        levels: LEVELS.map(|known| Choice { name: known.name(), is_chosen: Some(known) == level }).into(),
        run,
        lines: lines.into_iter().map(Row::of).collect(),
    }))
}

impl Row {
    pub fn of(line: Line) -> Self {
        let text = words::cut(line.text(), SHOWN_CHARACTERS);
        let kind = match line.level {
            Level::Error => "bad",
            Level::Warn => "warn",
            Level::Info | Level::Debug | Level::Trace => "",
        };
        let run = line.run.unwrap_or_default();
        Self {
            time: words::time(&line.time),
            mark: Mark::new(line.level.name(), kind),
            channel: line.channel,
            text,
            job: line.job.unwrap_or_default(),
            process: line.process,
            short: words::short(&run).into(),
            run,
        }
    }
}
