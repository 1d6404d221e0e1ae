//! What goes on now, per target: who holds it, how far, how fast, and which worker has which job.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::drift::Drift;
use queue::{Depth, Queue, RunState, RunView, WorkerView};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::Problem;
use crate::notifications::is_listener;
use crate::report::{RunReport, WindowReport, depth, now, report, utc};

/// A rate is that of the last so many milliseconds, once they were watched.
const RATE_OVER: u64 = 10_000;
/// Counters are remembered so often at most, however often somebody looks.
const APART: u64 = 250;

/// Everything at one moment, by Redis' clock.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    pub time: String,
    /// A target is held.
    pub syncing: bool,
    /// How many are alive.
    pub workers: usize,
    pub alive: Vec<AliveWorker>,
    pub depth: Map<String, Value>,
    pub targets: Vec<TargetStatus>,
}

#[derive(Debug, Clone, Serialize)]
pub struct AliveWorker {
    pub worker: String,
    pub host: String,
    pub pid: u32,
    pub slots: u32,
    pub instances: Vec<String>,
    pub holds: Vec<HeldJob>,
}

#[derive(Debug, Clone, Serialize)]
pub struct HeldJob {
    pub target: String,
    pub run: String,
    pub job: String,
    pub kind: String,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    pub target: String,
    pub holder: Option<RunReport>,
    pub lease: Option<Lease>,
    pub progress: Option<Progress>,
    pub window: Option<WindowReport>,
    pub waiting: Vec<RunReport>,
    pub last_sync: Option<RunReport>,
    /// What the last comparison found; none: nobody compared for a while.
    pub drift: Option<Drift>,
    pub depth: Map<String, Value>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Lease {
    pub since: String,
    pub seconds: f64,
    pub renewals: u64,
    /// When it lapses unless it is renewed.
    pub expires: Option<String>,
}

/// How fast the holder is. What is left is what was counted when the run was made: about so much.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Progress {
    pub items_per_second: f64,
    pub bytes_per_second: f64,
    pub about_items_left: u64,
    /// At as many bytes per item as so far.
    pub about_bytes_left: u64,
    /// `None` while nothing moves.
    pub eta_seconds: Option<f64>,
}

/// Remembers counters between looks, to tell how fast they grow now. New, it knows their average since the start.
#[derive(Default)]
pub struct Meter {
    samples: BTreeMap<String, VecDeque<Sample>>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    time: u64,
    items: u64,
    bytes: u64,
}

impl Meter {
    /// Looks at these targets, at all that ever had a run, or only at one of them.
    pub async fn look(&mut self, queue: &Queue, known: &[String], only: Option<&str>) -> Result<Status, Problem> {
        let live = queue.live_runs_with_claims().await?;
        let workers = queue.workers().await?;
        let ended = queue.last_runs().await?;
        self.samples.retain(|run, _| live.iter().any(|view| view.id == *run));
        let mut names: BTreeSet<String> = known.iter().cloned().chain(queue.targets().await?).collect();
        names.retain(|name| only.is_none_or(|only| only == name));
        let mut targets = Vec::with_capacity(names.len());
        for name in names {
            let drift = queue.kept(&Drift::name(&name)).await?.and_then(|kept| Drift::decode(&kept));
            targets.push(self.target(name, &live, &ended, drift));
        }
        let shown = |view: &&RunView| only.is_none_or(|only| only == view.target);
        Ok(Status {
            // Where nothing goes on, Redis' clock is not at hand.
            time: utc(live.first().map_or_else(now, |view| view.seen)),
            syncing: targets.iter().any(|target| target.holder.is_some()),
            workers: workers.iter().filter(brings_content).count(),
            alive: workers.iter().filter(brings_content).map(|worker| alive(worker, &live)).collect(),
            depth: depth_now(live.iter().filter(shown)),
            targets,
        })
    }

    fn target(&mut self, name: String, live: &[RunView], ended: &[RunView], drift: Option<Drift>) -> TargetStatus {
        let of_target = |view: &&RunView| view.target == name;
        let (mut waiting, holding): (Vec<&RunView>, Vec<&RunView>) =
            live.iter().filter(of_target).partition(|view| view.state == RunState::Waiting);
        waiting.sort_by_key(|view| view.position);
        let holder = holding.first().copied();
        let last = ended.iter().find(of_target);
        TargetStatus {
            depth: depth_now(live.iter().filter(of_target)),
            holder: holder.map(report),
            lease: holder.and_then(lease),
            window: holder.map(|view| report(view).window),
            progress: holder.map(|view| self.progress(view)),
            waiting: waiting.into_iter().map(report).collect(),
            last_sync: last.map(report),
            drift,
            target: name,
        }
    }

    fn progress(&mut self, view: &RunView) -> Progress {
        let report = report(view);
        let now = Sample { time: view.seen, items: report.items, bytes: report.bytes };
        let samples = self.samples.entry(view.id.clone()).or_default();
        if samples.back().is_none_or(|last| last.time + APART <= now.time) {
            samples.push_back(now);
        }
        while samples.len() > 2 && samples[1].time + RATE_OVER <= now.time {
            samples.pop_front();
        }
        let start = Sample { time: view.started.unwrap_or(view.created), items: 0, bytes: 0 };
        let before = if samples.len() > 1 { samples[0] } else { start };
        progress(before, now, report.items_total)
    }
}

fn brings_content(worker: &&WorkerView) -> bool {
    !worker.instances.iter().all(|name| is_listener(name))
}

/// Depth of these runs together, with the age of the oldest.
fn depth_now<'a>(views: impl Iterator<Item = &'a RunView> + Clone) -> Map<String, Value> {
    let sum = Depth::sum(views.clone().map(|view| view.depth));
    let age = views.last().zip(sum.oldest).map(|(view, oldest)| view.seen.saturating_sub(oldest) as f64 / 1000.0);
    let mut map = depth(&sum);
    map.insert("oldest_seconds".into(), age.into());
    map
}

fn progress(before: Sample, now: Sample, total: u64) -> Progress {
    let seconds = now.time.saturating_sub(before.time) as f64 / 1000.0;
    let rate = |from: u64, to: u64| if seconds > 0.0 { to.saturating_sub(from) as f64 / seconds } else { 0.0 };
    let items_per_second = rate(before.items, now.items);
    let left = total.saturating_sub(now.items);
    let bytes_per_item = if now.items > 0 { now.bytes as f64 / now.items as f64 } else { 0.0 };
    Progress {
        items_per_second,
        bytes_per_second: rate(before.bytes, now.bytes),
        about_items_left: left,
        about_bytes_left: (left as f64 * bytes_per_item) as u64,
        eta_seconds: (items_per_second > 0.0).then(|| left as f64 / items_per_second),
    }
}

fn lease(view: &RunView) -> Option<Lease> {
    let since = view.lease_since?;
    Some(Lease {
        since: utc(since),
        seconds: view.seen.saturating_sub(since) as f64 / 1000.0,
        renewals: view.lease_renewals,
        expires: view.lease_expires.map(utc),
    })
}

fn alive(worker: &WorkerView, live: &[RunView]) -> AliveWorker {
    let of_run = |view: &RunView| {
        let claims = view.claims.iter().filter(|claim| claim.consumer == worker.consumer);
        let (target, run) = (view.target.clone(), view.id.clone());
        let held = claims.map(move |claim| HeldJob {
            target: target.clone(),
            run: run.clone(),
            job: claim.job.clone(),
            kind: claim.kind.clone(),
        });
        held.collect::<Vec<_>>()
    };
    AliveWorker {
        worker: worker.consumer.clone(),
        host: worker.host.clone(),
        pid: worker.pid,
        slots: worker.slots,
        instances: worker.instances.clone(),
        holds: live.iter().flat_map(of_run).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_eta_follow_from_two_looks_at_the_counters() {
        let sample = |time, items, bytes| Sample { time, items, bytes };
        let moving = progress(sample(1_000, 100, 5_000), sample(3_000, 300, 30_000), 900);
        let expected = Progress {
            items_per_second: 100.0,
            bytes_per_second: 12_500.0,
            about_items_left: 600,
            about_bytes_left: 60_000,
            eta_seconds: Some(6.0),
        };
        assert_eq!(moving, expected);
        // Nothing moves: no rate, and nobody can say how long that takes.
        let standing = progress(sample(1_000, 300, 0), sample(1_000, 300, 0), 900);
        assert_eq!((standing.items_per_second, standing.eta_seconds), (0.0, None));
        // More than was counted beforehand is no negative rest.
        assert_eq!(progress(sample(0, 0, 0), sample(1_000, 1_000, 0), 900).about_items_left, 0);
    }
}
