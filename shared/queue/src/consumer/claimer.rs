//! Reads jobs and starts a task for each. The read blocks on a connection of its own and is never cancelled in flight:
//! the server would hand out a job to nobody.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;

use super::{Shared, job, metrics};
use crate::claim;
use crate::connection::Link;
use crate::keys::GROUP;
use crate::settlement::Settlement;
use crate::{Error, Result, retry};

/// How long one read waits for jobs; also how long a stop may take to be noticed.
const BLOCK: Duration = Duration::from_millis(1000);
/// So long a slot that is kept for other targets is left alone before they are asked again.
const REST: Duration = Duration::from_millis(20);
/// The most jobs of one read; a stream holds no more.
const MOST: usize = 256;

/// Per stream: its entries, each an id and its fields (name, value, name, value).
type Read = Vec<(String, Vec<(String, Vec<Vec<u8>>)>)>;

/// Runs until a stop is asked for; answers the tasks that still run.
pub(super) async fn run(shared: Arc<Shared>, results: mpsc::Sender<Settlement>) -> Result<JoinSet<()>> {
    let mut claimer = Claimer { shared, results, jobs: JoinSet::new(), servable: HashMap::new() };
    let mut backoff = retry::reconnect();
    let mut connection: Option<Link> = None;
    let mut readable = claimer.shared.readable.subscribe();
    while !claimer.shared.stopping.is_cancelled() {
        while let Some(ended) = claimer.jobs.try_join_next() {
            // The handler's panics are caught inside the task, so this one is ours.
            ended.map_err(|error| Error::Broken("job", error.to_string()))?;
        }
        if readable.borrow_and_update().is_empty() {
            tokio::select! {
                _ = readable.changed() => {}
                () = claimer.shared.stopping.cancelled() => {}
            }
            continue;
        }
        let Some(slots) = claimer.free_slots().await else { break };
        // What is worth reading may be something else than when the wait for a slot began.
        let targets = readable.borrow_and_update().clone();
        if targets.is_empty() {
            continue;
        }
        let look = claimer.look(targets, slots.num_permits());
        match claimer.read(&mut connection, &look).await {
            Ok(read) if read.is_empty() && !look.waits => claimer.rest().await,
            Ok(read) => {
                backoff = retry::reconnect();
                claimer.start(read, slots).await?;
            }
            // A Redis that goes away together with its worker is no news.
            Err(_) if claimer.shared.stopping.is_cancelled() => break,
            Err(error) => {
                // After FLUSHALL the groups are gone; a tick makes them anew.
                let no_group = matches!(&error, Error::Redis(error) if error.code() == Some("NOGROUP"));
                if no_group {
                    claimer.shared.tick_soon(Duration::ZERO);
                } else {
                    tracing::warn!(%error, "reading jobs failed; trying again");
                    connection = None;
                }
                drop(slots);
                tokio::time::sleep(retry::next(&mut backoff)).await;
            }
        }
    }
    Ok(claimer.jobs)
}

/// What is read next.
struct Look {
    /// Those with the fewest jobs here first.
    targets: Vec<String>,
    count: usize,
    /// Whether for something to come.
    waits: bool,
}

struct Claimer {
    shared: Arc<Shared>,
    results: mpsc::Sender<Settlement>,
    jobs: JoinSet<()>,
    /// Whether this worker knows what a run requires, by run.
    servable: HashMap<String, bool>,
}

impl Claimer {
    /// Waits for one slot and takes all that are free then. `None` when a stop is asked for.
    async fn free_slots(&self) -> Option<OwnedSemaphorePermit> {
        let mut slots = tokio::select! {
            biased;
            () = self.shared.stopping.cancelled() => return None,
            slot = self.shared.slots.clone().acquire_owned() => slot.expect("the slots are never closed"),
        };
        let more = self.shared.slots.available_permits().min(MOST - 1);
        let more = u32::try_from(more).expect("at most 255");
        if let Ok(taken) = self.shared.slots.clone().try_acquire_many_owned(more) {
            slots.merge(taken);
        }
        Some(slots)
    }

    /// Where several targets have runs, the last free slot is for one that has none: a target whose jobs take for ever holds
    /// up no other.
    fn look(&self, mut targets: Vec<String>, free: usize) -> Look {
        let held = self.shared.held.by_target();
        targets.sort_by_key(|target| held.get(target).copied().unwrap_or(0));
        let is_waited_for = {
            let busy = self.shared.busy();
            busy.len() > 1 && busy.iter().any(|target| !held.contains_key(target))
        };
        if !is_waited_for || self.shared.settings.concurrency == 1 {
            return Look { targets, count: free, waits: true };
        }
        if free > 1 {
            return Look { targets, count: free - 1, waits: true };
        }
        targets.retain(|target| !held.contains_key(target));
        // It does not wait: a slot that the others may have can become free at any moment.
        Look { targets, count: free, waits: false }
    }

    /// Until a job ends, but not for long.
    async fn rest(&self) {
        let _ended_or_not = tokio::time::timeout(REST, self.shared.slots.acquire()).await;
    }

    async fn read(&self, connection: &mut Option<Link>, look: &Look) -> Result<Read> {
        let Look { targets, count, waits } = look;
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(self.shared.queue.blocking_connection(BLOCK).await?),
        };
        let mut command = redis::cmd("XREADGROUP");
        command.arg("GROUP").arg(GROUP).arg(&*self.shared.name).arg("COUNT").arg(count);
        if *waits {
            command.arg("BLOCK").arg(BLOCK.as_millis() as u64);
        }
        command.arg("STREAMS");
        for target in targets {
            command.arg(self.shared.queue.keys.stream(target));
        }
        for _ in targets {
            command.arg(">");
        }
        let read: Option<Read> = command.query_async(connection).await?;
        Ok(read.unwrap_or_default())
    }

    async fn start(&mut self, read: Read, mut slots: OwnedSemaphorePermit) -> Result<()> {
        // The first of each, then the second of each.
        let mut in_turns: Vec<_> = Vec::new();
        for (stream, entries) in read {
            let target = self.shared.queue.keys.target_of(&stream).to_string();
            self.shared.busy().insert(target.clone());
            in_turns.extend(entries.into_iter().enumerate().map(|(turn, entry)| (turn, target.clone(), entry)));
        }
        in_turns.sort_by_key(|(turn, ..)| *turn);
        for (_, target, (entry, fields)) in in_turns {
            let (claim, job) = match claim::decode(&target, &entry, &fields) {
                Ok(decoded) => decoded,
                Err((claim, reason)) => {
                    tracing::error!(%target, %entry, reason, "an entry is no job; it is buried");
                    self.give_up(claim, |claim| Settlement::raw(claim, reason)).await;
                    continue;
                }
            };
            if self.shared.stopping.is_cancelled() {
                self.give_up(claim, Settlement::back).await;
                continue;
            }
            if !self.can_serve(&job.run).await {
                self.shared.stop_reading(&target);
                self.give_up(claim, Settlement::back).await;
                continue;
            }
            // Several streams may each answer COUNT entries; whatever has no slot goes back.
            let Some(slot) = slots.split(1).or_else(|| self.shared.slots.clone().try_acquire_owned().ok()) else {
                self.give_up(claim, Settlement::back).await;
                continue;
            };
            metrics::claimed(&target, 1, u64::from(job.attempts > 0));
            let held = self.shared.held.add(claim);
            self.jobs.spawn(job::run(self.shared.clone(), job, held, slot, self.results.clone()));
        }
        Ok(())
    }

    /// Settles a claim whose job is not executed here.
    async fn give_up(&self, claim: claim::Claim, settlement: impl FnOnce(claim::Claim) -> Settlement) {
        self.shared.held.add(claim.clone()).set_settling();
        // The settler outlives the claimer; if it does not, the claim lapses.
        let _ = self.results.send(settlement(claim)).await;
    }

    /// When Redis cannot say, the job is tried: its handler knows what it needs.
    async fn can_serve(&mut self, run: &str) -> bool {
        if let Some(known) = self.servable.get(run) {
            return *known;
        }
        let Ok(requires) = self.shared.queue.requires(run).await else { return true };
        let can = requires.iter().all(|name| self.shared.settings.instances.contains(name));
        // Runs come and go; what is forgotten is asked again.
        if self.servable.len() > 1000 {
            self.servable.clear();
        }
        self.servable.insert(run.to_string(), can);
        can
    }
}
