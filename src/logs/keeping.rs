//! Hands lines to the queue's Redis. Nobody ever waits for that: there is room for some lines, and what finds none is counted.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::log::Line;
use queue::Queue;
use tokio::sync::{mpsc, oneshot};

use super::lines::missing;

/// Lines that wait for Redis, and lines that it is given at a time.
const WAITING: usize = 1024;
const BATCH: usize = 256;
/// Between two batches: what is said one by one need not be sent one by one.
const PAUSE: Duration = Duration::from_millis(50);
/// When Redis took none.
const AGAIN: Duration = Duration::from_secs(1);
/// The end of a process waits so long for its last lines.
const FLUSHING: Duration = Duration::from_secs(1);

enum Entry {
    Line(Box<Line>),
    /// Answered when all before it is kept.
    Flush(oneshot::Sender<()>),
}

/// One per process, as there is one subscriber to what it logs.
static KEEPER: LazyLock<Keeper> = LazyLock::new(Keeper::new);

struct Keeper {
    sender: mpsc::Sender<Entry>,
    /// Until there is a queue.
    waiting: Mutex<Option<mpsc::Receiver<Entry>>>,
    /// Lines there was no room for, by run.
    missed: Mutex<BTreeMap<Option<String>, u64>>,
}

/// Keeps a line, or counts it.
pub fn keep(line: Line) {
    KEEPER.keep(line);
}

/// From now on lines go to this queue's Redis, with those that were said before.
pub fn keep_in(queue: &Queue) {
    let receiver = unpoisoned(&KEEPER.waiting).take();
    if let Some(receiver) = receiver {
        // It ends with the runtime; whoever wants its last lines flushes.
        tokio::spawn(hand_over(queue.clone(), receiver, &KEEPER));
    }
}

/// Waits, not long, until what was said is kept.
pub async fn flush() {
    if unpoisoned(&KEEPER.waiting).is_some() {
        return;
    }
    let (done, kept) = oneshot::channel();
    let flushed = async {
        if KEEPER.sender.send(Entry::Flush(done)).await.is_ok() {
            let _nobody_keeps = kept.await;
        }
    };
    let _not_all = tokio::time::timeout(FLUSHING, flushed).await;
}

impl Keeper {
    fn new() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        Self { sender, waiting: Mutex::new(Some(receiver)), missed: Mutex::default() }
    }

    fn keep(&self, line: Line) {
        if let Err(full) = self.sender.try_send(Entry::Line(Box::new(line)))
            && let Entry::Line(line) = full.into_inner()
        {
            *unpoisoned(&self.missed).entry(line.run).or_default() += 1;
        }
    }

    /// A line for each run of which some are missing.
    fn missing(&self) -> Vec<Line> {
        let missed = std::mem::take(&mut *unpoisoned(&self.missed));
        missed.into_iter().map(|(run, count)| missing(run, count)).collect()
    }
}

async fn hand_over(queue: Queue, mut receiver: mpsc::Receiver<Entry>, keeper: &Keeper) {
    let mut entries = Vec::with_capacity(BATCH);
    while receiver.recv_many(&mut entries, BATCH).await > 0 {
        let (mut lines, mut flushed) = (Vec::new(), Vec::new());
        for entry in entries.drain(..) {
            match entry {
                Entry::Line(line) => lines.push(*line),
                Entry::Flush(done) => flushed.push(done),
            }
        }
        lines.extend(keeper.missing());
        surely(&queue, lines).await;
        for done in flushed {
            let _nobody_waits = done.send(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A Redis that is away or full gets them later.
async fn surely(queue: &Queue, lines: Vec<Line>) {
    let as_kept = |line: Line| (line.run.clone().unwrap_or_default(), text(line));
    let lines: Vec<(String, String)> = lines.into_iter().map(as_kept).collect();
    let mut said = false;
    while !lines.is_empty() {
        let Err(error) = queue.add_to_log(&lines).await else { return };
        if !std::mem::replace(&mut said, true) {
            tracing::warn!(%error, "Redis does not take log lines; trying again");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn text(line: Line) -> String {
    serde_json::to_string(&line.shortened()).unwrap_or_default()
}

/// What these hold is whole whatever panicked.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_counted_for_each_run_and_said_once() {
        let keeper = Keeper::new();
        let line = |run: &str| Line { run: Some(run.into()), ..missing(None, 0) };
        for _ in 0..WAITING {
            keeper.keep(line("a"));
        }
        assert!(keeper.missing().is_empty());
        for run in ["a", "b", "b"] {
            keeper.keep(line(run));
        }
        let said: Vec<(Option<String>, String)> =
            keeper.missing().into_iter().map(|line| (line.run, line.message)).collect();
        let begins =
            |at: usize, run: &str, text: &str| said[at].0.as_deref() == Some(run) && said[at].1.starts_with(text);
        assert!(said.len() == 2 && begins(0, "a", "1 lines") && begins(1, "b", "2 lines"), "{said:?}");
        assert!(keeper.missing().is_empty());
    }
}
