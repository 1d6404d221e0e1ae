//! How much an agent does at once (I8): so many at work, so many waiting, the rest is told when to come back.

use std::sync::Arc;

use protocol::api::{AgentError, ErrorCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::routes::Kind;

/// Requests whose bodies are in memory, at 1 MB each.
const BODIES: usize = 128;

pub(super) struct Limits {
    bodies: Arc<Semaphore>,
    reads: Queue,
    writes: Queue,
    control: Queue,
}

struct Queue {
    at_work: Arc<Semaphore>,
    at_work_limit: u32,
    /// At work or waiting.
    present: Arc<Semaphore>,
    retry_after_ms: u64,
}

/// A place in a queue and at its end. Goes to the thread that does the work, and is given back when that is done,
/// whether or not anybody still waits for the answer.
pub(super) struct Turn {
    _present: OwnedSemaphorePermit,
    _at_work: OwnedSemaphorePermit,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bodies: Arc::new(Semaphore::new(BODIES)),
            reads: Queue::new(8, 48, 200),
            // One writer per database; a second one decodes while the first one commits.
            writes: Queue::new(2, 32, 500),
            control: Queue::new(2, 32, 200),
        }
    }
}

impl Limits {
    /// Waits for room to hold one body. None never happens: the semaphore is not closed.
    pub async fn room_for_body(&self) -> Option<OwnedSemaphorePermit> {
        self.bodies.clone().acquire_owned().await.ok()
    }

    pub async fn turn(&self, kind: Kind) -> Result<Turn, AgentError> {
        match kind {
            Kind::Read => self.reads.turn().await,
            Kind::Write => self.writes.turn().await,
            Kind::Control => self.control.turn().await,
        }
    }

    /// Waits until nothing is at work, and lets nothing more begin.
    pub async fn all_done(&self) {
        for queue in [&self.reads, &self.writes, &self.control] {
            if let Ok(all) = queue.at_work.acquire_many(queue.at_work_limit).await {
                all.forget();
            }
        }
    }
}

impl Queue {
    fn new(at_work: u32, waiting: u32, retry_after_ms: u64) -> Self {
        let places = |count: u32| Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(Semaphore::MAX_PERMITS)));
        let present = places(at_work + waiting);
        Self { at_work: places(at_work), at_work_limit: at_work, present, retry_after_ms }
    }

    async fn turn(&self) -> Result<Turn, AgentError> {
        let busy = || AgentError {
            retry_after_ms: Some(self.retry_after_ms),
            ..AgentError::new(ErrorCode::Busy, "too many requests of this kind wait already")
        };
        let present = self.present.clone().try_acquire_owned().map_err(|_| busy())?;
        let at_work = self.at_work.clone().acquire_owned().await.map_err(|_| busy())?;
        Ok(Turn { _present: present, _at_work: at_work })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn who_finds_the_queue_full_is_told_when_to_come_back() {
        let queue = Arc::new(Queue::new(1, 1, 700));
        let working = queue.turn().await.unwrap();
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.turn().await.map(drop) }
        });
        while queue.present.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = queue.turn().await.map(drop).unwrap_err();
        assert_eq!((refused.code, refused.retry_after_ms), (ErrorCode::Busy, Some(700)));
        drop(working);
        waiting.await.unwrap().unwrap();
        queue.turn().await.map(drop).unwrap();
    }

    #[tokio::test]
    async fn grants_are_not_stuck_behind_writes() {
        let limits = Limits::default();
        let _writes = [limits.turn(Kind::Write).await.unwrap(), limits.turn(Kind::Write).await.unwrap()];
        assert!(limits.turn(Kind::Control).await.is_ok());
    }
}
