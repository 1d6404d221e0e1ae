//! When to try again. The only place that knows how delays grow.

use std::time::Duration;

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

use crate::RetryPolicy;

/// The delay after a failed attempt, when `attempts` failed before it: anything between nothing and
/// `base * 2^attempts`, at most `cap` (full jitter), so that jobs that failed together do not come back together.
pub(crate) fn delay(policy: &RetryPolicy, attempts: u32) -> Duration {
    // Half the interval, give or take all of it, is the whole interval.
    let mut backoff = ExponentialBackoffBuilder::new()
        .with_initial_interval(policy.base / 2)
        .with_max_interval(policy.cap / 2)
        .with_multiplier(2.0)
        .with_randomization_factor(1.0)
        .with_max_elapsed_time(None)
        .build();
    for _ in 0..attempts {
        backoff.next_backoff();
    }
    backoff.next_backoff().unwrap_or(policy.cap)
}

/// Delays for a connection that is gone: short at first, never more than five seconds, for as long as it takes.
pub(crate) fn reconnect() -> ExponentialBackoff {
    ExponentialBackoffBuilder::new()
        .with_initial_interval(Duration::from_millis(50))
        .with_max_interval(Duration::from_secs(3))
        .with_max_elapsed_time(None)
        .build()
}

pub(crate) fn next(backoff: &mut ExponentialBackoff) -> Duration {
    backoff.next_backoff().unwrap_or(backoff.max_interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_with_the_attempts_and_stay_under_the_cap() {
        let policy =
            RetryPolicy { base: Duration::from_millis(100), cap: Duration::from_secs(2), ..RetryPolicy::default() };
        for attempts in 0..20 {
            let most = policy.base.saturating_mul(1 << attempts).min(policy.cap);
            let longest = (0..200).map(|_| delay(&policy, attempts)).max();
            assert!(longest <= Some(most), "{longest:?} after {attempts} attempts");
            assert!(longest > Some(most / 3), "{longest:?} after {attempts} attempts");
        }
    }
}
