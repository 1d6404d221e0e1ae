//! What readers see: runs, depth, workers, dead jobs. Each view is one script, so its numbers belong together.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::RunState;

/// Everything known of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunView {
    pub id: String,
    pub source: String,
    pub target: String,
    pub requires: Vec<String>,
    pub priority: i32,
    pub window: u16,
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
    /// Who cancelled or unlocked it.
    pub by: Option<String>,
    /// Of a run that is over: its close job was done, or nothing was open.
    pub closed: bool,
    /// Of a waiting run: 1 is next.
    pub position: Option<u64>,
    /// While it holds the target: the lease's id, and when it lapses.
    pub lease_id: Option<String>,
    pub lease_expires: Option<u64>,
    /// The fence its open job brought, if it is open.
    pub fence: Option<Vec<u8>>,
    pub notes_total: u64,
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
    /// Jobs that are not settled for good.
    pub fn open(&self) -> u64 {
        self.backlog + self.ready + self.claimed + self.delayed
    }
}

/// A buried job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadJob {
    /// Empty when the job could not be decoded; then `payload` is the raw entry.
    pub id: String,
    pub kind: String,
    pub stage: u32,
    pub attempts: u32,
    pub crashes: u32,
    pub error: String,
    pub time: u64,
    pub payload: Vec<u8>,
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
