//! One tick, one run: however many watch, whichever of them dies, whatever the clock does. The clock is a number that the test sets;
//! Redis is real.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::future::{Ready, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use config::{CatchUp, Overlap};
use queue::by_hand::WorkerByHand;
use queue::{NewJob, NewRun, Queue, RunState, Settings, Tick, TickOutcome};
use servers::{Program, Server};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::keeper::{Keeper, Look};
use super::timetable::Timetable;
use super::{Clock, milliseconds};
use crate::error::Problem;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The time, and how often it was looked at since it was set.
#[derive(Clone)]
struct SetClock(Arc<Mutex<(u64, usize)>>);

impl Clock for SetClock {
    fn now(&self) -> SystemTime {
        let (time, looks) = &mut *self.0.lock().unwrap();
        *looks += 1;
        UNIX_EPOCH + Duration::from_millis(*time)
    }
}

impl SetClock {
    fn set(&self, time: u64) {
        *self.0.lock().unwrap() = (time, 0);
    }

    /// Until all who watch have looked at it so often since it was set, taken together.
    async fn looked_at(&self, times: usize) {
        until("the clock is looked at", async || self.0.lock().unwrap().1 >= times).await;
    }
}

/// A Redis, a clock at noon of a day long ago, and a schedule.
struct World {
    server: Server,
    clock: SetClock,
    noon: u64,
    entry: config::Schedule,
    patience: Duration,
    /// Its runs are like each other, as those of a schedule are: one that waits does it for all.
    alike: bool,
    /// So many times making a run fails, in all.
    failures: Arc<AtomicUsize>,
}

/// One who watches; dropping it is its death.
struct Watcher(JoinHandle<()>);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl World {
    fn new() -> Self {
        let now = milliseconds(SystemTime::now());
        let noon = now - now % DAY - 100 * DAY + DAY / 2;
        let entry = config::Schedule {
            name: "nightly".into(),
            cron: "0 3 * * *".into(),
            time_zone: "UTC".into(),
            direction: protocol::run::Direction::Push,
            other: "b".into(),
            catch_up: CatchUp::None,
            overlap: Overlap::Queue,
            jitter: None,
            yes_i_mean: None,
            options: serde_json::Map::new(),
        };
        Self {
            server: Server::start(&Program::of_this_system(), &["--appendfsync", "always"]),
            clock: SetClock(Arc::new(Mutex::new((noon, 0)))),
            noon,
            entry,
            patience: Duration::from_secs(600),
            alike: false,
            failures: Arc::default(),
        }
    }

    /// The tick of the night that comes `nights` after the first one.
    fn night(&self, nights: u64) -> u64 {
        self.noon + 15 * HOUR + nights * DAY
    }

    async fn queue(&self) -> Queue {
        Queue::connect(Settings::new(self.server.url())).await.unwrap().0
    }

    /// Somebody who would watch.
    async fn keeper(&self) -> Keeper<impl Fn(Tick) -> Ready<Result<NewRun, Problem>> + Send + Sync + use<>> {
        let queue = self.queue().await;
        let (failures, alike) = (self.failures.clone(), self.alike);
        let make = move |tick: Tick| {
            let fails = failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            let mut run = NewRun::new("a", "b").stage("all", vec![NewJob::new("job", "nothing", "")]);
            run.labels.insert("tick".into(), tick.planned.into());
            run.dedup = alike.then(|| tick.schedule.clone());
            run.tick = Some(tick);
            ready(if fails { Err(Problem::unreachable("the agent is not there")) } else { Ok(run) })
        };
        let timetable = Timetable::of(&self.entry).unwrap();
        let (entry, clock) = (self.entry.clone(), Arc::new(self.clock.clone()));
        let about = r#""target":"b""#.to_owned();
        Keeper::new(entry, timetable, about, queue, clock, self.patience, make)
    }

    /// Somebody who watches, from when it has seen the schedule.
    async fn watcher(&self) -> Watcher {
        let queue = self.queue().await;
        let watcher = Watcher(tokio::spawn(self.keeper().await.keep(CancellationToken::new())));
        until("the schedule is watched", async || queue.schedule("nightly").await.unwrap().handled.is_some()).await;
        watcher
    }

    /// The ticks that have runs.
    async fn fired(&self) -> Vec<u64> {
        let runs = self.queue().await.runs(1000).await.unwrap();
        let mut ticks: Vec<u64> = runs.iter().map(|run| run.labels["tick"].as_u64().unwrap()).collect();
        ticks.sort_unstable();
        ticks
    }

    async fn until_fired(&self, ticks: &[u64]) {
        let queue = self.queue().await;
        let known = async || queue.schedule("nightly").await.unwrap().handled;
        until("the tick has had its turn", async || known().await == ticks.last().copied()).await;
        assert_eq!(self.fired().await, ticks);
    }

    /// What was missed: how many, and how many events said so.
    async fn missed(&self) -> (u64, usize) {
        let queue = self.queue().await;
        let events = queue.events_since(0).await.unwrap().events;
        let named = events.iter().filter(|event| event.name == "sync.schedule.missed").count();
        (queue.schedule("nightly").await.unwrap().missed_total, named)
    }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_watch_each_tick_is_one_run() {
    let world = World::new();
    let _watchers = [world.watcher().await, world.watcher().await, world.watcher().await];
    for nights in 0..3 {
        world.clock.set(world.night(nights) + 1);
        let expected: Vec<u64> = (0..=nights).map(|night| world.night(night)).collect();
        world.until_fired(&expected).await;
    }
    assert_eq!(world.missed().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_dies_at_the_tick_loses_none_and_doubles_none() {
    let world = World::new();
    let nights = 30;
    let mut watchers = vec![world.watcher().await, world.watcher().await];
    for night in 0..nights {
        world.clock.set(world.night(night) + 1);
        // They look every 250 ms: this one dies before, while or after it decides.
        tokio::time::sleep(Duration::from_millis(night * 17 % 300)).await;
        watchers.remove(0);
        watchers.push(world.watcher().await);
        let expected: Vec<u64> = (0..=night).map(|night| world.night(night)).collect();
        world.until_fired(&expected).await;
    }
    assert_eq!(world.missed().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_across_the_tick_fires_it_late_and_never_again() {
    let world = World::new();
    drop(world.watcher().await);
    world.clock.set(world.night(0) + 5 * MINUTE);
    let watcher = world.watcher().await;
    world.until_fired(&[world.night(0)]).await;
    drop(watcher);
    world.clock.set(world.night(0) + 6 * MINUTE);
    let _watcher = world.watcher().await;
    world.clock.set(world.night(1));
    world.until_fired(&[world.night(0), world.night(1)]).await;
    assert_eq!(world.missed().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nights_without_anybody_are_missed_and_said_so_once() {
    let world = World::new();
    drop(world.watcher().await);
    world.clock.set(world.night(2) + HOUR);
    let _watchers = [world.watcher().await, world.watcher().await];
    let queue = world.queue().await;
    until("they are missed", async || queue.schedule("nightly").await.unwrap().missed_total > 0).await;
    world.clock.set(world.night(3));
    world.until_fired(&[world.night(3)]).await;
    assert_eq!(world.missed().await, (3, 1));
    let missed = queue.schedule("nightly").await.unwrap().missed.unwrap();
    assert_eq!((missed.outcome, missed.tick), (TickOutcome::Missed, Some(world.night(2))));
    assert!(missed.why.unwrap().contains("nobody was there"));
}

#[tokio::test(flavor = "multi_thread")]
async fn caught_up_once_means_one_run_for_however_many_nights() {
    let mut world = World::new();
    world.entry.catch_up = CatchUp::Once;
    drop(world.watcher().await);
    world.clock.set(world.night(2) + HOUR);
    let _watchers = [world.watcher().await, world.watcher().await];
    world.until_fired(&[world.night(2)]).await;
    assert_eq!(world.missed().await, (2, 1), "the third is late, the two before are missed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_fires_nothing_twice() {
    let mut world = World::new();
    world.entry.cron = "0 * * * *".into();
    let first = world.noon + HOUR;
    let _watchers = [world.watcher().await, world.watcher().await];
    let mut expected = Vec::new();
    for hour in 0..3 {
        world.clock.set(first + hour * HOUR);
        expected.push(first + hour * HOUR);
        world.until_fired(&expected).await;
    }
    // Back before all of them, and through them once more.
    for hour in 0..3 {
        world.clock.set(first + hour * HOUR - 10 * MINUTE);
        world.clock.looked_at(6).await;
        world.clock.set(first + hour * HOUR + 1);
        world.clock.looked_at(6).await;
    }
    world.clock.set(first + 3 * HOUR);
    expected.push(first + 3 * HOUR);
    world.until_fired(&expected).await;
    assert_eq!(world.missed().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_ahead_shows_what_was_missed_and_back_again_nights_have_their_turn() {
    let world = World::new();
    let queue = world.queue().await;
    let _watcher = world.watcher().await;
    world.clock.set(world.night(0));
    world.until_fired(&[world.night(0)]).await;
    world.clock.set(world.night(9) + HOUR);
    until("they are missed", async || queue.schedule("nightly").await.unwrap().missed_total == 9).await;
    // The clock is right again: the next night is one of those that were called missed.
    world.clock.set(world.night(0) + HOUR);
    world.clock.looked_at(3).await;
    world.clock.set(world.night(1));
    world.until_fired(&[world.night(0), world.night(1)]).await;
    world.clock.set(world.night(2));
    world.until_fired(&[world.night(0), world.night(1), world.night(2)]).await;
    assert_eq!(world.missed().await, (9, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_due_by_redis_clock_either_is_not_fired() {
    let world = World::new();
    let mut keeper = world.keeper().await;
    world.clock.set(world.night(1000));
    assert!(matches!(keeper.decide().await.unwrap(), Look::After(_)));
    assert_eq!((world.fired().await, world.missed().await), (vec![], (0, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_that_cannot_be_fired_is_tried_again_and_in_the_end_missed_with_the_reason() {
    let mut world = World::new();
    world.failures.store(1, Ordering::SeqCst);
    let watcher = world.watcher().await;
    world.clock.set(world.night(0));
    world.until_fired(&[world.night(0)]).await;
    assert_eq!(world.missed().await, (0, 0));
    drop(watcher);
    world.patience = Duration::from_millis(300);
    world.failures.store(usize::MAX, Ordering::SeqCst);
    let _watcher = world.watcher().await;
    world.clock.set(world.night(1));
    let queue = world.queue().await;
    until("it is given up", async || queue.schedule("nightly").await.unwrap().missed_total == 1).await;
    let known = queue.schedule("nightly").await.unwrap();
    assert_eq!(known.missed.unwrap().why.as_deref(), Some("the agent is not there"));
    assert_eq!(world.fired().await, [world.night(0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_at_the_tick_gets_the_run_when_it_is_back() {
    let mut world = World::new();
    let _watcher = world.watcher().await;
    // It was made, has decided that there is nothing to do yet, and waits for the time.
    world.clock.looked_at(3).await;
    let _other = world.watcher().await;
    world.server.kill();
    world.clock.set(world.night(0));
    // Whoever sees that it is time finds no Redis.
    world.clock.looked_at(1).await;
    world.server.restart();
    world.until_fired(&[world.night(0)]).await;
    assert_eq!(world.missed().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_is_left_out_while_the_run_before_is_not_over() {
    let mut world = World::new();
    world.entry.overlap = Overlap::Skip;
    let _watcher = world.watcher().await;
    let queue = world.queue().await;
    world.clock.set(world.night(0));
    world.until_fired(&[world.night(0)]).await;
    world.clock.set(world.night(1));
    let last = async || queue.schedule("nightly").await.unwrap().last.unwrap();
    until("it is left out", async || last().await.outcome == TickOutcome::Skipped).await;
    let running = last().await.run.unwrap();
    queue.cancel(&running, "a test").await.unwrap();
    world.clock.set(world.night(2));
    world.until_fired(&[world.night(0), world.night(2)]).await;
    let events = queue.events_since(0).await.unwrap().events;
    let skipped: Vec<_> = events.iter().filter(|event| event.name == "sync.schedule.skipped").collect();
    assert_eq!(skipped.len(), 1);
    assert_eq!(skipped[0].body["running"], running.as_str());
    assert_eq!(world.missed().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_run_before_is_not_over_one_gets_in_line_for_all_ticks_meanwhile() {
    let mut world = World::new();
    world.alike = true;
    let _watcher = world.watcher().await;
    let queue = world.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    for nights in 0..4 {
        world.clock.set(world.night(nights));
        let handled = async || queue.schedule("nightly").await.unwrap().handled;
        until("the tick has had its turn", async || handled().await == Some(world.night(nights))).await;
        // The first has begun.
        worker.claim("b", 1).await.unwrap();
    }
    assert_eq!(world.fired().await, [world.night(0), world.night(1)]);
    let waits = queue.runs(1).await.unwrap()[0].id.clone();
    assert_eq!(queue.run(&waits).await.unwrap().state, RunState::Waiting);
    queue.cancel(&waits, "a test").await.unwrap();
    world.clock.set(world.night(4));
    world.until_fired(&[world.night(0), world.night(1), world.night(4)]).await;
    assert_eq!(world.missed().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_expression_begins_anew_and_leaves_nothing_missed() {
    let mut world = World::new();
    drop(world.watcher().await);
    world.clock.set(world.night(5) + HOUR);
    world.entry.cron = "0 4 * * *".into();
    let _watcher = world.watcher().await;
    world.clock.set(world.night(6) + HOUR);
    world.until_fired(&[world.night(6) + HOUR]).await;
    assert_eq!(world.missed().await, (0, 0));
}
