//! Tokens that are tried, by address: guessing takes processor time, and is not listened to for long.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::error::ApiError;

/// Addresses that are remembered; when there are more, all share one limit.
const ADDRESSES: usize = 4096;
/// Of one address, in a minute; as many may come at once.
const ATTEMPTS: u32 = 20;

pub struct Attempts(RateLimiter<Option<IpAddr>, HashMapStateStore<Option<IpAddr>>, DefaultClock>);

impl Default for Attempts {
    fn default() -> Self {
        let quota = Quota::per_minute(NonZeroU32::new(ATTEMPTS).expect("20 is not 0"));
        Self(RateLimiter::new(quota, HashMapStateStore::default(), DefaultClock::default()))
    }
}

impl Attempts {
    /// Counts one attempt, unless there were too many already.
    pub fn count(&self, address: IpAddr) -> Result<(), ApiError> {
        if self.0.len() >= ADDRESSES {
            self.0.retain_recent();
        }
        let whose = (self.0.len() < ADDRESSES).then(|| network_of(address));
        self.0.check_key(&whose).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            ApiError::too_many("too many tokens were tried from your address: wait a little", wait)
        })
    }
}

/// Whoever has one address of IPv6 has the whole /64.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_address_that_guesses_is_told_to_wait_and_others_are_not() {
        let attempts = Attempts::default();
        let [guesser, neighbour, other] = ["2001:db8::1", "2001:db8::2", "192.0.2.1"].map(|text| text.parse().unwrap());
        for _ in 0..ATTEMPTS {
            assert!(attempts.count(guesser).is_ok());
        }
        let refused = attempts.count(neighbour).unwrap_err();
        assert!(refused.retry_after.is_some_and(|wait| !wait.is_zero()), "{refused:?}");
        assert!(attempts.count(other).is_ok());
    }
}
