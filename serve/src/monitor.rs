//! What goes on, looked at once a second for all pages together, and how it was over the last hours.
//!
//! Pages read what is remembered here, so what they cost does not follow the number of runs, agents or readers. Everything
//! is in memory and bounded; another process remembers its own, and a new one begins anew.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use producer::schedules::{self, ScheduleReport};
use producer::{NotificationReport, Problem, Status, check, notification_reports, now, utc};
use protocol::api::Manifest;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::hooks::{self, Trouble};
use crate::state::{Serving, Shared};

mod series;

pub use series::Series;

/// How often the queue is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often each agent is asked.
const ASK: Duration = Duration::from_secs(15);
/// An agent that takes longer is as good as away.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long curves of depth remember, in milliseconds.
const REMEMBERED: u64 = 6 * 60 * 60 * 1000;
/// How many runs have a curve of their throughput: the latest.
const RUNS: usize = 100;

/// What an agent said of itself, and when it was asked.
#[derive(Debug, Clone)]
pub struct Health {
    pub asked: String,
    pub answer: Result<Arc<Manifest>, Problem>,
}

/// What was found the last time.
#[derive(Debug, Clone, Default)]
pub struct Outlook {
    /// None before the first look.
    pub status: Option<Arc<Status>>,
    /// Why the latest look found nothing; `status` is then an earlier one.
    pub problem: Option<String>,
    /// By instance.
    pub health: BTreeMap<String, Health>,
    /// Of the config, in its order.
    pub schedules: Vec<ScheduleReport>,
    /// What hooks were to push, and nothing became of.
    pub troubles: Vec<Trouble>,
    pub notifications: Vec<NotificationReport>,
    /// Open jobs, by target.
    pub depth: BTreeMap<String, Series>,
    /// By run.
    pub throughput: BTreeMap<String, Throughput>,
}

/// How fast a run went, a second each.
#[derive(Debug, Clone, Default)]
pub struct Throughput {
    pub items: Series,
    pub bytes: Series,
}

#[derive(Default)]
pub struct Monitor(RwLock<Outlook>);

/// Looks until the server stops.
pub async fn watch(shared: Shared) {
    let (mut look, mut ask) = (ticks(LOOK), ticks(ASK));
    let looks = async {
        loop {
            look.tick().await;
            shared.monitor.look(&shared).await;
        }
    };
    let asks = async {
        loop {
            ask.tick().await;
            join_all(shared.config.instances.keys().map(|instance| shared.monitor.ask(&shared, instance))).await;
        }
    };
    tokio::select! {
        () = looks => {}
        () = asks => {}
        () = shared.stop.cancelled() => {}
    }
}

/// What comes too late comes once.
fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

impl Monitor {
    /// What is remembered, as `read` wants it.
    pub fn read<T>(&self, read: impl FnOnce(&Outlook) -> T) -> T {
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, write: impl FnOnce(&mut Outlook)) {
        write(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Asks an agent now.
    pub async fn ask(&self, serving: &Serving, instance: &str) {
        let answer = match tokio::time::timeout(PATIENCE, check(&serving.directory, instance)).await {
            Ok(answer) => answer.map(Arc::new),
            Err(_) => Err(Problem::unreachable(format!("{instance} does not answer within {PATIENCE:?}"))),
        };
        let health = Health { asked: utc(now()), answer };
        self.write(|outlook| drop(outlook.health.insert(instance.to_owned(), health)));
    }

    /// Looks and asks now, for a page about one instance that somebody has just done something with.
    pub async fn refresh(&self, serving: &Serving, instance: &str) {
        tokio::join!(self.ask(serving, instance), self.look(serving));
    }

    async fn look(&self, serving: &Serving) {
        let schedules = schedules::list(&serving.config, &serving.queue, SystemTime::now()).await;
        let troubles = hooks::troubles(&serving.config.hooks, &serving.queue).await;
        let notifications = notification_reports(&serving.queue).await;
        let looked = serving.status().await.and_then(|status| Ok((status, schedules?, troubles?, notifications?)));
        self.write(|outlook| match looked {
            Ok((status, schedules, troubles, notifications)) => {
                outlook.remember(status, now());
                outlook.schedules = schedules;
                outlook.troubles = troubles;
                outlook.notifications = notifications;
            }
            Err(problem) => outlook.problem = Some(problem.message),
        });
    }
}

impl Outlook {
    fn remember(&mut self, status: Arc<Status>, time: u64) {
        for target in &status.targets {
            let place = |name: &str| target.depth.get(name).and_then(serde_json::Value::as_u64).unwrap_or(0);
            let open: u64 = ["backlog", "ready", "claimed", "delayed"].into_iter().map(place).sum();
            let depth = self.depth.entry(target.target.clone()).or_default();
            depth.add(time, open as f64);
            depth.forget_before(time.saturating_sub(REMEMBERED));
            if let (Some(run), Some(progress)) = (&target.holder, &target.progress) {
                let throughput = self.throughput.entry(run.run.clone()).or_default();
                throughput.items.add(time, progress.items_per_second);
                throughput.bytes.add(time, progress.bytes_per_second);
            }
        }
        let known = |name: &String| status.targets.iter().any(|target| target.target == *name);
        self.depth.retain(|name, _| known(name));
        while self.throughput.len() > RUNS {
            // Ids of runs begin with the time they were made.
            self.throughput.pop_first();
        }
        self.status = Some(status);
        self.problem = None;
    }
}
