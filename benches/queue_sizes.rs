//! Large runs in the queue: how many bytes of Redis a job takes wherever it is, and the longest that any one call keeps
//! Redis busy, over the whole life of a run of 500,000 jobs after 10,000 others.

mod figures;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use figures::{Figure, publish};
use queue::by_hand::WorkerByHand;
use queue::{NewJob, NewRun, Outcome, Queue, RunState, Settings, Verdict};
use redis::aio::MultiplexedConnection;

const JOBS: usize = 500_000;
const PAYLOAD: usize = 200;
const RUNS_BEFORE: usize = 10_000;
const LARGE_JOBS: usize = 100;
const LARGE_PAYLOAD: usize = 1 << 20;
/// The most that is handed out at a time.
const WINDOW: u16 = 256;
/// The most that a worker claims and settles in one call.
const AT_ONCE: usize = 100;
/// No call is to keep Redis busy for longer, in milliseconds.
const LONGEST: f64 = 5.0;

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("redis.sock");
    let _redis = Redis::start(folder.path(), &socket)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let figures = runtime.block_on(measure(&format!("unix://{}", socket.display())))?;
    publish("queue-sizes", "bytes: the payload; times: what is wanted", &figures)
}

struct Redis(Child);

impl Redis {
    fn start(folder: &Path, socket: &Path) -> Result<Self> {
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--slowlog-log-slower-than", "5000", "--slowlog-max-len", "100"]);
        command.args(["--latency-tracking-info-percentiles", "50 99 100"]);
        command.arg("--unixsocket").arg(socket).arg("--dir").arg(folder).stdout(Stdio::null());
        Ok(Self(command.spawn().context("redis-server is not there: make setup")?))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Bench {
    queue: Queue,
    worker: WorkerByHand,
    raw: MultiplexedConnection,
    figures: Vec<Figure>,
}

async fn measure(url: &str) -> Result<Vec<Figure>> {
    let settings = Settings { lease: Duration::from_secs(3600), ..Settings::new(url) };
    let queue = connect(&settings).await?;
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(60)));
    let raw = redis::Client::open(url)?.get_multiplexed_async_connection_with_config(&patient).await?;
    let worker = WorkerByHand::new(&queue, "bench", &["a", "b"]).await?;
    let mut bench = Bench { queue, worker, raw, figures: Vec::new() };
    bench.history().await?;
    bench.life_of_a_large_run().await?;
    bench.end_of_a_large_run().await?;
    bench.slow_calls().await?;
    bench.large_jobs().await?;
    Ok(bench.figures)
}

async fn connect(settings: &Settings) -> Result<Queue> {
    for _ in 0..100 {
        if let Ok((queue, _)) = Queue::connect(settings.clone()).await {
            return Ok(queue);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(Queue::connect(settings.clone()).await?.0)
}

fn run_of(count: usize, payload: usize, window: u16) -> NewRun {
    let job = |number: usize| NewJob::new(format!("job-{number:07}"), "plain", vec![b'x'; payload]);
    NewRun { window, ..NewRun::new("a", "b").stage("all", (0..count).map(job).collect()) }
}

impl Bench {
    async fn history(&mut self) -> Result<()> {
        for _ in 0..RUNS_BEFORE {
            self.queue.submit(&run_of(1, PAYLOAD, WINDOW)).await?;
            self.drain().await?;
        }
        self.longest(&format!("in {RUNS_BEFORE} runs of one job")).await
    }

    async fn life_of_a_large_run(&mut self) -> Result<()> {
        let run = run_of(JOBS, PAYLOAD, WINDOW);
        let without = self.memory().await?;
        self.queue.submit(&run).await?;
        self.bytes("waiting", JOBS, without).await?;
        self.longest(&format!("of a submit of {JOBS} jobs")).await?;

        let waiting = self.memory().await?;
        let claims = self.worker.claim("b", usize::from(WINDOW)).await?;
        ensure!(claims.len() == usize::from(WINDOW), "{} jobs were claimed", claims.len());
        self.bytes_more("claimed, beside the waiting ones", claims.len(), waiting).await?;
        for some in claims.chunks(AT_ONCE) {
            self.worker.extend(&some.iter().collect::<Vec<_>>(), true).await?;
        }
        for _ in 0..20 {
            self.worker.tick().await?;
            self.worker.reclaim().await?;
            self.queue.run(&run.id).await?;
            self.queue.runs(50).await?;
            self.queue.pause(&run.id).await?;
            self.queue.resume(&run.id).await?;
        }
        self.longest("of looking, ticking, pausing").await?;

        let done = |claim| (claim, Verdict::Done(Outcome::default().count("rows", 1)));
        for some in claims.chunks(AT_ONCE) {
            self.worker.settle(some.iter().map(done).collect()).await?;
        }
        self.drain().await?;
        let view = self.queue.run(&run.id).await?;
        ensure!(view.state == RunState::Finished && view.counters["rows"] == JOBS as i64, "{view:?}");
        self.longest(&format!("of claiming and settling, {AT_ONCE} at a time")).await?;
        self.bytes("done, of the whole run", JOBS, without).await
    }

    async fn end_of_a_large_run(&mut self) -> Result<()> {
        let run = run_of(JOBS, PAYLOAD, WINDOW);
        self.queue.submit(&run).await?;
        self.reset().await?;
        self.queue.cancel(&run.id, "bench").await?;
        self.longest(&format!("of a cancel of {JOBS} jobs")).await
    }

    /// What nobody should do, and what it costs.
    async fn large_jobs(&mut self) -> Result<()> {
        let run = run_of(LARGE_JOBS, LARGE_PAYLOAD, 4);
        self.queue.submit(&run).await?;
        self.longest_of("of a submit of jobs of 1 MiB", None).await?;
        self.drain().await?;
        self.longest_of("of claiming and settling jobs of 1 MiB, 4 at a time", None).await
    }

    /// Does whatever is there to do.
    async fn drain(&mut self) -> Result<()> {
        loop {
            let claims = self.worker.claim("b", AT_ONCE).await?;
            if claims.is_empty() {
                return Ok(());
            }
            let done = |claim| (claim, Verdict::Done(Outcome::default().count("rows", 1)));
            self.worker.settle(claims.iter().map(done).collect()).await?;
        }
    }

    async fn info(&mut self, section: &str) -> Result<redis::InfoDict> {
        Ok(redis::cmd("INFO").arg(section).query_async(&mut self.raw).await?)
    }

    /// Once everything that was unlinked is freed.
    async fn memory(&mut self) -> Result<f64> {
        loop {
            let memory = self.info("memory").await?;
            if memory.get::<u64>("lazyfree_pending_objects") == Some(0) {
                return memory.get("used_memory").context("INFO tells the memory");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn bytes(&mut self, place: &str, jobs: usize, before: f64) -> Result<()> {
        let each = (self.memory().await? - before) / jobs as f64;
        let wanted = if place == "waiting" { 2.0 } else { 0.1 };
        self.figure(format!("bytes per job {place}"), each.max(0.0), "B", PAYLOAD as f64, Some(wanted));
        Ok(())
    }

    async fn bytes_more(&mut self, place: &str, jobs: usize, before: f64) -> Result<()> {
        let each = (self.memory().await? - before) / jobs as f64;
        self.figure(format!("bytes per job {place}"), each.max(0.0), "B", PAYLOAD as f64, None);
        Ok(())
    }

    fn figure(&mut self, name: String, value: f64, unit: &'static str, limit: f64, wanted: Option<f64>) {
        self.figures.push(Figure::new(name, value, unit, limit, wanted.map(|most| 0.0..=most)));
    }

    async fn reset(&mut self) -> Result<()> {
        Ok(redis::cmd("CONFIG").arg("RESETSTAT").exec_async(&mut self.raw).await?)
    }

    /// The longest any script or read has taken since the last figure, and all but one in a hundred: on a busy machine
    /// the first also tells how long Redis had to wait for a processor.
    async fn longest(&mut self, name: &str) -> Result<()> {
        self.longest_of(name, Some(1.0)).await
    }

    async fn longest_of(&mut self, name: &str, wanted: Option<f64>) -> Result<()> {
        let stats: String = redis::cmd("INFO").arg("latencystats").query_async(&mut self.raw).await?;
        let of = |line: &str, percentile: &str| {
            let (command, times) = line.split_once(':')?;
            let ours = command.ends_with("_evalsha") || command.ends_with("_xreadgroup");
            let time = times.split(percentile).nth(1)?.split(',').next()?;
            time.trim().parse::<f64>().ok().filter(|_| ours)
        };
        for (percentile, which) in [("p99=", "99 of 100 calls"), ("p100=", "longest call")] {
            let time = stats.lines().filter_map(|line| of(line, percentile)).fold(0.0, f64::max);
            self.figure(format!("{which} {name}"), time / 1000.0, "ms", LONGEST, wanted);
        }
        self.reset().await
    }

    /// What the server itself calls slow, over all of it.
    async fn slow_calls(&mut self) -> Result<()> {
        let slow: Vec<redis::Value> = redis::cmd("SLOWLOG").arg(&["GET", "100"]).query_async(&mut self.raw).await?;
        for call in slow.iter().take(5) {
            println!("slow: {}", format!("{call:?}").chars().take(300).collect::<String>());
        }
        self.figure("calls in SLOWLOG at 5 ms".into(), slow.len() as f64, "", 1.0, Some(0.0));
        Ok(())
    }
}
