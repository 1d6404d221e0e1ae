//! How fast a run may be, where somebody said so: nothing here happens otherwise.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protocol::counts::{LEFT, NOT_BROUGHT};
use protocol::job::Job;
use protocol::pace::Rate;
use queue::{Outcome, Verdict};

use crate::scope::Scope;

/// A job that waits says so often that it lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

impl Scope {
    /// After a batch, before the next one begins.
    pub async fn pause(&self) {
        if let Some(pause) = self.run.spec.pace.pause {
            self.wait(pause).await;
        }
    }

    /// Waits until so much may be brought to the target, by all its workers together.
    pub async fn ration(&self, items: usize, bytes: usize) -> Result<(), Verdict> {
        let Some(rate) = self.run.spec.pace.max_rate else { return Ok(()) };
        let amount = match rate {
            Rate::Items(_) => items,
            Rate::Bytes(_) => bytes,
        };
        if amount == 0 {
            return Ok(());
        }
        let target = &self.run.spec.target.name;
        let wait = self.queue.ration(target, amount as u64, rate.per_second()).await.map_err(Verdict::retry)?;
        self.wait(wait).await;
        Ok(())
    }

    /// Whether a group of documents is as much as is brought in a second: larger ones would come in bursts.
    pub fn is_enough_at_once(&self, items: usize, bytes: usize) -> bool {
        match self.run.spec.pace.max_rate {
            None => false,
            Some(Rate::Items(rate)) => items as u64 >= rate,
            Some(Rate::Bytes(rate)) => bytes as u64 >= rate,
        }
    }

    async fn wait(&self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let nap = left.min(SIGN_OF_LIFE);
            tokio::time::sleep(nap).await;
            self.context.progress();
            left -= nap;
        }
    }

    /// The end of a job that would begin after the run's time limit.
    pub async fn out_of_time(&self, job: &Job) -> Result<Option<Outcome>, Verdict> {
        let Some(limit) = self.run.spec.pace.time_limit else { return Ok(None) };
        match job {
            Job::Collection { .. } | Job::Batch(_) | Job::Embedded(_) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                if now < Duration::from_millis(self.run.began_ms) + limit {
                    return Ok(None);
                }
                let left = [(LEFT.to_owned(), 1), (NOT_BROUGHT.to_owned(), 1)];
                Ok(Some(Outcome { counters: left.into_iter().collect(), ..Outcome::default() }))
            }
            // What was left is known to be missing.
            Job::Verify { .. } | Job::VerifyEmbedded(_) => {
                let view = self.queue.run(&self.run.id).await.map_err(Verdict::retry)?;
                let was_left = view.counters.get(LEFT).is_some_and(|left| *left > 0);
                Ok(was_left.then(Outcome::default))
            }
            Job::Open
            | Job::Expect
            | Job::Candidates { .. }
            | Job::Decide
            | Job::Deletes { .. }
            | Job::Undo { .. }
            | Job::VerifyUndo { .. }
            | Job::Close => Ok(None),
        }
    }
}
