//! What time it should be in Redis: scripts are told it, and so notice when Redis' clock jumped forward (`clock.lua`).

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The last time that Redis told this process, in milliseconds, and when it was asked. One for all clones of a queue.
#[derive(Default)]
pub(crate) struct Clock(Mutex<Option<(u64, Instant)>>);

impl Clock {
    /// `asked`: before the request was sent, so that a slow way to Redis does not look like a jump.
    pub(crate) fn told(&self, now: u64, asked: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, asked));
    }

    /// As an argument of a script: empty before anything was told.
    pub(crate) fn expected(&self) -> String {
        let told = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.map(|(now, asked)| (u128::from(now) + asked.elapsed().as_millis()).to_string()).unwrap_or_default()
    }
}
