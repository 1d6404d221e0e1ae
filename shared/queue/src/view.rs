//! What readers see: runs, depth, workers. Each view is one script, so its numbers belong together.

mod seen;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use redis::AsyncCommands;
use serde::Serialize;
use serde_json::{Map, Value};

use self::seen::Seen;
use crate::scripts::{self, VIEW};
use crate::{Error, Queue, Result, RunState};

/// Everything known of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunView {
    pub id: String,
    pub source: String,
    pub target: String,
    pub requires: Vec<String>,
    pub priority: i32,
    pub urgent: bool,
    /// The most jobs it wants in workers' hands at a time.
    pub window: u16,
    /// How many its target gets at a time now.
    pub window_now: u16,
    /// For how long its target asked to be left alone.
    pub rests_for: Option<Duration>,
    pub state: RunState,
    /// The name of the current stage; `open` or `close` while that job is what is being worked on.
    pub stage: String,
    pub stages: Vec<StageView>,
    pub depth: Depth,
    pub counters: BTreeMap<String, i64>,
    pub totals: BTreeMap<String, i64>,
    pub labels: Map<String, Value>,
    pub spec: Vec<u8>,
    /// All times are milliseconds since 1970 by Redis' clock.
    pub created: u64,
    pub started: Option<u64>,
    pub finished: Option<u64>,
    pub updated: u64,
    /// Why it failed.
    pub error: Option<String>,
    /// What the latest failed attempt said.
    pub last_error: Option<String>,
    /// Who cancelled or unlocked it.
    pub by: Option<String>,
    /// Of a run that is over: its close job was done, or nothing was open.
    pub closed: bool,
    /// Of a waiting run: 1 is next.
    pub position: Option<u64>,
    /// It made room for an urgent run and goes on after it.
    pub yielded: bool,
    /// It is making room for an urgent run: how long what is claimed may still take. Zero when that time is over.
    pub yields_within: Option<Duration>,
    /// How long it keeps the target after urgent runs had it, whoever waits.
    pub keeps_for: Option<Duration>,
    /// While it holds the target: the lease's id, and when it lapses.
    pub lease_id: Option<String>,
    pub lease_expires: Option<u64>,
    /// Since when it holds the target, and how often workers have renewed that.
    pub lease_since: Option<u64>,
    pub lease_renewals: u64,
    /// Who has claimed what; only in [`Queue::live_runs_with_claims`].
    pub claims: Vec<ClaimView>,
    /// When all this was so.
    pub seen: u64,
    /// The fence its open job brought, if it is open.
    pub fence: Option<Vec<u8>>,
    pub notes_total: u64,
    /// Buried jobs that somebody dropped for good.
    pub dropped: u64,
    /// Of a listener: events that were too many to be kept for it.
    pub missed: u64,
}

/// A job in the hands of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimView {
    pub consumer: String,
    pub job: String,
    pub kind: String,
}

/// A stage of a run in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageView {
    pub name: String,
    /// Jobs that are not settled for good.
    pub open: u64,
    pub done: u64,
    pub dead: u64,
}

/// How much is left, by place. The places are disjoint (I1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Not yet fed to workers.
    pub backlog: u64,
    /// Fed, not yet claimed.
    pub ready: u64,
    pub claimed: u64,
    /// Waiting for a time to come.
    pub delayed: u64,
    /// Buried; not open any more.
    pub dead: u64,
    /// Since when the oldest unfinished run is there; `None` when there is none.
    pub oldest: Option<u64>,
}

impl Depth {
    /// How many jobs are in each place, by name.
    pub fn places(&self) -> [(&'static str, u64); 5] {
        [
            ("backlog", self.backlog),
            ("ready", self.ready),
            ("claimed", self.claimed),
            ("delayed", self.delayed),
            ("dead", self.dead),
        ]
    }

    /// Jobs that are not settled for good.
    pub fn open(&self) -> u64 {
        self.backlog + self.ready + self.claimed + self.delayed
    }
}

/// A worker that announced itself and is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerView {
    pub consumer: String,
    pub host: String,
    pub pid: u32,
    pub version: String,
    /// The names it knows.
    pub instances: Vec<String>,
    pub slots: u32,
    /// Claims it holds.
    pub held: u32,
    pub since: u64,
    pub seen: u64,
}

/// So many runs are looked at in one call.
const PIECE: usize = 50;
/// More runs than anybody has.
const MOST: usize = i32::MAX as usize;

#[derive(Serialize, Default)]
struct Wanted<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    runs: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    last: bool,
    claims: bool,
}

impl Queue {
    /// One run, live or over.
    pub async fn run(&self, run: &str) -> Result<RunView> {
        let wanted = Wanted { runs: Some(vec![run]), ..Wanted::default() };
        self.views(&wanted).await?.pop().ok_or_else(|| Error::UnknownRun(run.to_string()))
    }

    /// The latest runs: those that are live, then those that are over, newest first. Where they are many, not all are seen
    /// at one moment.
    pub async fn runs(&self, limit: usize) -> Result<Vec<RunView>> {
        let Some(last) = limit.min(MOST).checked_sub(1) else { return Ok(Vec::new()) };
        let (mut ids, ended): (Vec<String>, Vec<String>) = redis::pipe()
            .atomic()
            .zrevrange(self.keys.live(), 0, last as isize)
            .zrevrange(self.keys.history(), 0, last as isize)
            .query_async(&mut *self.connection().await?)
            .await?;
        ids.extend(ended);
        ids.truncate(limit);
        self.in_pieces(&ids, false).await
    }

    /// All runs that are not over, newest first.
    pub async fn live_runs(&self) -> Result<Vec<RunView>> {
        self.live(false).await
    }

    /// As [`Queue::live_runs`], with the claims on their jobs.
    pub async fn live_runs_with_claims(&self) -> Result<Vec<RunView>> {
        self.live(true).await
    }

    async fn live(&self, claims: bool) -> Result<Vec<RunView>> {
        let ids: Vec<String> = self.connection().await?.zrevrange(self.keys.live(), 0, -1).await?;
        let mut live = self.in_pieces(&ids, claims).await?;
        // Some may have ended since the list was read.
        live.retain(|view| !view.state.is_final());
        Ok(live)
    }

    /// These runs, as far as they are known, in calls that keep Redis busy for a few milliseconds each.
    pub(crate) async fn in_pieces(&self, ids: &[String], claims: bool) -> Result<Vec<RunView>> {
        let mut views = Vec::new();
        for piece in ids.chunks(PIECE) {
            let runs = Some(piece.iter().map(String::as_str).collect());
            views.extend(self.views(&Wanted { runs, claims, ..Wanted::default() }).await?);
        }
        Ok(views)
    }

    /// Of each target the run that ended last, unless it is forgotten already.
    pub async fn last_runs(&self) -> Result<Vec<RunView>> {
        self.views(&Wanted { last: true, ..Wanted::default() }).await
    }

    /// How much is left to do for a target, over all its runs.
    pub async fn depth(&self, target: &str) -> Result<Depth> {
        let wanted = Wanted { target: Some(target), ..Wanted::default() };
        Ok(Depth::sum(self.views(&wanted).await?.iter().map(|view| view.depth)))
    }

    /// Every target that ever had a run.
    pub async fn targets(&self) -> Result<Vec<String>> {
        let mut targets: Vec<String> = self.connection().await?.smembers(self.keys.targets()).await?;
        targets.sort();
        Ok(targets)
    }

    /// How many leases of each target there were: one per turn of a run, and one each time it had to open anew.
    pub async fn leases_granted(&self) -> Result<BTreeMap<String, u64>> {
        Ok(self.connection().await?.hgetall(self.keys.leases()).await?)
    }

    async fn views(&self, wanted: &Wanted<'_>) -> Result<Vec<RunView>> {
        let packed: Vec<u8> = self.call(&VIEW, wanted).await?;
        let seen: Vec<Seen> = scripts::unpack(&packed)?;
        seen.into_iter().map(Seen::into_view).collect()
    }

    /// The listeners ([`crate::NewRun::listener`]), by name.
    pub async fn listeners(&self) -> Result<Vec<RunView>> {
        let by_event: BTreeMap<String, String> = self.connection().await?.hgetall(self.keys.listeners()).await?;
        let names: BTreeSet<&str> = by_event.values().flat_map(|names| names.split_whitespace()).collect();
        let runs = Some(names.into_iter().collect());
        self.views(&Wanted { runs, ..Wanted::default() }).await
    }

    /// The names a worker must know to serve a run.
    pub(crate) async fn requires(&self, run: &str) -> Result<Vec<String>> {
        let requires: Option<String> = self.connection().await?.hget(self.keys.run(run), "requires").await?;
        Ok(requires.unwrap_or_default().split_whitespace().map(str::to_string).collect())
    }

    /// The notes of a run, oldest first; [`RunView::notes_total`] says how many there were.
    pub async fn notes(&self, run: &str) -> Result<Vec<Vec<u8>>> {
        Ok(self.connection().await?.lrange(self.keys.notes(run), 0, -1).await?)
    }

    /// The first `limit` notes of a run.
    pub async fn first_notes(&self, run: &str, limit: usize) -> Result<Vec<Vec<u8>>> {
        let last = isize::try_from(limit).unwrap_or(isize::MAX) - 1;
        if last < 0 {
            return Ok(Vec::new());
        }
        Ok(self.connection().await?.lrange(self.keys.notes(run), 0, last).await?)
    }

    /// The workers that are alive.
    pub async fn workers(&self) -> Result<Vec<WorkerView>> {
        let mut connection = self.connection().await?;
        let consumers: Vec<String> = connection.zrange(self.keys.workers(), 0, -1).await?;
        let mut workers = Vec::new();
        for consumer in consumers {
            let fields: BTreeMap<String, String> = connection.hgetall(self.keys.worker(&consumer)).await?;
            // The announcement may have expired since the list was read.
            if !fields.is_empty() {
                workers.push(WorkerView::from_fields(&fields));
            }
        }
        Ok(workers)
    }
}

impl Depth {
    pub fn sum(depths: impl Iterator<Item = Depth>) -> Depth {
        depths.fold(Depth::default(), |sum, one| Depth {
            backlog: sum.backlog + one.backlog,
            ready: sum.ready + one.ready,
            claimed: sum.claimed + one.claimed,
            delayed: sum.delayed + one.delayed,
            dead: sum.dead + one.dead,
            oldest: sum.oldest.into_iter().chain(one.oldest).min(),
        })
    }
}

impl WorkerView {
    fn from_fields(fields: &BTreeMap<String, String>) -> Self {
        let text = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let number = |name: &str| text(name).parse::<u64>().unwrap_or_default();
        let small = |name: &str| u32::try_from(number(name)).unwrap_or(u32::MAX);
        Self {
            consumer: text("consumer"),
            host: text("host"),
            pid: small("pid"),
            version: text("version"),
            instances: text("instances").split_whitespace().map(str::to_string).collect(),
            slots: small("slots"),
            held: small("held"),
            since: number("since"),
            seen: number("seen"),
        }
    }
}
