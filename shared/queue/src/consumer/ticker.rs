//! What time brings: announces the worker, renews leases, takes over from the dead.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Shared, metrics};
use crate::keeping::{Announcement, Ticked};
use crate::{Result, retry};

/// How often each worker looks for claims of dead ones, jittered.
const RECLAIM: Duration = Duration::from_secs(3);

pub(super) async fn run(shared: Arc<Shared>, mut asked: mpsc::UnboundedReceiver<Duration>) -> Result<()> {
    let lease = shared.queue.settings().lease;
    let mut backoff = retry::reconnect();
    let mut contact = Contact { last: Instant::now(), back_since: None };
    let mut tick_at = Instant::now();
    let mut reclaim_at = Instant::now() + jittered(reclaim_every(lease));
    loop {
        tokio::select! {
            () = shared.drained.cancelled() => break,
            Some(after) = asked.recv() => tick_at = tick_at.min(Instant::now() + after),
            () = tokio::time::sleep_until(tick_at) => {
                match tick(&shared, &contact).await {
                    Ok(next) => {
                        contact.made(lease);
                        backoff = retry::reconnect();
                        tick_at = Instant::now() + next;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a tick failed; trying again");
                        tick_at = Instant::now() + retry::next(&mut backoff);
                    }
                }
            }
            () = tokio::time::sleep_until(reclaim_at) => {
                reclaim_at = Instant::now() + jittered(reclaim_every(lease));
                // First everybody who was cut off may show that they live.
                if !contact.just_back(lease) {
                    reclaim(&shared).await;
                }
            }
        }
    }
    if let Err(error) = shared.queue.leave(&shared.name, &shared.settings.targets).await {
        tracing::warn!(%error, "signing off failed; the announcement expires by itself");
    }
    Ok(())
}

/// When Redis was last heard of, and since when it is back after a silence.
struct Contact {
    last: Instant,
    back_since: Option<Instant>,
}

impl Contact {
    fn is_late(&self, lease: Duration) -> bool {
        self.last.elapsed() > lease / 2
    }

    fn made(&mut self, lease: Duration) {
        if self.is_late(lease) {
            self.back_since = Some(Instant::now());
        }
        self.last = Instant::now();
    }

    fn just_back(&self, lease: Duration) -> bool {
        self.is_late(lease) || self.back_since.is_some_and(|since| since.elapsed() < lease)
    }
}

/// How long until the next tick.
async fn tick(shared: &Shared, contact: &Contact) -> Result<Duration> {
    let lease = shared.queue.settings().lease;
    let announcement = Announcement {
        consumer: shared.name.to_string(),
        host: shared.settings.host.clone(),
        pid: std::process::id(),
        version: shared.settings.version.clone(),
        instances: shared.settings.instances.join(" "),
        slots: shared.settings.concurrency,
        held: shared.held.len(),
        targets: shared.settings.targets.clone(),
        just_back: contact.just_back(lease),
    };
    let Ticked { targets, next_due, .. } = shared.queue.tick(&announcement).await?;
    *shared.busy() = targets.iter().filter(|state| state.2).map(|state| state.0.clone()).collect();
    let readable = targets.into_iter().filter(|state| state.1.is_empty() || state.2).map(|state| state.0).collect();
    shared.readable.send_if_modified(|before| {
        let changed = *before != readable;
        *before = readable;
        changed
    });
    let regular = jittered(lease / 4);
    let due = u64::try_from(next_due).map_or(regular, |ms| Duration::from_millis(ms + 1));
    Ok(regular.min(due))
}

async fn reclaim(shared: &Shared) {
    match shared.queue.reclaim(&shared.settings.targets).await {
        Ok(0) => {}
        Ok(jobs) => {
            metrics::reclaimed(jobs);
            tracing::info!(jobs, "took back the jobs of a worker that gave no sign of life");
        }
        Err(error) => tracing::warn!(%error, "looking for lost jobs failed; trying again later"),
    }
}

fn reclaim_every(lease: Duration) -> Duration {
    RECLAIM.min(lease / 4)
}

/// Anything from two thirds to four thirds, so that workers do not move in step.
fn jittered(time: Duration) -> Duration {
    time.mul_f64(rand::random_range(0.67..1.33))
}
