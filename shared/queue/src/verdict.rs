//! How a job ended: what a handler answers.

use std::collections::BTreeMap;
use std::time::Duration;

/// What a finished job leaves behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Added to the run's counters, exactly once (I2).
    pub counters: BTreeMap<String, i64>,
    /// Opaque remarks, kept with the run (the first 10,000; the total is exact).
    pub notes: Vec<Vec<u8>>,
    /// An event to publish: its name, and the inside of a JSON object (`"model":"posts","rows":3`; may be empty).
    pub event: Option<(String, String)>,
    /// Of an open job: the bytes every later claim of this lease carries.
    pub fence: Option<Vec<u8>>,
    /// The fence was good for a write: earlier lost fences no longer count.
    pub wrote: bool,
    /// It is done, but the target was slow about it: the window shrinks.
    pub pressure: bool,
}

impl Outcome {
    pub fn count(mut self, counter: impl Into<String>, by: i64) -> Self {
        *self.counters.entry(counter.into()).or_default() += by;
        self
    }
}

/// What is to become of a claimed job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Done(Outcome),
    /// It failed and may be tried again; counts as an attempt. `after` overrides the backoff (Retry-After).
    Retry {
        error: String,
        after: Option<Duration>,
    },
    /// The target takes no more at the moment (429, 503). Counts nothing; the target's window shrinks, and nothing is
    /// handed out for it before `after` is over.
    Throttled {
        after: Duration,
        reason: String,
    },
    /// It was not tried: handed back, newer than this worker knows. Counts nothing.
    /// Without `after` it is handed out again at once, perhaps to the same worker.
    Return {
        after: Option<Duration>,
        reason: String,
    },
    /// It will never succeed; the run goes on without it. The run's open and close jobs end the run instead.
    Bury {
        error: String,
    },
    /// The fence is not valid any more: `holder` has the target. The job goes back, the run opens anew.
    FenceLost {
        holder: String,
    },
    /// The whole run ends as failed.
    Fail {
        error: String,
    },
}

impl Verdict {
    /// Done, with nothing to tell.
    pub fn done() -> Self {
        Verdict::Done(Outcome::default())
    }

    pub fn retry(error: impl std::fmt::Display) -> Self {
        Verdict::Retry { error: error.to_string(), after: None }
    }
}
