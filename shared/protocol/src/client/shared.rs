//! Answers that serve several callers who ask an agent for the same: it is asked once.
//!
//! Owns a bounded piece of memory (I8). It must not know what an answer means, nor who may have one that others asked for.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::CallError;

/// Of all agents together.
const MOST_BYTES: usize = 32 << 20;
/// No answer is kept longer.
const MOST_AGE: Duration = Duration::from_secs(60);
/// About so many different questions can be under way without waiting for each other.
const TURNS: usize = 64;

pub struct SharedAnswers {
    kept: Mutex<Kept>,
    /// Who asks the same at the same moment waits for the first one's answer.
    turns: [tokio::sync::Mutex<()>; TURNS],
}

#[derive(Default)]
struct Kept {
    answers: HashMap<String, (Instant, Vec<u8>)>,
    /// By when they were asked for. What was asked for again is in it twice.
    order: VecDeque<(Instant, String)>,
    bytes: usize,
}

impl Default for SharedAnswers {
    fn default() -> Self {
        Self { kept: Mutex::default(), turns: std::array::from_fn(|_| tokio::sync::Mutex::new(())) }
    }
}

impl SharedAnswers {
    /// What somebody has asked for, since then if that matters, or else what is asked for now.
    pub(super) async fn answer(
        &self,
        key: String,
        since: Option<Instant>,
        ask: impl Future<Output = Result<Vec<u8>, CallError>>,
    ) -> Result<Vec<u8>, CallError> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let turn = usize::try_from(hasher.finish() % TURNS as u64).expect("less than 64");
        let _turn = self.turns[turn].lock().await;
        let asked = Instant::now();
        if let Some(answer) = self.kept().get(&key, since, asked) {
            return Ok(answer);
        }
        let answer = ask.await?;
        self.kept().keep(key, asked, answer.clone());
        Ok(answer)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn get(&mut self, key: &str, since: Option<Instant>, now: Instant) -> Option<Vec<u8>> {
        self.forget(now);
        self.answers
            .get(key)
            .filter(|(asked, _)| since.is_none_or(|since| *asked >= since))
            .map(|(_, answer)| answer.clone())
    }

    fn keep(&mut self, key: String, asked: Instant, answer: Vec<u8>) {
        self.bytes += answer.len();
        self.order.push_back((asked, key.clone()));
        let before = self.answers.insert(key, (asked, answer));
        self.bytes -= before.map_or(0, |(_, answer)| answer.len());
        self.forget(asked);
    }

    /// What is too old, and the oldest of what is too much.
    fn forget(&mut self, now: Instant) {
        while let Some((asked, key)) = self.order.front()
            && (self.bytes > MOST_BYTES || now.saturating_duration_since(*asked) > MOST_AGE)
        {
            if self.answers.get(key).is_some_and(|(of, _)| of == asked) {
                self.bytes -= self.answers.remove(key).map_or(0, |(_, answer)| answer.len());
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_in_bytes_and_in_time() {
        let (mut kept, begun) = (Kept::default(), Instant::now());
        for number in 0..8_u32 {
            let asked = begun + Duration::from_millis(number.into());
            kept.keep(number.to_string(), asked, vec![0; MOST_BYTES / 4]);
            assert!(kept.bytes <= MOST_BYTES, "{} bytes", kept.bytes);
        }
        let mut left: Vec<&String> = kept.answers.keys().collect();
        left.sort();
        assert_eq!(left, ["4", "5", "6", "7"]);
        kept.forget(begun + MOST_AGE + Duration::from_secs(1));
        assert_eq!((kept.bytes, kept.answers.len(), kept.order.len()), (0, 0, 0));
    }

    #[tokio::test]
    async fn the_same_is_asked_once_unless_the_answer_is_too_old_for_who_asks() {
        let (shared, begun) = (SharedAnswers::default(), Instant::now());
        let asked = std::sync::atomic::AtomicU8::new(0);
        let ask = async |since: Instant| {
            let answer = async { Ok(vec![asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed)]) };
            shared.answer("list".into(), Some(since), answer).await.unwrap()
        };
        let (one, other) = tokio::join!(ask(begun), ask(begun));
        assert_eq!((one, other), (vec![0], vec![0]));
        let later = Instant::now();
        assert_eq!((ask(later).await, ask(later).await, ask(begun).await), (vec![1], vec![1], vec![1]));
    }
}
