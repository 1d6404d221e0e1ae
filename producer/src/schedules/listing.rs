//! What is shown of schedules: when they fire next, and what became of the last tick.

use std::time::SystemTime;

use config::{CatchUp, Config, Overlap};
use queue::{Queue, RunState, TickOutcome, TickView};
use serde::Serialize;
use serde_json::{Value, json};

use super::{PATIENCE, Schedule, milliseconds, schedules};
use crate::error::Problem;
use crate::preflight::uri;
use crate::report::utc;

/// A schedule as `--json`, the API and tables show it.
#[derive(Debug, Clone, Serialize)]
pub struct ScheduleReport {
    pub schedule: String,
    pub cron: String,
    pub time_zone: String,
    pub direction: String,
    /// The instance that is pushed to or pulled from.
    pub instance: String,
    pub catch_up: CatchUp,
    pub overlap: Overlap,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<String>,
    /// What else it says: a preset, options.
    pub options: Value,
    /// When it fires next, in UTC and as its time zone writes it. With jitter, somewhat later.
    pub next: Option<String>,
    pub next_local: Option<String>,
    /// What happened last, by the clock or by hand.
    pub last: Option<TickReport>,
    /// The last ticks that were missed, and how many there ever were.
    pub missed: Option<TickReport>,
    pub missed_total: u64,
    /// A tick whose time is over and of which nobody has said what became: no scheduler runs.
    pub overdue: Option<String>,
    /// Some scheduler has seen it.
    pub watched: bool,
}

/// What became of a tick.
#[derive(Debug, Clone, Serialize)]
pub struct TickReport {
    pub outcome: TickOutcome,
    /// When it was planned; none: by hand.
    pub tick: Option<String>,
    pub at: String,
    /// Its run; of a tick that was skipped, the one that was not over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Of its run, while Redis knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<RunState>,
    /// How many were missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// All schedules of the config, in its order.
pub async fn list(config: &Config, queue: &Queue, now: SystemTime) -> Result<Vec<ScheduleReport>, Problem> {
    let mut reports = Vec::new();
    for schedule in schedules(config)? {
        reports.push(report(&schedule, queue, milliseconds(now)).await?);
    }
    Ok(reports)
}

async fn report(schedule: &Schedule, queue: &Queue, now: u64) -> Result<ScheduleReport, Problem> {
    let Schedule { entry, timetable } = schedule;
    let known = queue.schedule(&entry.name).await?;
    let patience = u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
    let overdue = known.handled.and_then(|handled| timetable.due(handled, now.saturating_sub(patience)));
    let next = timetable.next(now.max(known.handled.unwrap_or_default()));
    Ok(ScheduleReport {
        schedule: entry.name.clone(),
        cron: entry.cron.clone(),
        time_zone: entry.time_zone.clone(),
        direction: entry.direction.to_string(),
        instance: entry.other.clone(),
        catch_up: entry.catch_up,
        overlap: entry.overlap,
        jitter: entry.jitter.clone(),
        options: Value::Object(entry.options.clone()),
        next: next.map(utc),
        next_local: next.map(|next| timetable.local(next)),
        last: tick(known.last, queue).await?,
        missed: tick(known.missed, queue).await?,
        missed_total: known.missed_total,
        overdue: overdue.map(|due| utc(due.tick)),
        watched: known.handled.is_some(),
    })
}

async fn tick(view: Option<TickView>, queue: &Queue) -> Result<Option<TickReport>, Problem> {
    let Some(view) = view else { return Ok(None) };
    let state = match &view.run {
        Some(run) => match queue.run(run).await {
            Ok(run) => Some(run.state),
            Err(queue::Error::UnknownRun(_)) => None,
            Err(error) => return Err(error.into()),
        },
        None => None,
    };
    let TickView { outcome, tick, at, run, count, why } = view;
    Ok(Some(TickReport { outcome, tick: tick.map(utc), at: utc(at), run, state, count, why }))
}

/// What an event about a schedule says of it: the inside of a JSON object.
pub(super) fn about(schedule: &Schedule, config: &Config) -> String {
    let end = |name: &str| json!({ "name": name, "uri": uri(config, name) });
    let (source, target) = schedule.ends(config);
    let direction = schedule.entry.direction.to_string();
    let object = json!({ "direction": direction, "source": end(source), "target": end(target) }).to_string();
    object[1..object.len() - 1].to_owned()
}
