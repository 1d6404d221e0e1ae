//! The end of a claim on its way to `lua/settle.lua`.

use std::time::Duration;

use serde::Serialize;
use serde_bytes::ByteBuf;

use crate::claim::Claim;
use crate::scripts::SETTLE;
use crate::{NewJob, Outcome, Queue, Result, RetryPolicy, Verdict, WhenExhausted, item, retry};

/// One claim's end, in the script's words.
#[derive(Debug, Clone, Serialize, Default)]
pub(crate) struct Settlement {
    pub(crate) target: String,
    pub(crate) run: String,
    pub(crate) lease: String,
    pub(crate) entry: String,
    pub(crate) job: String,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    counters: Vec<(String, i64)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<ByteBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fence: Option<ByteBuf>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    wrote: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    jobs: Vec<ByteBuf>,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Settlement {
    fn new(claim: Claim, verdict: &'static str) -> Self {
        let Claim { target, run, lease, entry, job } = claim;
        Self { target, run, lease, entry, job, verdict, ..Self::default() }
    }

    /// What a handler's verdict means for a job that had failed `attempts` times before.
    pub(crate) fn of(claim: Claim, attempts: u32, policy: &RetryPolicy, verdict: Verdict) -> Self {
        match verdict {
            Verdict::Done(outcome) => Self::done(claim, outcome),
            Verdict::Retry { error, .. } if attempts + 1 >= policy.max_attempts => {
                let error = format!("{error} (attempt {} of {})", attempts + 1, policy.max_attempts);
                let verdict = match policy.when_exhausted {
                    WhenExhausted::Bury => "bury",
                    WhenExhausted::FailRun => "fail",
                };
                Self { error: Some(error), ..Self::new(claim, verdict) }
            }
            Verdict::Retry { error, after } => {
                let after = after.unwrap_or_else(|| retry::delay(policy, attempts));
                Self { error: Some(error), after: Some(millis(after)), ..Self::new(claim, "delay") }
            }
            Verdict::Return { after, .. } => Self::back(claim, after),
            Verdict::Bury { error } => Self { error: Some(error), ..Self::new(claim, "bury") },
            Verdict::FenceLost { holder } => Self { holder: Some(holder), ..Self::new(claim, "fence_lost") },
            Verdict::Fail { error } => Self { error: Some(error), ..Self::new(claim, "fail") },
        }
    }

    fn done(claim: Claim, outcome: Outcome) -> Self {
        Self {
            counters: outcome.counters.into_iter().collect(),
            notes: outcome.notes.into_iter().map(ByteBuf::from).collect(),
            event: outcome.event,
            fence: outcome.fence.map(ByteBuf::from),
            wrote: outcome.wrote,
            ..Self::new(claim, "done")
        }
    }

    /// The job goes back as it was.
    pub(crate) fn back(claim: Claim, after: Option<Duration>) -> Self {
        Self { after: Some(after.map_or(0, millis)), ..Self::new(claim, "back") }
    }

    pub(crate) fn buried(claim: Claim, error: String) -> Self {
        Self { error: Some(error), ..Self::new(claim, "bury") }
    }

    /// An entry that is no job.
    pub(crate) fn raw(claim: Claim, error: &str) -> Self {
        Self { error: Some(error.to_string()), ..Self::new(claim, "bury_raw") }
    }

    /// The job is replaced by smaller ones of its stage.
    pub(crate) fn split(claim: Claim, stage: u32, jobs: &[NewJob]) -> Self {
        let jobs = jobs.iter().map(|job| ByteBuf::from(item::encode(job, stage))).collect();
        Self { jobs, ..Self::new(claim, "split") }
    }

    /// When a delayed job is due, counted from now.
    pub(crate) fn due_in(&self) -> Option<Duration> {
        self.after.filter(|after| *after > 0).map(Duration::from_millis)
    }
}

#[derive(Serialize)]
struct Args<'a> {
    consumer: &'a str,
    claims: &'a [Settlement],
}

/// The most a single script takes on.
pub(crate) const AT_ONCE: usize = 500;

impl Queue {
    /// Ends claims, at most [`AT_ONCE`]. For each: whether it still stood. Repeating it is safe: what was settled is lost.
    pub(crate) async fn settle(
        &self,
        connection: &mut impl redis::aio::ConnectionLike,
        consumer: &str,
        claims: &[Settlement],
    ) -> Result<Vec<bool>> {
        self.call_on(connection, &SETTLE, &Args { consumer, claims }).await
    }
}
