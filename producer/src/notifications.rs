//! Brings events to the entries `[[on]]` of a config. Each has a listener in the queue: its jobs are made by the script that
//! publishes the event, and whichever process has an entry of that name carries them out. So nothing is lost with a process,
//! and no sync waits for a mail server.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use config::Config;
use notifying::{Entry, Notice, SLOWEST};
use protocol::event;
use queue::{
    BoxFuture, ClaimedJob, Consumer, ConsumerSettings, Handler, JobContext, NewRun, Outcome, Queue, RetryPolicy,
    RunView, Verdict, WhenExhausted,
};
use serde::Serialize;
use serde_json::{Map, json};
use tokio_util::sync::CancellationToken;

use crate::error::Problem;

/// How often the queue is reminded of the entries: it may have lost its data.
const REMIND: Duration = Duration::from_secs(30);
/// Notifications at a time, of all entries and of one.
const AT_ONCE: usize = 8;
const WINDOW: u16 = 4;
/// How the names of listeners begin.
const PREFIX: &str = "on:";
/// Counts, of each, what was not left out by its filter.
const BROUGHT: &str = "brought";

/// Whether a worker that knows this name, or what looks like a run of it, brings notifications and no content.
pub fn is_listener(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The entries `[[on]]` of a config.
pub fn notifications(config: &Config) -> Result<Vec<Entry>, Problem> {
    let folder = config.file.parent().unwrap_or(Path::new("."));
    Entry::read_all(&config.on.0, &event::ALL, folder)
        .map_err(|error| Problem::usage(format!("{}: {error}", config.file.display())))
}

/// Brings notifications until `stop`, which may take as long as one that is under way.
pub async fn notify(queue: Queue, entries: Vec<Entry>, host: String, stop: CancellationToken) -> queue::Result<()> {
    if entries.is_empty() {
        stop.cancelled().await;
        return Ok(());
    }
    let slowest = entries.iter().map(Entry::time_limit).max().unwrap_or(SLOWEST);
    let settings = ConsumerSettings {
        concurrency: AT_ONCE,
        host,
        progress_deadline: slowest + Duration::from_secs(30),
        ..ConsumerSettings::new(entries.iter().map(target))
    };
    let notifier = Arc::new(Notifier { entries });
    let consumer = Consumer::new(queue.clone(), settings, notifier.clone());
    tokio::select! {
        ended = consumer.run(stop) => ended,
        never = remind(&queue, &notifier.entries) => match never {},
    }
}

/// From now on events become jobs of the entries they are about.
pub async fn listen(queue: &Queue, entries: &[Entry]) -> queue::Result<()> {
    for entry in entries {
        queue.submit(&listener(entry)).await?;
    }
    Ok(())
}

async fn remind(queue: &Queue, entries: &[Entry]) -> Infallible {
    loop {
        let mut pause = REMIND;
        if let Err(error) = listen(queue, entries).await {
            tracing::warn!(%error, "what is to be notified cannot be told to Redis; trying again");
            pause = Duration::from_secs(1);
        }
        tokio::time::sleep(pause).await;
    }
}

fn target(entry: &Entry) -> String {
    format!("{PREFIX}{}", entry.name())
}

fn listener(entry: &Entry) -> NewRun {
    let name = target(entry);
    let place = json!({ "name": name, "uri": "" });
    NewRun {
        window: WINDOW,
        labels: Map::from_iter([("source".into(), place.clone()), ("target".into(), place)]),
        ..NewRun::listener(name, entry.events().iter().map(ToString::to_string).collect())
    }
}

struct Notifier {
    entries: Vec<Entry>,
}

impl Handler for Notifier {
    fn handle(&self, job: ClaimedJob, _context: JobContext) -> BoxFuture<'_, Verdict> {
        Box::pin(self.bring(job))
    }

    /// For about five hours: long enough for a mail server that is down for a while.
    fn policy(&self, _job: &ClaimedJob) -> RetryPolicy {
        RetryPolicy {
            max_attempts: 20,
            base: Duration::from_secs(1),
            cap: Duration::from_secs(3600),
            when_exhausted: WhenExhausted::Bury,
        }
    }
}

impl Notifier {
    async fn bring(&self, job: ClaimedJob) -> Verdict {
        let named = |entry: &&Entry| job.target.strip_prefix(PREFIX) == Some(entry.name());
        let Some(entry) = self.entries.iter().find(named) else {
            return Verdict::Return { after: Some(REMIND), reason: "this process has no entry of that name".into() };
        };
        let json = String::from_utf8(job.payload).ok();
        let Some(notice) = json.and_then(|json| Notice::new(entry.name(), json)) else {
            return Verdict::Bury { error: "it is no event".into() };
        };
        if !entry.is_about(&notice.event) {
            return Verdict::done();
        }
        let Err(failure) = entry.carry_out(&notice).await else {
            tracing::info!(on = entry.name(), seq = job.id, "notified");
            return Verdict::Done(Outcome::default().count(BROUGHT, 1));
        };
        tracing::warn!(on = entry.name(), seq = job.id, attempt = job.attempts + 1, error = %failure, "not notified");
        match failure.lasting {
            true => Verdict::Bury { error: failure.why },
            false => Verdict::Retry { error: failure.why, after: failure.after },
        }
    }
}

/// One entry, as the queue knows it.
#[derive(Debug, Clone, Serialize)]
pub struct NotificationReport {
    pub name: String,
    /// A process that has the entry is alive.
    pub served: bool,
    /// Not yet brought, and of these those that failed and are tried again.
    pub open: u64,
    pub delayed: u64,
    pub dead: u64,
    /// So many were not kept, because too many waited.
    pub missed: u64,
    pub brought: i64,
    pub last_error: Option<String>,
}

/// The entries that processes have told the queue of, and what waits for them.
pub async fn notification_reports(queue: &Queue) -> Result<Vec<NotificationReport>, Problem> {
    let workers = queue.workers().await?;
    let report = |view: &RunView| NotificationReport {
        name: view.id.strip_prefix(PREFIX).unwrap_or(&view.id).to_owned(),
        served: workers.iter().any(|worker| worker.instances.contains(&view.target)),
        open: view.depth.open(),
        delayed: view.depth.delayed,
        dead: view.depth.dead,
        missed: view.missed,
        brought: view.counters.get(BROUGHT).copied().unwrap_or_default(),
        last_error: view.last_error.clone(),
    };
    Ok(queue.listeners().await?.iter().map(report).collect())
}
