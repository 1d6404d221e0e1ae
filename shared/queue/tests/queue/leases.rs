//! Whose turn it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use queue::by_hand::WorkerByHand;
use queue::{IfBusy, NewJob, NewRun, Outcome, RunState, Submitted, Verdict};
use tokio::sync::Barrier;

use crate::redis_server::TestRedis;
use crate::worker::{Worker, does, jobs, over, until};

#[tokio::test]
async fn a_second_run_waits_its_turn_and_then_runs() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let runs: Vec<NewRun> = (0..4)
        .map(|number| {
            let mut run = NewRun::new("a", "b").stage("all", jobs(1));
            run.priority = if number == 3 { 5 } else { 0 };
            run
        })
        .collect();
    let mut answers = Vec::new();
    for run in &runs {
        answers.push(queue.submit(run).await.unwrap());
    }
    assert_eq!(answers[0], Submitted::Granted);
    assert_eq!(answers[1], Submitted::Waiting { position: 1 });
    assert_eq!(answers[2], Submitted::Waiting { position: 2 });
    assert_eq!(answers[3], Submitted::Waiting { position: 1 }, "the higher priority goes first");
    let reason = queue.explain(&runs[1].id).await.unwrap();
    assert!(reason.contains(&runs[0].id) && reason.contains("number 2 in line"), "{reason}");

    for number in [0, 3, 1, 2] {
        let claims = worker.claim("b", 10).await.unwrap();
        assert_eq!(claims[0].job.run, runs[number].id);
        worker.settle_one(&claims[0], Verdict::done()).await.unwrap();
        assert_eq!(queue.run(&runs[number].id).await.unwrap().state, RunState::Finished);
    }
}

#[tokio::test]
async fn a_refused_run_learns_who_is_in_the_way_and_leaves_nothing() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let mut first = NewRun::new("a", "b").stage("content", jobs(2));
    first.totals.insert("rows".into(), 10);
    queue.submit(&first).await.unwrap();
    let claims = worker.claim("b", 1).await.unwrap();
    worker.settle_one(&claims[0], Verdict::Done(Outcome::default().count("rows", 4))).await.unwrap();

    let mut second = NewRun::new("c", "b").stage("all", jobs(1));
    second.if_busy = IfBusy::Refuse;
    let Submitted::Refused(busy) = queue.submit(&second).await.unwrap() else { panic!("it was taken") };
    assert_eq!((busy.run.as_str(), busy.source.as_str(), busy.stage.as_str()), (first.id.as_str(), "a", "content"));
    assert_eq!((busy.counts, busy.totals), (vec![("rows".into(), 4)], vec![("rows".into(), 10)]));
    assert!(busy.since_ms > 0);
    assert!(queue.run(&second.id).await.is_err());
    assert_eq!(queue.submit(&first).await.unwrap(), Submitted::AlreadyThere);
}

#[tokio::test]
async fn two_targets_run_side_by_side() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    // Each job waits for one of the other target.
    let both = Arc::new(Barrier::new(2));
    let handler = does(move |_, _| {
        let both = both.clone();
        async move {
            both.wait().await;
            Verdict::done()
        }
    });
    let worker = Worker::start(&queue, &["a", "b", "c"], handler);
    let runs = [NewRun::new("a", "b").stage("all", jobs(1)), NewRun::new("a", "c").stage("all", jobs(1))];
    for run in &runs {
        queue.submit(run).await.unwrap();
    }
    for run in &runs {
        assert_eq!(over(&queue, &run.id).await.state, RunState::Finished);
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_stalled_lease_is_granted_anew_when_a_worker_appears() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut gone = WorkerByHand::new(&queue, "gone", &["a", "b"]).await.unwrap();
    let mut run = NewRun::new("a", "b").stage("all", jobs(3));
    run.open = Some(NewJob::new("open", "open", ""));
    queue.submit(&run).await.unwrap();
    let open = gone.claim("b", 1).await.unwrap();
    let outcome = Outcome { fence: Some(b"old".to_vec()), ..Outcome::default() };
    gone.settle_one(&open[0], Verdict::Done(outcome)).await.unwrap();
    let held = gone.claim("b", 1).await.unwrap();
    assert_eq!(held[0].job.fence, b"old");
    let stalled = until("the lease lapses", || async {
        let view = queue.run(&run.id).await.unwrap();
        (view.state == RunState::Stalled).then_some(view)
    })
    .await;
    assert!(queue.explain(&run.id).await.unwrap().starts_with("no worker knows a and b"));
    // It was made a moment after the lease, and while it looks alive nobody was away.
    redis.age("b", "gone", &[&held[0]]).await;

    let mut new = WorkerByHand::new(&queue, "new", &["a", "b"]).await.unwrap();
    let view = queue.run(&run.id).await.unwrap();
    assert_eq!(view.state, RunState::Running);
    assert_ne!(view.lease_id, stalled.lease_id);
    // It opens again before anything else, and the claim of the worker that died over it counts.
    let open = new.claim("b", 10).await.unwrap();
    assert_eq!(open.iter().map(|claim| claim.job.id.as_str()).collect::<Vec<_>>(), ["open"]);
    let outcome = Outcome { fence: Some(b"new".to_vec()), ..Outcome::default() };
    new.settle_one(&open[0], Verdict::Done(outcome)).await.unwrap();
    let claims = new.claim("b", 10).await.unwrap();
    let seen: Vec<_> = claims.iter().map(|claim| (claim.job.id.as_str(), claim.job.crashes)).collect();
    assert_eq!(seen, [("job-0", 1), ("job-1", 0), ("job-2", 0)]);
    assert!(claims.iter().all(|claim| claim.job.fence == b"new"));
    assert!(!gone.settle_one(&held[0], Verdict::done()).await.unwrap());
}

#[tokio::test]
async fn a_run_waits_for_a_worker_that_knows_what_it_requires() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let handler = || does(|_, _| async { Verdict::done() });
    let other = Worker::start(&queue, &["b", "c"], handler());
    let run = NewRun::new("a", "b").stage("all", jobs(3));
    until("the worker is announced", || async { (queue.workers().await.unwrap().len() == 1).then_some(()) }).await;
    assert_eq!(queue.submit(&run).await.unwrap(), Submitted::Waiting { position: 1 });
    assert_eq!(queue.explain(&run.id).await.unwrap(), "no worker knows a; 1 are alive");
    let one_that_knows = Worker::start(&queue, &["a", "b"], handler());
    assert_eq!(over(&queue, &run.id).await.state, RunState::Finished);
    other.stop().await;
    one_that_knows.stop().await;
    assert!(queue.workers().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_worker_hands_back_jobs_of_runs_it_does_not_know() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let wrongly = Arc::new(AtomicUsize::new(0));
    let count = wrongly.clone();
    let stranger = Worker::start(
        &queue,
        &["b", "c"],
        does(move |_, _| {
            count.fetch_add(1, Ordering::SeqCst);
            async { Verdict::done() }
        }),
    );
    until("the stranger is there", || async { (queue.workers().await.unwrap().len() == 1).then_some(()) }).await;
    // Granted thanks to a worker that knows, but does not read yet.
    let mut knows = WorkerByHand::new(&queue, "knows", &["a", "b"]).await.unwrap();
    let run = NewRun::new("a", "b").stage("all", jobs(20));
    queue.submit(&run).await.unwrap();
    let mut left = 20;
    while left > 0 {
        knows.tick().await.unwrap();
        for claim in knows.claim("b", 5).await.unwrap() {
            assert_eq!((claim.job.attempts, claim.job.crashes), (0, 0));
            assert!(knows.settle_one(&claim, Verdict::done()).await.unwrap());
            left -= 1;
        }
    }
    assert_eq!(over(&queue, &run.id).await.state, RunState::Finished);
    assert_eq!(wrongly.load(Ordering::SeqCst), 0);
    stranger.stop().await;
}

#[tokio::test]
async fn five_lost_fences_without_a_write_fail_the_run_with_the_holders_name() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let mut run = NewRun::new("a", "b").stage("all", jobs(50));
    run.open = Some(NewJob::new("open", "open", ""));
    queue.submit(&run).await.unwrap();
    let mut leases = std::collections::HashSet::new();
    let lost = || Verdict::FenceLost { holder: "run 77 of carol".into() };
    // A write in between makes the count start again.
    for round in 0..8 {
        let open = worker.claim("b", 10).await.unwrap();
        assert_eq!(open.len(), 1, "round {round}: nothing but the open job");
        assert!(leases.insert(open[0].job.lease_id.clone()), "each grant has another id");
        assert!(worker.settle_one(&open[0], Verdict::done()).await.unwrap());
        let claims = worker.claim("b", 3).await.unwrap();
        assert_eq!(claims[0].job.attempts, 0);
        if round == 3 {
            let wrote = Outcome { wrote: true, ..Outcome::default() };
            assert!(worker.settle_one(&claims[2], Verdict::Done(wrote)).await.unwrap());
        }
        // The second claim was revoked by the first, so it does not count as another loss.
        assert_eq!(worker.settle(vec![(&claims[0], lost()), (&claims[1], lost())]).await.unwrap(), [true, false]);
        let state = queue.run(&run.id).await.unwrap().state;
        assert_eq!(state, if round < 7 { RunState::Running } else { RunState::Failed }, "round {round}");
        if state == RunState::Failed {
            break;
        }
    }
    let view = queue.run(&run.id).await.unwrap();
    assert!(view.error.unwrap().contains("run 77 of carol"));
    assert_eq!(view.depth.open(), 0);
}
