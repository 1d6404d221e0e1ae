//! Signs of life and what they keep: extend claims, reclaim those of dead workers, tick.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::scripts::{self, EXTEND, LEAVE, RECLAIM, TICK};
use crate::{Queue, Result};

/// A claim to extend: target, entry, whether its job has started.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Held(pub(crate) String, pub(crate) String, pub(crate) bool);

#[derive(Serialize)]
struct ExtendArgs<'a> {
    consumer: &'a str,
    claims: &'a [Held],
}

#[derive(Serialize)]
struct ReclaimArgs<'a> {
    targets: &'a [String],
}

#[derive(Serialize)]
struct LeaveArgs<'a> {
    consumer: &'a str,
    targets: &'a [String],
}

/// What a worker says of itself.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Announcement {
    pub(crate) consumer: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) version: String,
    /// Separated by spaces.
    pub(crate) instances: String,
    pub(crate) slots: usize,
    pub(crate) held: usize,
    pub(crate) targets: Vec<String>,
    /// It was cut off from Redis for a while.
    pub(crate) just_back: bool,
}

/// What a tick found.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Ticked {
    pub(crate) targets: Vec<TargetState>,
    /// Milliseconds until a delayed job is due, or -1.
    pub(crate) next_due: i64,
    /// The time, in milliseconds.
    now: u64,
}

/// Target, the run that holds it (or empty), whether this worker can serve that run.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TargetState(pub(crate) String, pub(crate) String, pub(crate) bool);

impl Queue {
    /// For each claim: whether it still stands.
    pub(crate) async fn extend(
        &self,
        connection: &mut impl redis::aio::ConnectionLike,
        consumer: &str,
        claims: &[Held],
    ) -> Result<Vec<bool>> {
        self.call_on(connection, &EXTEND, &ExtendArgs { consumer, claims }).await
    }

    /// How many jobs of dead workers were taken back.
    pub(crate) async fn reclaim(&self, targets: &[String]) -> Result<u64> {
        self.call(&RECLAIM, &ReclaimArgs { targets }).await
    }

    pub(crate) async fn tick(&self, announcement: &Announcement) -> Result<Ticked> {
        let asked = Instant::now();
        let packed: Vec<u8> = self.call(&TICK, announcement).await?;
        let ticked: Ticked = scripts::unpack(&packed)?;
        self.clock.told(ticked.now, asked);
        Ok(ticked)
    }

    pub(crate) async fn leave(&self, consumer: &str, targets: &[String]) -> Result<()> {
        self.call(&LEAVE, &LeaveArgs { consumer, targets }).await
    }
}
