//! Watches the clock for one schedule, and decides what becomes of each tick. What makes the run is a parameter.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::{CatchUp, Overlap};
use protocol::event::{SCHEDULE_MISSED, SCHEDULE_SKIPPED};
use queue::{NewRun, Pass, Queue, ScheduleView, Submitted, Tick};
use tokio_util::sync::CancellationToken;

use super::timetable::{Due, Timetable};
use super::{Clock, count, milliseconds};
use crate::error::{Problem, ProblemKind};
use crate::request::submit_surely;

/// The clock is looked at so often: it may be set, so nothing sleeps until a time.
const LOOK: Duration = Duration::from_millis(250);
/// Between two attempts at something that failed, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Clocks of two machines may differ by so many milliseconds without one of them being called wrong.
const SKEW: u64 = 60_000;

const NOBODY: &str = "nobody was there to fire it: no `cockpit-sync serve` ran then, or the clock was set ahead";

pub(super) struct Keeper<M> {
    entry: config::Schedule,
    timetable: Timetable,
    /// Of events: the inside of a JSON object.
    about: String,
    queue: Queue,
    clock: Arc<dyn Clock>,
    patience: Duration,
    make: M,
    /// When the clock was looked at last.
    looked: u64,
    /// The last tick that turned out to have had its turn.
    done: u64,
    /// A `handled` that was ahead of the clock when it was seen first, and when that was: it says nothing of what comes after.
    ahead: Option<(u64, u64)>,
    attempt: Option<Attempt>,
}

/// A tick that is being fired, and could not be so far.
struct Attempt {
    tick: u64,
    begun: Instant,
    problem: Problem,
    wait: Duration,
}

/// When to look at the ledger again.
pub(super) enum Look {
    /// Something has changed.
    Now,
    /// When this time has come, by the clock.
    At(Option<u64>),
    After(Duration),
}

impl<M, F> Keeper<M>
where
    M: Fn(Tick) -> F + Send + Sync,
    F: Future<Output = Result<NewRun, Problem>> + Send,
{
    pub(super) fn new(
        entry: config::Schedule,
        timetable: Timetable,
        about: String,
        queue: Queue,
        clock: Arc<dyn Clock>,
        patience: Duration,
        make: M,
    ) -> Self {
        let looked = milliseconds(clock.now());
        Self { entry, timetable, about, queue, clock, patience, make, looked, done: 0, ahead: None, attempt: None }
    }

    pub(super) async fn keep(mut self, stop: CancellationToken) {
        // Dropping what is under way is safe: whatever was not decided is decided by the next one who looks.
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.watch() => {}
        }
    }

    async fn watch(&mut self) {
        let begun = self.looked;
        while let Err(error) = self.queue.observe_schedule(&self.entry.name, &self.timetable.expression(), begun).await
        {
            tracing::warn!(schedule = self.entry.name, %error, "the schedule cannot be watched yet");
            tokio::time::sleep(RETRY.0).await;
        }
        loop {
            let next = match self.decide().await {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(schedule = self.entry.name, %error, "what is known of the schedule cannot be read");
                    Look::After(RETRY.0)
                }
            };
            match next {
                Look::Now => {}
                Look::After(wait) => tokio::time::sleep(wait).await,
                Look::At(time) => self.wait_until(time).await,
            }
        }
    }

    /// Until the time has come, or the clock has gone back.
    async fn wait_until(&mut self, time: Option<u64>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let now = milliseconds(self.clock.now());
            if now < self.looked {
                self.looked = now;
                return;
            }
            if time.is_some_and(|time| now >= time) {
                return;
            }
            self.looked = now;
        }
    }

    /// Does what is to be done at this moment.
    pub(super) async fn decide(&mut self) -> queue::Result<Look> {
        let known = self.queue.schedule(&self.entry.name).await?;
        let now = milliseconds(self.clock.now());
        let after = self.after(&known, now);
        let Some(due) = self.timetable.due(after, now) else {
            self.attempt = None;
            self.looked = now;
            return Ok(Look::At(self.timetable.next_fire(after, now)));
        };
        if due.tick > known.now + SKEW {
            // Two clocks must agree that its time has come.
            tracing::error!(schedule = self.entry.name, "this machine's clock is ahead of Redis': nothing is fired");
            return Ok(Look::After(RETRY.1));
        }
        if let Some(why) = self.given_up(&due, now) {
            return self.missed(&known, due.tick, due.earlier + 1, &why).await;
        }
        if let Some(before) = due.before {
            let why = self.attempt.as_ref().filter(|attempt| attempt.tick <= before);
            let why = why.map_or_else(|| NOBODY.to_owned(), |attempt| attempt.problem.message.clone());
            return self.missed(&known, before, due.earlier, &why).await;
        }
        if self.entry.overlap == Overlap::Skip
            && let Some(run) = &known.run
            && self.is_going_on(run).await?
        {
            return self.skipped(&known, due.tick, run).await;
        }
        self.fire(&known, due.tick).await
    }

    /// Ticks until then had their turn. Where the ledger is ahead of the clock, some clock was ahead; what is planned from
    /// now on is due then, and the ledger knows which of it was fired before.
    fn after(&mut self, known: &ScheduleView, now: u64) -> u64 {
        let Some(handled) = known.handled else { return self.looked.max(self.done) };
        if handled > now + SKEW && self.ahead.is_none_or(|(ahead, _)| ahead != handled) {
            self.ahead = Some((handled, self.looked));
        }
        let handled = self.ahead.filter(|(ahead, _)| *ahead == handled).map_or(handled, |(_, since)| since);
        if self.done <= now { handled.max(self.done) } else { handled }
    }

    /// Why a tick is not fired any more.
    fn given_up(&self, due: &Due, now: u64) -> Option<String> {
        match &self.attempt {
            Some(attempt) if attempt.tick == due.tick => {
                let is_over = attempt.begun.elapsed() > self.patience || attempt.problem.kind == ProblemKind::Usage;
                is_over.then(|| attempt.problem.message.clone())
            }
            _ => {
                let late = Duration::from_millis(now.saturating_sub(self.timetable.fire_time(due.tick)));
                (late > self.patience && self.entry.catch_up == CatchUp::None).then(|| NOBODY.to_owned())
            }
        }
    }

    async fn is_going_on(&self, run: &str) -> queue::Result<bool> {
        match self.queue.run(run).await {
            Ok(view) => Ok(!view.state.is_final()),
            Err(queue::Error::UnknownRun(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn tick(&self, known: &ScheduleView, planned: u64) -> Tick {
        Tick { schedule: self.entry.name.clone(), planned: Some(planned), after: known.handled }
    }

    async fn missed(&mut self, known: &ScheduleView, tick: u64, missed: u64, why: &str) -> queue::Result<Look> {
        let pass = Pass::Missed { count: missed, why };
        if self.queue.pass_tick(&self.tick(known, tick), pass, SCHEDULE_MISSED, &self.about).await? {
            count(&self.entry.name, "missed", missed);
            tracing::error!(schedule = self.entry.name, tick = self.timetable.local(tick), missed, why, "missed");
        }
        self.done = tick;
        Ok(Look::Now)
    }

    async fn skipped(&mut self, known: &ScheduleView, tick: u64, running: &str) -> queue::Result<Look> {
        let pass = Pass::Skipped { running };
        if self.queue.pass_tick(&self.tick(known, tick), pass, SCHEDULE_SKIPPED, &self.about).await? {
            count(&self.entry.name, "skipped", 1);
            tracing::warn!(schedule = self.entry.name, tick = self.timetable.local(tick), running, "skipped");
        }
        self.done = tick;
        Ok(Look::Now)
    }

    async fn fire(&mut self, known: &ScheduleView, tick: u64) -> queue::Result<Look> {
        let begun = Instant::now();
        let fired = match tokio::time::timeout(self.patience, self.submit(self.tick(known, tick))).await {
            Ok(fired) => fired,
            Err(_elapsed) => Err(Problem::unreachable("the agents did not answer in time")),
        };
        match fired {
            Ok(run) => {
                if let Some(run) = run {
                    count(&self.entry.name, "run", 1);
                    tracing::info!(
                        schedule = self.entry.name,
                        tick = self.timetable.local(tick),
                        run.id = run,
                        "fired"
                    );
                }
                self.done = tick;
                Ok(Look::Now)
            }
            Err(problem) => {
                tracing::warn!(schedule = self.entry.name, %problem, "could not be fired");
                let before = self.attempt.take().filter(|attempt| attempt.tick == tick);
                let wait = before.as_ref().map_or(RETRY.0, |attempt| (attempt.wait * 2).min(RETRY.1));
                let begun = before.map_or(begun, |attempt| attempt.begun);
                self.attempt = Some(Attempt { tick, begun, problem, wait });
                Ok(Look::After(wait.min(self.patience)))
            }
        }
    }

    /// The run of a tick, if it is us who made it.
    async fn submit(&self, tick: Tick) -> Result<Option<String>, Problem> {
        let run = (self.make)(tick).await?;
        Ok(match submit_surely(&self.queue, &run).await? {
            Submitted::Granted | Submitted::Waiting { .. } | Submitted::AlreadyThere => Some(run.id),
            // A run that waits already does it for both; or another scheduler was first.
            Submitted::Same { .. } | Submitted::Handled | Submitted::Refused(_) => None,
        })
    }
}
