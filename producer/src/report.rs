//! A run as `--json` and tables show it.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use protocol::counts::{BYTES, CONFLICTS, Counts, EDITED, ITEMS, LEFT, by_resource};
use protocol::run::REFUSED;
use queue::{RunState, RunView};
use serde::Serialize;
use serde_json::{Map, Value};

/// The documented shape of a run.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    pub run: String,
    pub direction: String,
    pub source: String,
    pub target: String,
    pub state: RunState,
    /// Compared after the last write, with nothing unexplained.
    pub verified: bool,
    pub counts: Counts,
    pub resources: BTreeMap<String, BTreeMap<String, Counts>>,
    /// Documents looked at so far, and about how many there are.
    pub items: u64,
    pub items_total: u64,
    pub bytes: u64,
    /// Edited by others during the run, explained and left alone.
    pub edited_meanwhile: u64,
    /// Changed on both sides since these agreed last, whatever became of it.
    pub conflicts: u64,
    /// Jobs that a time limit left undone: the next sync brings what they were to bring.
    pub left: u64,
    pub dead_jobs: u64,
    /// Dead jobs that somebody dropped for good.
    pub dropped_jobs: u64,
    /// From the first lease to the end, or to now.
    pub seconds: f64,
    pub stage: String,
    pub stages: Vec<StageReport>,
    pub depth: Map<String, Value>,
    /// How many jobs its target gets at a time now, and the most it may get.
    pub window: WindowReport,
    pub started_by: String,
    pub created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Of a run that is over: its right to write was ended at the target's agent.
    pub grant_closed: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct StageReport {
    pub name: String,
    pub open: u64,
    pub done: u64,
    pub dead: u64,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct WindowReport {
    pub now: u16,
    pub most: u16,
}

/// What `view` looks like to people and programs.
pub fn report(view: &RunView) -> RunReport {
    let resources = by_resource(&view.counters);
    let mut counts = Counts::default();
    resources.values().flat_map(BTreeMap::values).for_each(|of_model| counts.add(of_model));
    let counter = |name: &str| u64::try_from(view.counters.get(name).copied().unwrap_or(0)).unwrap_or(0);
    let label = |name: &str| view.labels.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let dead_jobs = view.stages.iter().map(|stage| stage.dead).sum();
    let began = view.started.unwrap_or(view.created);
    let ended = view.finished.unwrap_or(view.updated).max(began);
    RunReport {
        run: view.id.clone(),
        direction: label("direction"),
        source: view.source.clone(),
        target: view.target.clone(),
        state: view.state,
        verified: matches!(view.state, RunState::Finished | RunState::FinishedHeld)
            && dead_jobs + view.dropped + counter(LEFT) == 0,
        counts,
        resources,
        items: counter(ITEMS),
        items_total: u64::try_from(view.totals.get(ITEMS).copied().unwrap_or(0)).unwrap_or(0),
        bytes: counter(BYTES),
        edited_meanwhile: counter(EDITED),
        conflicts: counter(CONFLICTS),
        left: counter(LEFT),
        dead_jobs,
        dropped_jobs: view.dropped,
        seconds: (ended - began) as f64 / 1000.0,
        stage: view.stage.clone(),
        stages: view
            .stages
            .iter()
            .map(|stage| StageReport { name: stage.name.clone(), open: stage.open, done: stage.done, dead: stage.dead })
            .collect(),
        depth: depth(&view.depth),
        window: WindowReport { now: view.window_now, most: view.window },
        started_by: label("started_by"),
        created: utc(view.created),
        finished: view.finished.map(utc),
        position: view.position,
        error: view.error.clone(),
        by: view.by.clone(),
        grant_closed: view.closed,
    }
}

/// Why a guard refused a run, if one did.
pub fn refusal(view: &RunView) -> Option<&str> {
    view.error.as_deref()?.strip_prefix(REFUSED)
}

/// Queue depth by place.
pub fn depth(depth: &queue::Depth) -> Map<String, Value> {
    let mut map: Map<String, Value> =
        depth.places().into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect();
    map.insert("oldest".into(), depth.oldest.map(utc).into());
    map
}

/// Milliseconds since 1970, by this machine's clock.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970 as `2026-11-22T13:09:40Z`.
pub fn utc(milliseconds: u64) -> String {
    let time = i64::try_from(milliseconds).ok().and_then(chrono::DateTime::from_timestamp_millis);
    time.map_or_else(|| "-".into(), |time| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_utc() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(utc(1_795_345_966_123), "2026-11-22T11:12:46Z");
    }
}
