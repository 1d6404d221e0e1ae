//! The worker's engine: claims jobs, hands them to the handler, settles what it answers, and keeps everything alive meanwhile.
//!
//! Five parts, each with one duty: the *claimer* reads jobs, a *job* task runs the handler, the *settler* reports results,
//! the *heart* extends claims, the *ticker* renews leases and reclaims. This file starts, watches and stops them.

mod claimer;
mod heart;
pub(crate) mod held;
mod job;
mod metrics;
mod settler;
mod ticker;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use self::held::{Held, Stop};
use crate::settlement::AT_ONCE;
use crate::{Error, Handler, Queue, Result};

/// How a worker works.
#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    /// The names this worker knows; it takes jobs of runs that require no others.
    pub instances: Vec<String>,
    /// The targets it reads jobs for; usually the same names.
    pub targets: Vec<String>,
    /// Jobs at a time.
    pub concurrency: usize,
    /// Shown to people.
    pub host: String,
    /// Shown to people.
    pub version: String,
    /// How long running jobs may take to finish after a stop was asked for.
    pub grace: Duration,
    /// How long a job may go without calling [`crate::JobContext::progress`].
    pub progress_deadline: Duration,
}

impl ConsumerSettings {
    /// A worker that knows these names and reads for all of them.
    pub fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let instances: Vec<String> = names.into_iter().map(Into::into).collect();
        Self {
            targets: instances.clone(),
            instances,
            concurrency: 16,
            host: "localhost".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            grace: Duration::from_secs(25),
            progress_deadline: Duration::from_secs(120),
        }
    }
}

/// A worker. Stateless: whatever it holds in memory, Redis knows.
pub struct Consumer {
    queue: Queue,
    settings: ConsumerSettings,
    handler: Arc<dyn Handler>,
    name: Arc<str>,
}

/// What the parts have in common.
struct Shared {
    queue: Queue,
    settings: ConsumerSettings,
    handler: Arc<dyn Handler>,
    name: Arc<str>,
    held: Held,
    slots: Arc<Semaphore>,
    /// The targets worth reading now.
    readable: watch::Sender<Vec<String>>,
    /// Of these, those that have a run.
    busy: Mutex<HashSet<String>>,
    /// Asks for a tick after this time.
    tick_in: mpsc::UnboundedSender<Duration>,
    /// Wakes the heart before its time.
    beat_now: Notify,
    /// Soft stop: no new claims.
    stopping: CancellationToken,
    /// The last job is settled: the parts that keep things alive may end.
    drained: CancellationToken,
}

impl Shared {
    fn tick_soon(&self, after: Duration) {
        // Without the ticker the whole consumer ends; there is nothing to add to that here.
        let _ = self.tick_in.send(after);
    }

    fn busy(&self) -> MutexGuard<'_, HashSet<String>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until the next tick finds another run there.
    fn stop_reading(&self, target: &str) {
        self.readable.send_modify(|targets| targets.retain(|one| one != target));
    }
}

impl Consumer {
    pub fn new(queue: Queue, settings: ConsumerSettings, handler: Arc<dyn Handler>) -> Self {
        // Unique to this process and this consumer: a name that comes back would inherit claims.
        let name = format!("{}-{}-{:08x}", settings.host, std::process::id(), rand::random::<u32>());
        Self { queue, settings, handler, name: name.into() }
    }

    /// The name under which this worker claims.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Works until `shutdown` is cancelled: then no new claims, unstarted ones go back at once, running jobs may finish
    /// within the grace time, and what is not done by then goes back (I9). An error means that a part broke.
    pub async fn run(self, shutdown: CancellationToken) -> Result<()> {
        let (tick_in, ticks) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            slots: Arc::new(Semaphore::new(self.settings.concurrency)),
            queue: self.queue,
            settings: self.settings,
            handler: self.handler,
            name: self.name,
            held: Held::default(),
            readable: watch::Sender::new(Vec::new()),
            busy: Mutex::default(),
            tick_in,
            beat_now: Notify::new(),
            stopping: shutdown.child_token(),
            drained: CancellationToken::new(),
        });
        metrics::start(&shared.settings.targets);
        // However this function ends, nothing of it lives on.
        let _end_of_all = shared.drained.clone().drop_guard();
        let _end_of_claims = shared.stopping.clone().drop_guard();

        let (results, settlements) = mpsc::channel(2 * AT_ONCE);
        let mut parts = Parts {
            ticker: tokio::spawn(ticker::run(shared.clone(), ticks)),
            heart: heart::spawn(shared.clone()),
            settler: tokio::spawn(settler::run(shared.clone(), settlements)),
            claimer: tokio::spawn(claimer::run(shared.clone(), results.clone())),
        };
        let jobs = parts.until_claimer_ends(&shared).await?;
        // Only now may the settler end with the last job.
        drop(results);
        parts.finish(&shared, jobs).await
    }
}

/// The owner of every task.
struct Parts {
    ticker: JoinHandle<Result<()>>,
    heart: JoinHandle<Result<()>>,
    settler: JoinHandle<()>,
    claimer: JoinHandle<Result<JoinSet<()>>>,
}

impl Parts {
    /// The claimer ends when a stop was asked for; any other end, of any part, is an error.
    async fn until_claimer_ends(&mut self, shared: &Shared) -> Result<JoinSet<()>> {
        let jobs = tokio::select! {
            ended = &mut self.claimer => ended.map_err(|error| Error::Broken("claimer", error.to_string()))?,
            ended = &mut self.ticker => Err(broken("ticker", ended)),
            ended = &mut self.heart => Err(broken("heart", ended)),
            ended = &mut self.settler => Err(Error::Broken("settler", format!("{ended:?}"))),
        }?;
        if !shared.stopping.is_cancelled() {
            return Err(Error::Broken("claimer", "it stopped claiming".into()));
        }
        Ok(jobs)
    }

    async fn finish(mut self, shared: &Shared, mut jobs: JoinSet<()>) -> Result<()> {
        let all_done = async { while jobs.join_next().await.is_some() {} };
        if tokio::time::timeout(shared.settings.grace, all_done).await.is_err() {
            tracing::warn!(jobs = jobs.len(), "the grace time is over; what still runs is handed back");
            shared.held.stop_all(Stop::GraceOver);
            // A future is dropped where it waits; one that never waits cannot be, and its claim lapses instead.
            let dropped = async { while jobs.join_next().await.is_some() {} };
            if tokio::time::timeout(Duration::from_secs(5), dropped).await.is_err() {
                jobs.abort_all();
            }
        }
        drop(jobs);
        // All senders are gone, so the settler ends when the last result is in Redis.
        let patience = shared.queue.settings().lease;
        if tokio::time::timeout(patience, &mut self.settler).await.is_err() {
            tracing::warn!("redis did not answer in time; what was done but not reported will be done again");
            self.settler.abort();
        }
        shared.drained.cancel();
        self.ticker.await.map_err(|error| Error::Broken("ticker", error.to_string()))??;
        self.heart.await.map_err(|error| Error::Broken("heart", error.to_string()))?
    }
}

fn broken(part: &'static str, ended: std::result::Result<Result<()>, tokio::task::JoinError>) -> Error {
    match ended {
        Ok(Ok(())) => Error::Broken(part, "it ended by itself".into()),
        Ok(Err(error)) => Error::Broken(part, error.to_string()),
        Err(error) => Error::Broken(part, error.to_string()),
    }
}
