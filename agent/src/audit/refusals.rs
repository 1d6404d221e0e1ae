//! Refusals: each kind is written when it is seen first, and once a minute how often it came again. So a flood of them
//! costs a count.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::api::ErrorCode;
use protocol::audit::{Action, Entry};

/// Refusals of one kind are written once in so long, and counted.
const SUMMED_OVER: Duration = Duration::from_secs(60);
/// More kinds than this in that time are summed as one.
const KINDS: usize = 64;

/// What was refused, to whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Refused {
    pub address: String,
    /// None: a stranger.
    pub key: Option<String>,
    /// A name of ours, not what was sent.
    pub path: &'static str,
    pub code: ErrorCode,
}

impl Refused {
    fn entry(self, reason: String, times: Option<u64>) -> Entry {
        Entry {
            address: Some(self.address),
            key: self.key,
            reason: Some(reason),
            counts: times.map(|times| ("times".to_owned(), times)).into_iter().collect(),
            ..Entry::new(Action::Refused)
        }
    }
}

#[derive(Default)]
pub(crate) struct Refusals(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    since: Option<Instant>,
    /// How often since it was written.
    kinds: HashMap<Refused, u64>,
    others: u64,
}

impl Refusals {
    /// Counts a refusal. What it gives back is to be written.
    pub fn count(&self, refused: Refused, reason: &str) -> Option<Entry> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.since.get_or_insert_with(Instant::now);
        if let Some(times) = counted.kinds.get_mut(&refused) {
            *times += 1;
            return None;
        }
        if counted.kinds.len() >= KINDS {
            counted.others += 1;
            return None;
        }
        counted.kinds.insert(refused.clone(), 0);
        let reason = format!("{}: {reason}", refused.path);
        Some(refused.entry(reason, None))
    }

    /// What came again, when its time has come or `now`: to be written.
    pub fn summed(&self, now: bool) -> Vec<Entry> {
        let counted = {
            let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if !counted.since.is_some_and(|since| now || since.elapsed() >= SUMMED_OVER) {
                return Vec::new();
            }
            std::mem::take(&mut *counted)
        };
        let again = |(refused, times): (Refused, u64)| {
            let reason = format!("{}: {:?}, again", refused.path, refused.code);
            refused.entry(reason, Some(times))
        };
        let mut entries: Vec<Entry> = counted.kinds.into_iter().filter(|(_, times)| *times > 0).map(again).collect();
        if counted.others > 0 {
            entries.push(Entry {
                reason: Some("others, from more addresses or of more kinds than are named".into()),
                counts: [("times".to_owned(), counted.others)].into(),
                ..Entry::new(Action::Refused)
            });
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: &str) -> Refused {
        Refused { address: address.into(), key: None, path: "write", code: ErrorCode::Unauthorized }
    }

    fn times(entries: &[Entry]) -> Vec<u64> {
        let mut times: Vec<u64> = entries.iter().map(|entry| entry.counts["times"]).collect();
        times.sort_unstable();
        times
    }

    #[test]
    fn a_flood_of_refusals_is_a_bounded_number_of_entries_that_count_all_of_them() {
        let refusals = Refusals::default();
        let mut written = 0;
        for round in 0..1000 {
            for address in 0..100 {
                written += u64::from(refusals.count(refused(&format!("10.0.0.{address}")), "why").is_some());
            }
            assert!(round > 0 || written == KINDS as u64);
        }
        assert!(refusals.summed(false).is_empty(), "its time has not come");
        let summed = refusals.summed(true);
        assert_eq!(summed.len(), KINDS + 1);
        assert_eq!(written + times(&summed).iter().sum::<u64>(), 100_000);
        assert!(refusals.summed(true).is_empty());
        assert!(refusals.count(refused("10.0.0.1"), "why").is_some(), "a new minute");
        assert!(refusals.summed(true).is_empty(), "it came once");
    }
}
