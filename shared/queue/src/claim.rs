//! A claimed job: what was read from a target's stream, and what proves that it is still ours.

/// A job in the hands of this worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedJob {
    pub run: String,
    pub target: String,
    pub id: String,
    pub kind: String,
    /// 0 is the run's open job, 1.. are the stages as submitted, one after the last is its close job.
    pub stage: u32,
    pub payload: Vec<u8>,
    /// Failed executions before this one.
    pub attempts: u32,
    /// Workers that died over it.
    pub crashes: u32,
    /// Changes with every grant of the target to a run; the same when the open job is executed twice under one grant.
    pub lease_id: String,
    /// What the open job settled as its fence; empty for the open job itself and for runs without one.
    pub fence: Vec<u8>,
    /// How far an earlier execution had split this job.
    pub cursor: Option<Vec<u8>>,
}
