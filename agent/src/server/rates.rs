//! How often: attempts without one of our keys by address, requests by key.
//!
//! A signature is checked before a body is read, so whoever has a key is never counted with those who have none: what
//! strangers do slows down nobody else, also where all seem to come from one address.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use protocol::api::{AgentError, ErrorCode};

use crate::settings::Rate;

/// Addresses that are remembered; when there are more, all share one limit.
const ADDRESSES: usize = 4096;

/// Attempts of those who have no key, or not shown it yet.
pub(super) struct Attempts<C: Clock = DefaultClock> {
    clock: C,
    limiter: RateLimiter<Option<IpAddr>, HashMapStateStore<Option<IpAddr>>, C, StateInformationMiddleware>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// One of those that are looked at.
    Looked,
    /// Looked at, but the next one will not be.
    Last,
    /// Not looked at; the next one is after so long.
    TooMany(Duration),
}

impl Attempts {
    pub fn new(rate: Rate) -> Self {
        Self::with_clock(rate.quota(), DefaultClock::default())
    }
}

impl<C: Clock + Clone> Attempts<C> {
    fn with_clock(quota: Quota, clock: C) -> Self {
        let limiter = RateLimiter::<_, _, C, _>::new(quota, HashMapStateStore::default(), clock.clone());
        Self { clock, limiter }
    }

    /// Counts one attempt, unless there were too many already.
    pub fn count(&self, origin: IpAddr) -> Attempt {
        if self.limiter.len() >= ADDRESSES {
            self.limiter.retain_recent();
        }
        let whose = (self.limiter.len() < ADDRESSES).then(|| network_of(origin));
        match self.limiter.check_key(&whose) {
            Ok(state) if state.remaining_burst_capacity() > 0 => Attempt::Looked,
            Ok(_) => Attempt::Last,
            Err(until) => Attempt::TooMany(until.wait_time_from(self.clock.now())),
        }
    }
}

/// Whoever has one address of IPv6 has the whole /64.
fn network_of(origin: IpAddr) -> IpAddr {
    match origin.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// Requests of those who have a key.
pub(super) struct KeyRates(Option<RateLimiter<String, HashMapStateStore<String>, DefaultClock>>);

impl KeyRates {
    pub fn new(rate: Option<Rate>) -> Self {
        Self(rate.map(|rate| RateLimiter::new(rate.quota(), HashMapStateStore::default(), DefaultClock::default())))
    }

    /// `key` is the id of one of our keys, so there are not many.
    pub fn count(&self, key: &str) -> Result<(), AgentError> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        limiter.check_key(&key.to_owned()).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now()).as_millis();
            AgentError {
                retry_after_ms: Some(u64::try_from(wait).unwrap_or(u64::MAX).max(1)),
                ..AgentError::new(ErrorCode::Busy, "more requests than this agent's own config allows (rate_limit)")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn attempts(rate: &str) -> (Attempts<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Attempts::with_clock(Rate::parse(rate).unwrap().quota(), clock.clone()), clock)
    }

    fn address(number: usize) -> IpAddr {
        IpAddr::from(u32::try_from(number).unwrap().to_be_bytes())
    }

    #[test]
    fn an_address_that_guesses_keys_is_not_listened_to_for_a_while() {
        let (attempts, clock) = attempts("3/m");
        let [guesser, other] = [address(1), address(2)];
        let outcomes = [(); 4].map(|()| attempts.count(guesser));
        let wait = Duration::from_secs(20);
        assert_eq!(outcomes, [Attempt::Looked, Attempt::Looked, Attempt::Last, Attempt::TooMany(wait)]);
        assert_eq!(attempts.count(other), Attempt::Looked);
        clock.advance(wait);
        assert_eq!(attempts.count(guesser), Attempt::Last);
        assert_eq!(attempts.count(guesser), Attempt::TooMany(wait));
    }

    #[test]
    fn a_network_of_ipv6_is_one_guesser() {
        let (attempts, _) = attempts("1/m");
        assert_eq!(attempts.count("2001:db8::1".parse().unwrap()), Attempt::Last);
        assert!(matches!(attempts.count("2001:db8::ffff:1".parse().unwrap()), Attempt::TooMany(_)));
        assert_eq!(attempts.count("2001:db8:0:1::1".parse().unwrap()), Attempt::Last);
        assert_eq!(attempts.count("192.0.2.1".parse().unwrap()), Attempt::Last);
        assert!(matches!(attempts.count("::ffff:192.0.2.1".parse().unwrap()), Attempt::TooMany(_)));
    }

    #[test]
    fn many_addresses_share_what_is_left_until_some_are_forgotten() {
        let (attempts, clock) = attempts("2/m");
        for number in 0..ADDRESSES + 2 {
            attempts.count(address(number));
        }
        assert!(matches!(attempts.count(address(1_000_000)), Attempt::TooMany(_)));
        assert!(attempts.limiter.len() <= ADDRESSES + 1, "{}", attempts.limiter.len());
        clock.advance(Duration::from_secs(121));
        assert_eq!(attempts.count(address(1_000_000)), Attempt::Looked);
        assert_eq!(attempts.limiter.len(), 1);
    }

    #[test]
    fn each_key_has_a_rate_of_its_own_and_is_told_when_to_come_back() {
        let rates = KeyRates::new(Rate::parse("2/h"));
        for key in ["one", "other"] {
            assert!(rates.count(key).is_ok() && rates.count(key).is_ok());
            let refused = rates.count(key).unwrap_err();
            assert_eq!(refused.code, ErrorCode::Busy);
            assert!(refused.retry_after_ms.is_some_and(|wait| wait > 1_700_000 && wait <= 1_800_000));
        }
        let unlimited = KeyRates::new(None);
        assert!((0..10_000).all(|_| unlimited.count("one").is_ok()));
    }
}
