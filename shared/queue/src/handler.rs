//! What a worker brings: the handler that executes jobs.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::{ClaimedJob, JobContext, NewJob, Verdict};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Executes jobs. A job may be executed more than once (a worker died before it settled), so handling must bear repetition.
///
/// The future is dropped when the claim is lost, when the job makes no progress, or when the grace time of a stop is over.
/// A panic counts as [`Verdict::Retry`].
pub trait Handler: Send + Sync + 'static {
    fn handle(&self, job: ClaimedJob, context: JobContext) -> BoxFuture<'_, Verdict>;

    /// How often and how soon a failed job is tried again.
    fn policy(&self, job: &ClaimedJob) -> RetryPolicy {
        let _ = job;
        RetryPolicy::default()
    }

    /// Asked before `handle` when a job ended its worker three times: smaller jobs that together do the same, under new
    /// ids, each suspected from the start; or `None` when it is the smallest there is: then it is executed, alone, until it
    /// has ended eight workers, and then given up as its policy says. What it had split off already stays: [`ClaimedJob::cursor`] says how far it was.
    fn bisect(&self, job: &ClaimedJob) -> Option<Vec<NewJob>> {
        let _ = job;
        None
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Executions in all, at least 1.
    pub max_attempts: u32,
    /// The first delay; it doubles with each attempt, up to `cap`, and a random part of it is taken.
    pub base: Duration,
    pub cap: Duration,
    pub when_exhausted: WhenExhausted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenExhausted {
    Bury,
    FailRun,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 8,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(60),
            when_exhausted: WhenExhausted::Bury,
        }
    }
}
