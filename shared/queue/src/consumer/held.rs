//! The claims in the hands of this worker, from reading the entry until Redis has confirmed its settle.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::claim::Claim;

/// Why a job's task is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stop {
    /// The claim is not ours any more: nothing is to be settled.
    Lost = 1,
    /// No progress within the deadline.
    Stuck = 2,
    /// A soft stop, and the grace time is over.
    GraceOver = 3,
}

/// One claim.
pub(crate) struct HeldClaim {
    pub(crate) claim: Claim,
    /// Cancelled to stop the task.
    pub(crate) stop: CancellationToken,
    why: AtomicU8,
    started: AtomicBool,
    settling: AtomicBool,
    last_progress: Mutex<Instant>,
}

impl HeldClaim {
    pub(crate) fn progress(&self) {
        *self.last_progress.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    pub(crate) fn set_started(&self, started: bool) {
        self.progress();
        self.started.store(started, Ordering::Release);
    }

    pub(crate) fn has_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// The handler is through; from here on there is no progress to wait for.
    pub(crate) fn set_settling(&self) {
        self.settling.store(true, Ordering::Release);
    }

    /// Started, not through, and silent for longer than the deadline.
    pub(crate) fn is_stuck(&self, deadline: Duration) -> bool {
        let silent = self.last_progress.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        self.has_started() && !self.settling.load(Ordering::Acquire) && silent > deadline
    }

    /// The first reason stands.
    pub(crate) fn stop(&self, why: Stop) {
        let _ = self.why.compare_exchange(0, why as u8, Ordering::AcqRel, Ordering::Acquire);
        self.stop.cancel();
    }

    pub(crate) fn why(&self) -> Option<Stop> {
        match self.why.load(Ordering::Acquire) {
            1 => Some(Stop::Lost),
            2 => Some(Stop::Stuck),
            3 => Some(Stop::GraceOver),
            _ => None,
        }
    }
}

/// All claims, by target and entry.
#[derive(Default)]
pub(crate) struct Held {
    claims: Mutex<HashMap<(String, String), Arc<HeldClaim>>>,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Arc<HeldClaim>>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, claim: Claim) -> Arc<HeldClaim> {
        let place = (claim.target.clone(), claim.entry.clone());
        let held = Arc::new(HeldClaim {
            claim,
            stop: CancellationToken::new(),
            why: AtomicU8::new(0),
            started: AtomicBool::new(true),
            settling: AtomicBool::new(false),
            last_progress: Mutex::new(Instant::now()),
        });
        self.lock().insert(place, held.clone());
        held
    }

    pub(crate) fn remove(&self, target: &str, entry: &str) {
        self.lock().remove(&(target.to_string(), entry.to_string()));
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// How many of each target have a slot; without targets that have none.
    pub(crate) fn by_target(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for ((target, _), held) in self.lock().iter() {
            if !held.settling.load(Ordering::Acquire) {
                *counts.entry(target.clone()).or_default() += 1;
            }
        }
        counts
    }

    pub(crate) fn all(&self) -> Vec<Arc<HeldClaim>> {
        self.lock().values().cloned().collect()
    }

    pub(crate) fn stop_all(&self, why: Stop) {
        for held in self.all() {
            held.stop(why);
        }
    }
}
