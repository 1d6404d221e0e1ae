//! The same jobs through the queue: submitted, fed, claimed, handled by a worker, settled and counted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use queue::{
    BoxFuture, ClaimedJob, Consumer, ConsumerSettings, Handler, JobContext, NewJob, NewRun, Queue, RunState, Settings,
    Verdict,
};
use tokio_util::sync::CancellationToken;

use crate::PAYLOAD;
use crate::server::Server;

/// The most jobs of a target that are handed out at a time; the worker has as many slots.
const WINDOW: u16 = 256;
/// What stays in Redis when all runs are over, without the prefix; `*` for a name.
const DOCUMENTED: [&str; 11] = [
    ":run:*",
    ":target:*:jobs",
    ":history",
    ":last",
    ":leases",
    ":targets",
    ":event-log",
    ":seq",
    ":counter",
    ":deployment",
    ":clock",
];

pub async fn connect(server: &Server) -> Result<Queue> {
    Ok(Queue::connect(Settings::new(server.url())).await?.0)
}

fn run(name: impl std::fmt::Display, jobs: usize) -> NewRun {
    let jobs = (0..jobs).map(|number| NewJob::new(format!("{name}-{number}"), "nothing", PAYLOAD)).collect();
    let mut run = NewRun::new("target", "target").stage("all", jobs);
    run.window = WINDOW;
    run
}

/// Runs of one job each, submitted one after the other.
pub async fn enqueue_one_by_one(queue: &Queue, jobs: usize) -> Result<f64> {
    let runs: Vec<NewRun> = (0..jobs).map(|number| run(number, 1)).collect();
    let begun = Instant::now();
    for run in &runs {
        queue.submit(run).await?;
    }
    Ok(jobs as f64 / begun.elapsed().as_secs_f64())
}

/// Jobs a second: submitting all in one run, and draining them with one worker.
pub async fn enqueue_in_bulk_and_drain(queue: &Queue, jobs: usize) -> Result<(f64, f64)> {
    let run = run("bulk", jobs);
    let begun = Instant::now();
    queue.submit(&run).await?;
    let enqueued = begun.elapsed();

    let mut events = queue.subscribe(queue.last_seq().await?);
    let begun = Instant::now();
    let worker = Worker::start(queue, Arc::new(Nothing));
    while let Some(event) = events.next().await {
        if event.run == run.id && event.name == run.events.finished {
            break;
        }
    }
    let drained = begun.elapsed();
    worker.stop().await?;
    let over = queue.run(&run.id).await?;
    ensure!(over.state == RunState::Finished, "the run ended as {}", over.state);
    let done: u64 = over.stages.iter().map(|stage| stage.done).sum();
    ensure!(done == jobs as u64, "{done} of {jobs} jobs were counted");
    Ok((jobs as f64 / enqueued.as_secs_f64(), jobs as f64 / drained.as_secs_f64()))
}

/// Milliseconds from just before a job is handed in until its handler starts: half of all waited no longer, and 99 in 100.
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
}

/// Runs of one job each, submitted at this rate.
pub async fn latency(queue: &Queue, jobs_per_second: u32, seconds: u32) -> Result<Latency> {
    let base = Instant::now();
    let waits = Arc::new(Waits { base, millis: Mutex::default() });
    let worker = Worker::start(queue, waits.clone());
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / jobs_per_second);
    let jobs = jobs_per_second * seconds;
    for number in 0..jobs {
        ticks.tick().await;
        let mut run = run(number, 1);
        let handed_in = u64::try_from(base.elapsed().as_nanos())?;
        run.stages[0].jobs[0].payload[..8].copy_from_slice(&handed_in.to_be_bytes());
        queue.submit(&run).await?;
    }
    while queue.depth("target").await?.open() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    worker.stop().await?;
    let mut millis = std::mem::take(&mut *waits.millis.lock().unwrap_or_else(PoisonError::into_inner));
    ensure!(millis.len() == jobs as usize, "{} of {jobs} jobs were executed", millis.len());
    millis.sort_by(f64::total_cmp);
    Ok(Latency { p50: millis[millis.len() / 2], p99: millis[millis.len() * 99 / 100] })
}

/// Fails when there is a key that the documentation does not know, or a job anywhere.
pub fn check_what_is_left(server: &Server) -> Result<()> {
    let mut connection = server.connection()?;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection)?;
    for key in keys {
        let name = key.strip_prefix("{cs}").unwrap_or(&key);
        let fits = |pattern: &str| match pattern.split_once('*') {
            Some((start, end)) => {
                name.strip_prefix(start).and_then(|rest| rest.strip_suffix(end)).is_some_and(|rest| !rest.contains(':'))
            }
            None => name == pattern,
        };
        ensure!(DOCUMENTED.iter().any(|pattern| fits(pattern)), "{key} was left in Redis");
    }
    let jobs: u64 = redis::cmd("XLEN").arg("{cs}:target:target:jobs").query(&mut connection)?;
    ensure!(jobs == 0, "{jobs} jobs were left in the stream");
    Ok(())
}

struct Worker {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<queue::Result<()>>,
}

impl Worker {
    fn start(queue: &Queue, handler: Arc<dyn Handler>) -> Self {
        let settings = ConsumerSettings { concurrency: WINDOW.into(), ..ConsumerSettings::new(["target"]) };
        let stop = CancellationToken::new();
        let task = tokio::spawn(Consumer::new(queue.clone(), settings, handler).run(stop.clone()));
        Self { stop, task }
    }

    async fn stop(self) -> Result<()> {
        self.stop.cancel();
        Ok(self.task.await??)
    }
}

struct Nothing;

impl Handler for Nothing {
    fn handle(&self, _: ClaimedJob, _: JobContext) -> BoxFuture<'_, Verdict> {
        Box::pin(std::future::ready(Verdict::done()))
    }
}

/// Notes how long ago a job was handed in.
struct Waits {
    base: Instant,
    millis: Mutex<Vec<f64>>,
}

impl Handler for Waits {
    fn handle(&self, job: ClaimedJob, _: JobContext) -> BoxFuture<'_, Verdict> {
        let now = self.base.elapsed().as_nanos() as f64;
        let handed_in = job.payload.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)) as f64;
        self.millis.lock().unwrap_or_else(PoisonError::into_inner).push((now - handed_in) / 1e6);
        Box::pin(std::future::ready(Verdict::done()))
    }
}
