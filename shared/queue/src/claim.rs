//! A claimed job: what was read from a target's stream, and what proves that it is still ours.

use crate::item;

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
    /// Workers that died over it, or over what it is a part of. Above 0 it runs alone in its worker.
    pub crashes: u32,
    /// Changes with every grant of the target to a run; the same when the open job is executed twice under one grant.
    pub lease_id: String,
    /// What the open job settled as its fence; empty for the open job itself and for runs without one.
    pub fence: Vec<u8>,
    /// How far an earlier execution had split this job.
    pub cursor: Option<Vec<u8>>,
}

/// What a settle or a heartbeat must name, all of it, to be believed (I3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) target: String,
    pub(crate) run: String,
    pub(crate) lease: String,
    pub(crate) stage: u32,
    pub(crate) entry: String,
    pub(crate) job: String,
}

/// Decodes an entry of a target's stream. The error says why it is no job; the claim then names only the entry (I11).
pub(crate) fn decode(
    target: &str,
    entry: &str,
    fields: &[Vec<u8>],
) -> Result<(Claim, ClaimedJob), (Claim, &'static str)> {
    let raw = || Claim {
        target: target.to_string(),
        run: String::new(),
        lease: String::new(),
        stage: 0,
        entry: entry.to_string(),
        job: String::new(),
    };
    let Some((run, lease, fence)) = fields.first().and_then(|turn| turn_of(turn)) else {
        return Err((raw(), "the entry names no run or no lease"));
    };
    let Some(job) = fields.get(1).and_then(|text| item::decode(text)) else {
        return Err((raw(), "the entry holds no job this version can read"));
    };
    let cursor = fields.get(2..4).filter(|field| field[0] == b"cursor").map(|field| field[1].clone());
    let claimed = ClaimedJob {
        run: run.to_string(),
        target: target.to_string(),
        id: job.id.to_string(),
        kind: job.kind.to_string(),
        stage: job.stage,
        payload: job.payload.to_vec(),
        attempts: job.attempts,
        crashes: job.crashes,
        lease_id: lease.to_string(),
        fence: fence.to_vec(),
        cursor,
    };
    let claim = Claim {
        target: target.to_string(),
        run: claimed.run.clone(),
        lease: claimed.lease_id.clone(),
        stage: claimed.stage,
        entry: entry.to_string(),
        job: claimed.id.clone(),
    };
    Ok((claim, claimed))
}

/// Run, lease and fence. `lua/shared/item.lua` says how an entry is made up.
fn turn_of(turn: &[u8]) -> Option<(&str, &str, &[u8])> {
    let mut parts = turn.splitn(3, |byte| *byte == b'\n');
    let mut word = || parts.next().and_then(|part| std::str::from_utf8(part).ok()).filter(|word| !word.is_empty());
    Some((word()?, word()?, parts.next()?))
}
