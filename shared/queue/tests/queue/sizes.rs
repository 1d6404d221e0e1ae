//! Large runs, large jobs, a long history. What a call costs is counted in commands, which no busy machine changes;
//! `make bench` measures times and bytes, and in full size.

use std::collections::BTreeSet;
use std::time::Duration;

use queue::by_hand::{WorkerByHand, send_ahead};
use queue::{NewJob, NewRun, Outcome, Queue, RunState, Settings, Submitted, Verdict};
use redis::aio::MultiplexedConnection;

use crate::raw_keys::RawKeys;
use crate::redis_server::TestRedis;
use crate::worker::{Worker, does, jobs, over};

/// More than one script takes.
const LARGE: usize = 2_500;

fn run_of(count: usize) -> NewRun {
    NewRun::new("a", "b").stage("all", jobs(count))
}

#[tokio::test]
async fn of_a_producer_that_dies_half_way_nothing_exists_and_what_it_sent_expires() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let mut raw = redis.raw().await;
    let before = RawKeys::read(&mut raw).await;
    let run = run_of(LARGE);
    send_ahead(&queue, &run).await.unwrap();

    assert!(queue.run(&run.id).await.is_err());
    assert!(queue.runs(10).await.unwrap().is_empty());
    assert_eq!(queue.depth("b").await.unwrap().open(), 0);
    worker.tick().await.unwrap();
    assert!(worker.claim("b", 10).await.unwrap().is_empty());
    let mut after = RawKeys::read(&mut raw).await;
    let sent: Vec<String> = after.0.keys().filter(|name| !before.0.contains_key(*name)).cloned().collect();
    assert_eq!(sent, [format!("{{cs}}:run:{}:backlog:1", run.id)]);
    assert!(after.expires(&sent[0]));
    after.0.remove(&sent[0]);

    // Starting again takes nothing twice.
    assert_eq!(queue.submit(&run).await.unwrap(), Submitted::Granted);
    assert!(!RawKeys::read(&mut raw).await.expires(&sent[0]), "jobs of a run that exists stay");
    assert_eq!(queue.submit(&run).await.unwrap(), Submitted::AlreadyThere);
    let mut seen = BTreeSet::new();
    loop {
        let claims = worker.claim("b", 500).await.unwrap();
        if claims.is_empty() {
            break;
        }
        assert!(claims.iter().all(|claim| seen.insert(claim.job.id.clone())), "a job was doubled");
        worker.settle(claims.iter().map(|claim| (claim, Verdict::done())).collect()).await.unwrap();
    }
    assert_eq!(seen.len(), LARGE);
    assert_eq!(queue.run(&run.id).await.unwrap().state, RunState::Finished);
}

#[tokio::test]
async fn jobs_sent_ahead_of_a_run_that_is_not_taken_go_with_it() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    queue.submit(&run_of(1)).await.unwrap();
    let before = RawKeys::read(&mut redis.raw().await).await;
    let mut refused = run_of(LARGE);
    refused.if_busy = queue::IfBusy::Refuse;
    assert!(matches!(queue.submit(&refused).await.unwrap(), Submitted::Refused(_)));
    let after = RawKeys::read(&mut redis.raw().await).await;
    assert_eq!(after.differences(&before), [""; 0]);
}

/// How many commands Redis was given, those inside of scripts included.
async fn commands(raw: &mut MultiplexedConnection) -> u64 {
    let info: String = redis::cmd("INFO").arg("commandstats").query_async(raw).await.unwrap();
    let calls = |line: &str| line.split_once("calls=")?.1.split(',').next()?.parse::<u64>().ok();
    info.lines().filter_map(calls).sum()
}

/// What each call costs in the life of a run of so many jobs.
async fn costs(
    queue: &Queue,
    worker: &mut WorkerByHand,
    raw: &mut MultiplexedConnection,
    count: usize,
) -> Vec<(&'static str, u64)> {
    let run = run_of(count);
    let mut costs = Vec::new();
    let mut last = commands(raw).await;
    let mut note = async |name, raw: &mut MultiplexedConnection| {
        let now = commands(raw).await;
        costs.push((name, now - last));
        last = now;
    };
    queue.submit(&run).await.unwrap();
    note("submit", raw).await;
    let claims = worker.claim("b", 16).await.unwrap();
    note("claim", raw).await;
    let done = || Verdict::Done(Outcome::default().count("rows", 1));
    worker.settle(claims.iter().map(|claim| (claim, done())).collect()).await.unwrap();
    note("settle", raw).await;
    worker.tick().await.unwrap();
    note("tick", raw).await;
    queue.run(&run.id).await.unwrap();
    note("view", raw).await;
    queue.runs(20).await.unwrap();
    note("list", raw).await;
    queue.pause(&run.id).await.unwrap();
    note("pause", raw).await;
    queue.resume(&run.id).await.unwrap();
    note("resume", raw).await;
    worker.claim("b", 4).await.unwrap();
    note("claim some", raw).await;
    queue.cancel(&run.id, "somebody").await.unwrap();
    note("cancel", raw).await;
    costs
}

#[tokio::test]
async fn what_a_call_costs_depends_neither_on_the_size_of_a_run_nor_on_how_many_there_were() {
    let redis = TestRedis::start().await;
    // Nothing lapses meanwhile.
    let queue = redis.queue_with(Settings { lease: Duration::from_secs(600), ..redis.settings() }).await;
    let mut raw = redis.raw().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    // So that both lists show as many.
    for _ in 0..20 {
        let few = run_of(0);
        queue.submit(&few).await.unwrap();
    }
    // Redis learns the scripts.
    costs(&queue, &mut worker, &mut raw, LARGE).await;
    let small = costs(&queue, &mut worker, &mut raw, LARGE).await;
    for _ in 0..1_000 {
        queue.submit(&run_of(0)).await.unwrap();
    }
    let large = costs(&queue, &mut worker, &mut raw, 50_000).await;
    assert_eq!(small[1..], large[1..]);
    // Each piece is one call of a few commands: per thousand jobs, not per job.
    let per_thousand = (large[0].1 - small[0].1) as f64 / ((50_000 - LARGE) as f64 / 1000.0);
    assert!(per_thousand < 15.0, "{per_thousand} commands for each thousand jobs");
}

#[tokio::test]
async fn jobs_of_a_mebibyte_come_and_go_like_small_ones() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let payload = |number: usize| -> Vec<u8> { (0..1 << 20).map(|at| ((at * 31) ^ number) as u8).collect() };
    let handler = does(move |job, _| async move {
        let number: usize = job.id.parse().unwrap();
        if job.payload != payload(number) {
            return Verdict::Fail { error: "another payload".into() };
        }
        if job.attempts == 0 && number.is_multiple_of(3) { Verdict::retry("once more") } else { Verdict::done() }
    });
    let worker = Worker::start(&queue, &["a", "b"], handler);
    let large = (0..24).map(|number| NewJob::new(number.to_string(), "large", payload(number))).collect();
    let run = NewRun::new("a", "b").stage("all", large);
    queue.submit(&run).await.unwrap();
    let view = over(&queue, &run.id).await;
    assert_eq!((view.state, view.error), (RunState::Finished, None));
    // Nothing of them is left.
    let kept: u64 = redis::cmd("MEMORY")
        .arg(&["USAGE", "{cs}:target:b:jobs", "SAMPLES", "0"])
        .query_async(&mut redis.raw().await)
        .await
        .unwrap();
    assert!(kept < 100_000, "{kept} bytes for a stream without jobs");
    worker.stop().await;
}
