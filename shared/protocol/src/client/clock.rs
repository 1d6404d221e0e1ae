//! The agent's clock as far as it is known: tokens are valid for a minute by that clock, not by ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::api::{AgentError, ErrorCode};

/// Unix seconds.
pub(super) type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

pub(super) struct AgentClock {
    local: Now,
    /// How far the agent's clock is ahead of ours.
    ahead: AtomicI64,
}

impl AgentClock {
    pub(super) fn new(local: Now) -> Self {
        Self { local, ahead: AtomicI64::new(0) }
    }

    pub(super) fn now(&self) -> i64 {
        (self.local)().saturating_add(self.ahead.load(Ordering::Relaxed))
    }

    /// Takes over the time the agent names in a signed refusal. True when signing the request anew may help.
    pub(super) fn learn_from(&self, refusal: &AgentError) -> bool {
        if let (ErrorCode::ClockSkew | ErrorCode::Replayed, Some(theirs)) = (refusal.code, refusal.server_time) {
            self.ahead.store(theirs.saturating_sub((self.local)()), Ordering::Relaxed);
            return true;
        }
        // An agent that was restarted cannot know which older requests it saw already.
        refusal.code == ErrorCode::Replayed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_time_is_taken_over_and_kept() {
        let clock = AgentClock::new(Arc::new(|| 1_000));
        let refusal = AgentError { server_time: Some(4_600), ..AgentError::new(ErrorCode::ClockSkew, "late") };
        assert!(clock.learn_from(&refusal));
        assert_eq!(clock.now(), 4_600);
    }

    #[test]
    fn other_refusals_change_nothing_whatever_time_they_name() {
        let clock = AgentClock::new(Arc::new(|| 1_000));
        let refusal = AgentError { server_time: Some(4_600), ..AgentError::new(ErrorCode::Forbidden, "no") };
        assert!(!clock.learn_from(&refusal));
        assert!(!clock.learn_from(&AgentError::new(ErrorCode::ClockSkew, "without a time")));
        assert_eq!(clock.now(), 1_000);
    }
}
