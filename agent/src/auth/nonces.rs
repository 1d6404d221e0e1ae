//! Which requests were seen: each once, forgotten when they would be refused as expired anyway.

use std::collections::{BTreeMap, HashSet};

/// Seconds of expiry that share one bucket: forgetting drops whole buckets.
const BUCKET_SECONDS: i64 = 8;

pub(super) struct Nonces {
    capacity: usize,
    /// By time of expiry.
    buckets: BTreeMap<i64, HashSet<[u8; 16]>>,
    count: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    New,
    Before,
    /// No room to remember it, so it must not be carried out.
    Full,
}

impl Nonces {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, buckets: BTreeMap::new(), count: 0 }
    }

    /// Remembers a request until it expires. `now` and `expires` in Unix seconds.
    pub(super) fn record(&mut self, nonce: [u8; 16], expires: i64, now: i64) -> Seen {
        self.forget_expired(now);
        let bucket = self.buckets.entry(expires.div_euclid(BUCKET_SECONDS)).or_default();
        if bucket.contains(&nonce) {
            return Seen::Before;
        }
        if self.count >= self.capacity {
            return Seen::Full;
        }
        bucket.insert(nonce);
        self.count += 1;
        Seen::New
    }

    fn forget_expired(&mut self, now: i64) {
        // The bucket that `now` falls in still holds tokens that are valid.
        let current = now.div_euclid(BUCKET_SECONDS);
        while let Some(oldest) = self.buckets.first_entry().filter(|oldest| *oldest.key() < current) {
            self.count -= oldest.remove().len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_new_once_until_it_expires() {
        let mut nonces = Nonces::new(10);
        assert_eq!(nonces.record([1; 16], 1_060, 1_000), Seen::New);
        assert_eq!(nonces.record([2; 16], 1_060, 1_000), Seen::New);
        for now in [1_000, 1_030, 1_060] {
            assert_eq!(nonces.record([1; 16], 1_060, now), Seen::Before, "at {now}");
        }
    }

    #[test]
    fn a_full_memory_takes_nothing_until_something_expires() {
        let mut nonces = Nonces::new(2);
        assert_eq!(nonces.record([1; 16], 1_060, 1_000), Seen::New);
        assert_eq!(nonces.record([2; 16], 1_090, 1_000), Seen::New);
        assert_eq!(nonces.record([3; 16], 1_060, 1_000), Seen::Full);
        assert_eq!(nonces.record([1; 16], 1_060, 1_000), Seen::Before);
        assert_eq!(nonces.record([3; 16], 1_130, 1_070), Seen::New);
        assert_eq!(nonces.record([4; 16], 1_130, 1_070), Seen::Full);
    }
}
