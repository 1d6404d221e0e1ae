//! Redis' clock is set back or ahead by an hour, and nothing waits for an hour.

use std::time::Duration;

use queue::by_hand::{ClaimByHand, WorkerByHand};
use queue::{NewRun, Queue, Settings, Verdict};
use servers::say_skipped;

use crate::redis_server::TestRedis;
use crate::worker::{jobs, until};

const HOUR: i64 = 3600;
const LATER: Duration = Duration::from_millis(300);

async fn redis_with_clock(test: &str) -> Option<TestRedis> {
    let redis = TestRedis::start_with_clock().await;
    if redis.is_none() {
        say_skipped(test, "clocks are set through glibc, which this system has not");
    }
    redis
}

async fn submitted(queue: &Queue, count: usize) -> NewRun {
    let run = NewRun::new("a", "b").stage("all", jobs(count));
    queue.submit(&run).await.unwrap();
    run
}

/// What a worker claims that does what time brings.
async fn claims(worker: &mut WorkerByHand, count: usize) -> Vec<ClaimByHand> {
    let mut claims = Vec::new();
    for _ in 0..2000 {
        worker.tick().await.unwrap();
        worker.reclaim().await.unwrap();
        claims.extend(worker.claim("b", count).await.unwrap());
        if claims.len() == count {
            return claims;
        }
        let held: Vec<&ClaimByHand> = claims.iter().collect();
        worker.extend(&held, true).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("only {} of {count} jobs were handed out", claims.len());
}

#[tokio::test]
async fn what_is_delayed_waits_no_longer_when_redis_clock_is_set_back() {
    let Some(redis) = redis_with_clock("what_is_delayed_waits_no_longer_when_redis_clock_is_set_back").await else {
        return;
    };
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let run = submitted(&queue, 3).await;
    let verdicts = [
        Verdict::Retry { error: "not now".into(), after: Some(LATER) },
        Verdict::Return { after: Some(LATER), reason: "not me".into() },
        Verdict::Throttled { after: LATER, reason: "too much".into() },
    ];
    let claimed = claims(&mut worker, 3).await;
    assert_eq!(worker.settle(claimed.iter().zip(verdicts).collect()).await.unwrap(), [true; 3]);
    let before = queue.run(&run.id).await.unwrap();
    assert_eq!(before.depth.delayed, 3);
    redis.set_clock(-HOUR);
    // The target was eased: it gets its jobs one by one.
    for _ in 0..3 {
        let claimed = claims(&mut worker, 1).await;
        assert!(worker.settle_one(&claimed[0], Verdict::done()).await.unwrap());
    }
    let after = queue.run(&run.id).await.unwrap();
    assert!(after.state.is_final());
    assert!(after.updated > before.updated, "time went back, or stood still");
}

#[tokio::test]
async fn claims_and_lease_of_a_dead_worker_are_taken_over_when_redis_clock_is_set_back() {
    let test = "claims_and_lease_of_a_dead_worker_are_taken_over_when_redis_clock_is_set_back";
    let Some(redis) = redis_with_clock(test).await else { return };
    let queue = redis.queue().await;
    let mut dead = WorkerByHand::new(&queue, "dead", &["a", "b"]).await.unwrap();
    let run = submitted(&queue, 3).await;
    let lost = claims(&mut dead, 3).await;
    dead.extend(&[&lost[0]], true).await.unwrap();
    redis.set_clock(-HOUR);

    let mut heir = WorkerByHand::new(&queue, "heir", &["a", "b"]).await.unwrap();
    let taken = claims(&mut heir, 3).await;
    assert!(taken.iter().all(|claim| claim.job.crashes == 1));
    for claim in &taken {
        assert!(heir.settle_one(claim, Verdict::done()).await.unwrap());
    }
    assert!(!dead.settle_one(&lost[0], Verdict::done()).await.unwrap());
    assert!(queue.run(&run.id).await.unwrap().state.is_final());
    until("the dead one counts as such", || async {
        heir.tick().await.unwrap();
        (queue.workers().await.unwrap().len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_window_goes_on_learning_when_redis_clock_is_set_back() {
    let Some(redis) = redis_with_clock("the_window_goes_on_learning_when_redis_clock_is_set_back").await else {
        return;
    };
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let mut run = NewRun::new("a", "b").stage("all", jobs(60));
    run.window = 4;
    queue.submit(&run).await.unwrap();
    let first = claims(&mut worker, 4).await;
    redis.set_clock(-HOUR);
    worker.settle_one(&first[0], Verdict::Throttled { after: LATER, reason: "too much".into() }).await.unwrap();
    for claim in &first[1..] {
        worker.settle_one(claim, Verdict::done()).await.unwrap();
    }
    assert_eq!(queue.run(&run.id).await.unwrap().window_now, 2);
    for _ in 0..40 {
        let claimed = claims(&mut worker, 1).await;
        worker.settle_one(&claimed[0], Verdict::done()).await.unwrap();
    }
    assert_eq!(queue.run(&run.id).await.unwrap().window_now, 4);
}

/// Dead ones lose their claims all the same, a lease later.
#[tokio::test]
async fn a_jump_of_redis_clock_takes_nothing_from_live_workers() {
    let Some(redis) = redis_with_clock("a_jump_of_redis_clock_takes_nothing_from_live_workers").await else { return };
    let patient = || redis.queue_with(Settings { lease: Duration::from_secs(3), ..redis.settings() });
    let queue = patient().await;
    let mut live = WorkerByHand::new(&queue, "live", &["a", "b"]).await.unwrap();
    let run = submitted(&queue, 3).await;
    let mut held = claims(&mut live, 3).await;
    let lease = queue.run(&run.id).await.unwrap().lease_id;

    // Another process that can serve the run, and one that would rather see its own run there.
    let elsewhere = patient().await;
    let neighbour = WorkerByHand::new(&elsewhere, "neighbour", &["a", "b"]).await.unwrap();
    let stranger = WorkerByHand::new(&elsewhere, "stranger", &["c", "b"]).await.unwrap();
    queue.submit(&NewRun::new("c", "b").stage("all", jobs(1))).await.unwrap();
    for clock in [HOUR, -HOUR, 0] {
        redis.set_clock(clock);
        stranger.tick().await.unwrap();
        assert_eq!(neighbour.reclaim().await.unwrap(), 0);
        neighbour.tick().await.unwrap();
        assert_eq!(queue.run(&run.id).await.unwrap().lease_id, lease, "after {clock}");
        let claims: Vec<&ClaimByHand> = held.iter().collect();
        assert_eq!(live.extend(&claims, true).await.unwrap(), vec![true; held.len()]);
        live.tick().await.unwrap();
        let done = held.pop().unwrap();
        assert_eq!(done.job.crashes, 0);
        if !held.is_empty() {
            assert!(live.settle_one(&done, Verdict::done()).await.unwrap());
        }
    }
    until("the last claim is taken back", || async {
        neighbour.tick().await.unwrap();
        (neighbour.reclaim().await.unwrap() == 1).then_some(())
    })
    .await;
}
