//! One claimed job: waits for its turn, runs the handler, turns its verdict into a settlement.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::Shared;
use super::held::{HeldClaim, Stop};
use crate::settlement::Settlement;
use crate::{ClaimedJob, JobContext, Verdict};

/// A job that ended this many workers is split, if it can be. That harms nothing when it was healthy.
const SPLIT_AFTER: u32 = 3;
/// One that cannot be split is given up only now: whoever kills workers, as three rolling deploys may do twice each with
/// the same job, must not get a healthy one buried.
const GIVE_UP_AFTER: u32 = 8;
/// What a part of a split job begins with: it is suspected as the whole was, so it runs alone, and if it ends another
/// worker it is split on at once.
const CRASHES_OF_A_PART: u32 = SPLIT_AFTER - 1;

pub(super) async fn run(
    shared: Arc<Shared>,
    job: ClaimedJob,
    held: Arc<HeldClaim>,
    slot: OwnedSemaphorePermit,
    results: mpsc::Sender<Settlement>,
) {
    let settlement = execute(&shared, job, &held, slot).await;
    held.set_settling();
    match settlement {
        // Without the settler the claim lapses, and another worker does the job again.
        Some(settlement) => drop(results.send(settlement).await),
        None => shared.held.remove(&held.claim.target, &held.claim.entry),
    }
}

/// `None` when the claim is lost and there is nothing to say.
async fn execute(
    shared: &Shared,
    job: ClaimedJob,
    held: &Arc<HeldClaim>,
    slot: OwnedSemaphorePermit,
) -> Option<Settlement> {
    let claim = held.claim.clone();
    if job.crashes >= SPLIT_AFTER
        && let Some(parts) = shared.handler.bisect(&job)
    {
        return Some(Settlement::split(claim, job.stage, CRASHES_OF_A_PART, &parts));
    }
    let policy = shared.handler.policy(&job);
    if job.crashes >= GIVE_UP_AFTER {
        let error = format!("{} workers ended while executing it", job.crashes);
        return Some(Settlement::given_up(claim, &policy, error));
    }
    let _slots = if job.crashes == 0 {
        slot
    } else {
        match all_slots(shared, held, slot).await {
            Some(slots) => slots,
            None if held.why() == Some(Stop::Lost) => return None,
            None => return Some(Settlement::back(claim)),
        }
    };

    let attempts = job.attempts;
    let context = JobContext::new(shared.queue.clone(), shared.name.clone(), held.clone(), &job);
    let handled = AssertUnwindSafe(async { shared.handler.handle(job, context).await }).catch_unwind();
    let verdict = tokio::select! {
        biased;
        handled = handled => match handled {
            Ok(verdict) => verdict,
            Err(panic) => Verdict::retry(format!("the handler panicked: {}", words_of(&*panic))),
        },
        () = held.stop.cancelled() => match held.why() {
            Some(Stop::GraceOver) => Verdict::Return { after: None, reason: "the worker stops".into() },
            Some(Stop::Stuck) => Verdict::retry(format!("no progress for {:?}", shared.settings.progress_deadline)),
            Some(Stop::Lost) | None => return None,
        },
    };
    // Before the slot is free: who gets it depends on which targets have none.
    held.set_settling();
    let settlement = Settlement::of(claim, attempts, &policy, verdict);
    if let Some(due) = settlement.due_in() {
        shared.tick_soon(due);
    }
    Some(settlement)
}

/// A job over which a worker died runs alone, so that if it does so again, it takes nothing else along.
/// Its own slot goes back first: two that wait for all slots while they hold one would wait for ever.
async fn all_slots(shared: &Shared, held: &HeldClaim, slot: OwnedSemaphorePermit) -> Option<OwnedSemaphorePermit> {
    drop(slot);
    held.set_started(false);
    shared.beat_now.notify_one();
    let all = u32::try_from(shared.settings.concurrency).unwrap_or(u32::MAX);
    let slots = tokio::select! {
        biased;
        () = shared.stopping.cancelled() => return None,
        () = held.stop.cancelled() => return None,
        slots = shared.slots.clone().acquire_many_owned(all) => slots.expect("the slots are never closed"),
    };
    held.set_started(true);
    shared.beat_now.notify_one();
    Some(slots)
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without words")
}
