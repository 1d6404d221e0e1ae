//! Schedules: what the config says is run by itself, and the task that does. Any number of processes run it: each tick is
//! decided about in Redis, once (`queue::Tick`), so nobody leads, and nobody is waited for.
//!
//! It must not execute anything: what it makes are runs like any other.

mod keeper;
mod listing;
#[cfg(test)]
mod tests;
mod timetable;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use config::Config;
use metrics::counter;
use protocol::directory::Directory;
use protocol::run::Direction;
use queue::{NewRun, Queue, Tick};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::error::{Problem, ProblemKind};
use crate::request::{SyncRequest, accepted, prepare, submit_surely};
use keeper::Keeper;
pub use listing::{ScheduleReport, TickReport, list};
use timetable::Timetable;

/// A tick that could not be fired for so long is missed, and so is one that is noticed so late.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// What time it is, for those who fire schedules.
pub trait Clock: Send + Sync {
    fn now(&self) -> SystemTime;
}

/// The clock of this machine.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A `[[schedule]]` that was understood.
#[derive(Debug, Clone)]
struct Schedule {
    entry: config::Schedule,
    timetable: Timetable,
}

/// What the config says of schedules is sound: their times, and what they are to bring.
pub fn check(config: &Config) -> Result<(), Problem> {
    schedules(config).map(drop)
}

fn schedules(config: &Config) -> Result<Vec<Schedule>, Problem> {
    config.schedules.iter().map(|entry| Schedule::of(entry, config)).collect()
}

/// The schedule of this name.
fn find(name: &str, config: &Config) -> Result<Schedule, Problem> {
    let Some(entry) = config.schedules.iter().find(|entry| entry.name == name) else {
        let known: Vec<&str> = config.schedules.iter().map(|entry| entry.name.as_str()).collect();
        let there_are = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let file = config.file.display();
        return Err(Problem::usage(format!("there is no [[schedule]] {name:?} in {file}; there are: {there_are}")));
    };
    Schedule::of(entry, config)
}

impl Schedule {
    fn of(entry: &config::Schedule, config: &Config) -> Result<Self, Problem> {
        let wrong = |problem: String| {
            Problem::usage(format!("{}: [[schedule]] {}: {problem}", config.file.display(), entry.name))
        };
        let timetable = Timetable::of(entry).map_err(wrong)?;
        let schedule = Self { entry: entry.clone(), timetable };
        let request = schedule.request(config, String::new()).map_err(|problem| wrong(problem.message))?;
        let (_, target) = schedule.ends(config);
        let is_protected = config.instances.get(target).is_some_and(|instance| instance.protect);
        if request.mirror.is_some() && is_protected && schedule.entry.yes_i_mean.is_none() {
            return Err(wrong(format!(
                "mirror deletes on {target}, which is protected: say that it may, yes_i_mean = {target:?}"
            )));
        }
        Ok(schedule)
    }

    /// What is asked for at this moment.
    fn request(&self, config: &Config, started_by: String) -> Result<SyncRequest, Problem> {
        let config::Schedule { direction, other, options, .. } = &self.entry;
        SyncRequest::asked(*direction, other, options.clone(), config, started_by)
    }

    /// Names of source and target.
    fn ends<'a>(&'a self, config: &'a Config) -> (&'a str, &'a str) {
        match self.entry.direction {
            Direction::Push => (&config.local, &self.entry.other),
            Direction::Pull => (&self.entry.other, &config.local),
        }
    }

    /// The run as it would be enqueued now, for a tick or by hand.
    async fn run(
        &self,
        tick: Tick,
        config: &Config,
        directory: &Directory,
        queue: &Queue,
        by_hand: Option<String>,
    ) -> Result<NewRun, Problem> {
        let name = &self.entry.name;
        let started_by = match by_hand {
            Some(person) => format!("{person} (schedule {name}, by hand)"),
            None => format!("schedule {name}"),
        };
        let request = self.request(config, started_by)?;
        let mut run = prepare(None, &request, config, directory, queue).await?;
        run.labels.insert("schedule".into(), name.clone().into());
        run.labels
            .insert("tick".into(), tick.planned.map_or(Value::Null, |planned| crate::report::utc(planned).into()));
        // A run of this schedule that has not begun will bring what this one would.
        run.dedup = Some(format!("schedule {name}"));
        run.tick = Some(tick);
        Ok(run)
    }
}

/// Fires all schedules of the config until it is told to stop.
pub async fn run(
    queue: Queue,
    config: Arc<Config>,
    directory: Directory,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<(), Problem> {
    let mut keepers = JoinSet::new();
    for schedule in schedules(&config)? {
        for outcome in OUTCOMES {
            count(&schedule.entry.name, outcome, 0);
        }
        let about = listing::about(&schedule, &config);
        let entry = schedule.entry.clone();
        let timetable = schedule.timetable.clone();
        let (queue, config, directory) = (queue.clone(), config.clone(), directory.clone());
        let make = {
            let queue = queue.clone();
            move |tick| {
                let (schedule, config, directory, queue) =
                    (schedule.clone(), config.clone(), directory.clone(), queue.clone());
                async move { schedule.run(tick, &config, &directory, &queue, None).await }
            }
        };
        let keeper = Keeper::new(entry, timetable, about, queue, clock.clone(), PATIENCE, make);
        keepers.spawn(keeper.keep(stop.clone()));
    }
    // Each watches for one schedule, so that none waits for another.
    while let Some(ended) = keepers.join_next().await {
        ended.map_err(|error| {
            Problem::new(ProblemKind::Failed, format!("a schedule is not watched any more: {error}"))
        })?;
    }
    stop.cancelled().await;
    Ok(())
}

/// Fires a schedule now, whatever time it is. Gives back the run's id.
pub async fn run_by_hand(
    name: &str,
    config: &Config,
    directory: &Directory,
    queue: &Queue,
    person: String,
) -> Result<String, Problem> {
    let schedule = find(name, config)?;
    let tick = Tick { schedule: name.into(), planned: None, after: None };
    let run = schedule.run(tick, config, directory, queue, Some(person)).await?;
    accepted(&run, submit_surely(queue, &run).await?)
}

/// What becomes of ticks, as metrics name it.
const OUTCOMES: [&str; 3] = ["run", "skipped", "missed"];

fn count(schedule: &str, outcome: &'static str, ticks: u64) {
    counter!("cockpit_sync_schedule_ticks_total", "schedule" => schedule.to_owned(), "outcome" => outcome)
        .increment(ticks);
}
