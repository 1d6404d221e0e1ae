//! Cases of docs/failure-cases.md that no other test of the queue is about.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use queue::by_hand::WorkerByHand;
use queue::{Ended, NewJob, NewRun, Outcome, Queue, RunState, Settings, Verdict};
use tokio::sync::Semaphore;

use crate::redis_server::TestRedis;
use crate::worker::{Worker, does, jobs, over, until};

const LEASE: &str = "{cs}:target:b:lease";
const JOBS: &str = "{cs}:target:b:jobs";

async fn command(redis: &TestRedis, words: &[&str]) {
    redis::cmd(words[0]).arg(&words[1..]).exec_async(&mut redis.raw().await).await.unwrap();
}

async fn lease_id(queue: &Queue, run: &NewRun) -> Option<String> {
    queue.run(&run.id).await.unwrap().lease_id
}

/// Case 10
#[tokio::test]
async fn the_lease_stays_while_all_workers_are_busy_elsewhere_or_only_delayed_retries_are_left() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut busy = WorkerByHand::new(&queue, "busy", &["a", "b"]).await.unwrap();
    let run = NewRun::new("a", "b").stage("all", jobs(2));
    queue.submit(&run).await.unwrap();
    let other = NewRun::new("a", "b").stage("all", jobs(1));
    queue.submit(&other).await.unwrap();
    let held = lease_id(&queue, &run).await;
    assert!(held.is_some());
    // It ticks, and takes nothing, for several leases.
    let ticks = async |worker: &WorkerByHand| {
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            worker.tick().await.unwrap();
            worker.reclaim().await.unwrap();
        }
    };
    ticks(&busy).await;
    assert_eq!(lease_id(&queue, &run).await, held);

    let claims = busy.claim("b", 2).await.unwrap();
    let later = || Verdict::Retry { error: "come back in two minutes".into(), after: Some(Duration::from_secs(120)) };
    busy.settle(claims.iter().map(|claim| (claim, later())).collect()).await.unwrap();
    ticks(&busy).await;
    let view = queue.run(&run.id).await.unwrap();
    assert_eq!((view.state, view.depth.delayed, view.lease_id), (RunState::Running, 2, held));
    assert_eq!(queue.run(&other.id).await.unwrap().state, RunState::Waiting);
}

/// Case 12
#[tokio::test]
async fn a_run_that_is_paused_for_hours_keeps_its_target_and_then_goes_on_to_its_end() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut first = WorkerByHand::new(&queue, "first", &["a", "b"]).await.unwrap();
    let run = NewRun::new("a", "b").stage("all", jobs(5));
    queue.submit(&run).await.unwrap();
    queue.submit(&NewRun::new("c", "b").stage("all", jobs(1))).await.unwrap();
    let claim = first.claim("b", 1).await.unwrap().remove(0);
    queue.pause(&run.id).await.unwrap();
    // Its worker is gone, and so is everybody else.
    first.leave().await.unwrap();
    command(&redis, &["HSET", LEASE, "expires", "1"]).await;
    redis.age("b", "first", &[&claim]).await;
    let mut next = WorkerByHand::new(&queue, "next", &["a", "b", "c"]).await.unwrap();
    assert_eq!(queue.run(&run.id).await.unwrap().state, RunState::Paused);
    assert!(next.claim("b", 9).await.unwrap().is_empty());
    queue.resume(&run.id).await.unwrap();
    let claims = next.claim("b", 9).await.unwrap();
    assert_eq!(claims.len(), 5);
    assert!(claims.iter().all(|claim| claim.job.run == run.id));
    next.settle(claims.iter().map(|claim| (claim, Verdict::done())).collect()).await.unwrap();
    assert_eq!(queue.run(&run.id).await.unwrap().state, RunState::Finished);
}

/// Case 13: each deploy kills its predecessor in the middle of its work.
#[tokio::test]
async fn three_rolling_kills_bury_nothing_that_is_healthy() {
    let redis = TestRedis::start().await;
    let queue = redis.queue_with(Settings { lease: Duration::from_millis(400), ..redis.settings() }).await;
    let run = NewRun::new("a", "b").stage("all", jobs(60));
    queue.submit(&run).await.unwrap();
    for deploy in 0..3 {
        let (done, stuck) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let (counter, seen) = (done.clone(), stuck.clone());
        let worker = Worker::start(
            &queue,
            &["a", "b"],
            does(move |_, _| {
                let (counter, seen) = (counter.clone(), seen.clone());
                async move {
                    if counter.fetch_add(1, Ordering::SeqCst) >= 10 {
                        seen.add_permits(1);
                        std::future::pending::<()>().await;
                    }
                    Verdict::Done(Outcome::default().count("rows", 1))
                }
            }),
        );
        let waited = tokio::time::timeout(Duration::from_secs(30), stuck.acquire()).await;
        assert!(waited.is_ok(), "deploy {deploy} has nothing to do");
        drop(worker);
    }
    let last =
        Worker::start(&queue, &["a", "b"], does(|_, _| async { Verdict::Done(Outcome::default().count("rows", 1)) }));
    let view = over(&queue, &run.id).await;
    assert_eq!((view.state, view.counters["rows"]), (RunState::Finished, 60));
    assert!(queue.dead(&run.id).await.unwrap().is_empty());
    last.stop().await;
}

/// Case 16: a replica that was cut off counts on from where it was, and so does its master.
#[tokio::test]
async fn two_servers_with_the_same_counter_never_make_the_same_lease() {
    let mut ids = Vec::new();
    for _ in 0..2 {
        let redis = TestRedis::start().await;
        let queue = redis.queue().await;
        let _worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
        let mut run = NewRun::new("a", "b").stage("all", jobs(1));
        run.id = "same-run".into();
        queue.submit(&run).await.unwrap();
        ids.push(lease_id(&queue, &run).await.unwrap());
    }
    let counter = |id: &str| id.split_once('.').unwrap().0.to_string();
    assert_eq!(counter(&ids[0]), counter(&ids[1]), "the counters are the same");
    assert_ne!(ids[0], ids[1]);
}

/// Case 16
#[tokio::test]
async fn after_a_restart_without_data_nothing_stale_settles_and_the_same_run_can_be_started_again() {
    let mut redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let run = NewRun::new("a", "b").stage("all", jobs(3));
    queue.submit(&run).await.unwrap();
    let before = worker.claim("b", 3).await.unwrap();
    redis.kill();
    redis.up().await;
    let queue = redis.queue().await;
    assert!(queue.run(&run.id).await.is_err());
    // The same names at the same places, so that only the lease tells them apart.
    let mut again = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    queue.submit(&run).await.unwrap();
    let claims = again.claim("b", 3).await.unwrap();
    assert_eq!(claims.len(), 3);
    for claim in &before {
        assert!(!again.settle_one(claim, Verdict::done()).await.unwrap());
    }
    assert_eq!(queue.run(&run.id).await.unwrap().depth.claimed, 3);
    again.settle(claims.iter().map(|claim| (claim, Verdict::done())).collect()).await.unwrap();
    assert_eq!(queue.run(&run.id).await.unwrap().state, RunState::Finished);
}

/// Case 17: the server hands out an entry although its reader is gone.
#[tokio::test]
async fn a_job_that_went_to_a_reader_who_was_gone_is_reclaimed() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let mut reader = redis.raw().await;
    let read = tokio::spawn(async move {
        let mut command = redis::cmd("XREADGROUP");
        command.arg(&["GROUP", "workers", "gone", "COUNT", "1", "BLOCK", "60000", "STREAMS", JOBS, ">"]);
        command.query_async::<redis::Value>(&mut reader).await
    });
    let blocked = || async {
        let info: String = redis::cmd("INFO").arg("clients").query_async(&mut redis.raw().await).await.unwrap();
        info.contains("blocked_clients:1").then_some(())
    };
    until("the reader blocks", blocked).await;
    let run = NewRun::new("a", "b").stage("all", vec![NewJob::new("one", "plain", "")]);
    queue.submit(&run).await.unwrap();
    until("it was handed out", || async { (queue.run(&run.id).await.unwrap().depth.claimed == 1).then_some(()) }).await;
    read.abort();
    let back = until("it is taken back", || async { (worker.reclaim().await.unwrap() == 1).then_some(()) });
    back.await;
    worker.tick().await.unwrap();
    let claims = worker.claim("b", 1).await.unwrap();
    assert!(worker.settle_one(&claims[0], Verdict::done()).await.unwrap());
    assert_eq!(queue.run(&run.id).await.unwrap().state, RunState::Finished);
}

/// Case 17: Lua hands no more than 8,000 values to one call.
#[tokio::test]
async fn nine_thousand_strays_in_a_work_stream_are_no_obstacle_to_a_cancel() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let _worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let run = NewRun::new("a", "b").stage("all", jobs(3));
    queue.submit(&run).await.unwrap();
    let mut strays = redis::pipe();
    for _ in 0..9_000 {
        strays.cmd("XADD").arg(&[JOBS, "*", "what", "is this"]).ignore();
    }
    strays.exec_async(&mut redis.raw().await).await.unwrap();
    assert!(matches!(queue.cancel(&run.id, "somebody").await.unwrap(), Ended::Now { closed: true, .. }));
    let left: u64 = redis::cmd("XLEN").arg(JOBS).query_async(&mut redis.raw().await).await.unwrap();
    assert_eq!((queue.run(&run.id).await.unwrap().state, left), (RunState::Cancelled, 0));
}
