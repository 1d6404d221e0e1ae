//! 100 targets and 1,000 runs that wait for them: what that costs in Redis, printed (`make load-queue`), and that it does not
//! follow the number of those who wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use queue::by_hand::WorkerByHand;
use queue::{NewJob, NewRun, Outcome, Queue, RunState, Verdict};
use redis::aio::MultiplexedConnection;

use crate::redis_server::TestRedis;
use crate::worker::{Worker, does, settings};

const TARGETS: usize = 100;
const RUNS: usize = 1000;
const JOBS: usize = 10;
const PAYLOAD: usize = 200;

/// What a waiting run with its jobs may take of Redis, beside their payloads.
const BYTES_OF_A_RUN: f64 = 4096.0;

struct Crowd {
    queue: Queue,
    raw: MultiplexedConnection,
}

impl Crowd {
    async fn info<T: redis::FromRedisValue>(&mut self, section: &str, name: &str) -> T {
        let info: redis::InfoDict = redis::cmd("INFO").arg(section).query_async(&mut self.raw).await.unwrap();
        info.get(name).unwrap()
    }

    /// Once everything that was unlinked is freed.
    async fn memory(&mut self) -> f64 {
        while self.info::<u64>("memory", "lazyfree_pending_objects").await > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.info("memory", "used_memory").await
    }

    async fn commands(&mut self) -> u64 {
        let stats: String = redis::cmd("INFO").arg("commandstats").query_async(&mut self.raw).await.unwrap();
        let calls = |line: &str| line.split_once("calls=")?.1.split(',').next()?.parse::<u64>().ok();
        stats.lines().filter_map(calls).sum()
    }

    async fn scripts(&mut self) -> u64 {
        let stats: String = redis::cmd("INFO").arg("commandstats").query_async(&mut self.raw).await.unwrap();
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")).unwrap_or("0,");
        line.split(',').next().unwrap().parse().unwrap()
    }

    /// Prints how long scripts and reads have kept Redis busy since the last time.
    async fn busy(&mut self, of_what: &str) {
        let stats: String = redis::cmd("INFO").arg("latencystats").query_async(&mut self.raw).await.unwrap();
        for line in stats.lines().filter(|line| line.contains("_evalsha:") || line.contains("_xreadgroup:")) {
            let (command, microseconds) = line.split_once(':').unwrap();
            let command = command.trim_start_matches("latency_percentiles_usec_");
            println!("{of_what}: {command}, microseconds: {}", microseconds.trim());
        }
        redis::cmd("CONFIG").arg("RESETSTAT").exec_async(&mut self.raw).await.unwrap();
    }

    async fn submit(&mut self, runs: usize) {
        for number in 0..runs {
            let job = |number: usize| NewJob::new(format!("job-{number}"), "plain", vec![b'x'; PAYLOAD]);
            let target = format!("target-{}", number % TARGETS);
            let run = NewRun::new("source", target).stage("all", (0..JOBS).map(job).collect());
            self.queue.submit(&run).await.unwrap();
        }
    }

    /// Commands that one tick takes when nothing changes.
    async fn of_a_tick(&mut self, worker: &WorkerByHand) -> u64 {
        worker.tick().await.unwrap();
        let before = self.commands().await;
        worker.tick().await.unwrap();
        self.commands().await - before
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_runs_before_a_hundred_targets_cost_no_tick_more_and_all_get_done() {
    let redis = TestRedis::start_with(&["--latency-tracking-info-percentiles", "50 99 100"]).await;
    let queue = redis.queue().await;
    let mut crowd = Crowd { raw: redis.raw().await, queue: queue.clone() };
    let targets: Vec<String> = (0..TARGETS).map(|number| format!("target-{number}")).collect();
    let names: Vec<&str> = targets.iter().map(String::as_str).chain(["source"]).collect();

    // One run holds each target; then the others wait.
    let by_hand = WorkerByHand::new(&queue, "by-hand", &names).await.unwrap();
    crowd.submit(TARGETS).await;
    let (without, quiet) = (crowd.memory().await, crowd.of_a_tick(&by_hand).await);
    crowd.busy("before").await;
    crowd.submit(RUNS).await;
    crowd.busy("submits").await;
    let each = (crowd.memory().await - without) / RUNS as f64 - (JOBS * PAYLOAD) as f64;
    println!("a waiting run of {JOBS} jobs takes {each:.0} bytes, beside {} of payload", JOBS * PAYLOAD);
    assert!(each < BYTES_OF_A_RUN, "{each} bytes");

    let busy = crowd.of_a_tick(&by_hand).await;
    println!("a tick takes {busy} commands with {RUNS} runs in line, {quiet} with none");
    assert!(busy <= quiet, "{busy} commands, {quiet} before");
    for _ in 0..20 {
        by_hand.tick().await.unwrap();
        by_hand.reclaim().await.unwrap();
        queue.runs(50).await.unwrap();
    }
    crowd.busy("ticks, and lists of 50 runs").await;
    assert_eq!(queue.live_runs().await.unwrap().len(), TARGETS + RUNS);
    let calls = crowd.scripts().await;
    assert!(calls >= (TARGETS + RUNS) as u64 / 50, "{calls} calls keep Redis busy for long");
    crowd.busy("a view of all runs").await;
    by_hand.leave().await.unwrap();

    let executed = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let workers: Vec<Worker> = (0..4)
        .map(|_| {
            let executed = executed.clone();
            let handler = does(move |_, _| {
                executed.fetch_add(1, Ordering::Relaxed);
                async { Verdict::Done(Outcome::default().count("jobs", 1)) }
            });
            Worker::start_with(&queue, settings(&names), handler)
        })
        .collect();
    while redis::cmd("ZCARD").arg("{cs}:live").query_async::<usize>(&mut crowd.raw).await.unwrap() > 0 {
        assert!(begun.elapsed().as_secs() < 120, "they do not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{} jobs in {seconds:.1} s, by 4 workers of 8 slots", executed.load(Ordering::Relaxed));
    crowd.busy("drain").await;
    let ended = queue.runs(TARGETS + RUNS).await.unwrap();
    assert_eq!(ended.len(), TARGETS + RUNS);
    assert!(ended.iter().all(|run| run.state == RunState::Finished && run.counters["jobs"] == JOBS as i64));
    let kept = (crowd.memory().await - without) / RUNS as f64;
    println!("a run that is over takes {kept:.0} bytes until it expires");
    assert!(kept < BYTES_OF_A_RUN, "{kept} bytes");
    for worker in workers {
        worker.stop().await;
    }
}
