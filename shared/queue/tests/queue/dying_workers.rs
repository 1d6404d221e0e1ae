//! Workers that die, hang, panic and stop; jobs that are none.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use queue::by_hand::WorkerByHand;
use queue::{NewJob, NewRun, Outcome, RunState, Settings, Verdict};
use tokio::sync::{Notify, Semaphore};

use crate::redis_server::TestRedis;
use crate::worker::{Worker, does, jobs, over, settings, until};

#[tokio::test]
async fn a_killed_worker_loses_no_job() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let taken = Arc::new(Semaphore::new(0));
    let seen = taken.clone();
    let doomed = Worker::start(
        &queue,
        &["a", "b"],
        does(move |_, _| {
            seen.add_permits(1);
            std::future::pending()
        }),
    );
    let run = NewRun::new("a", "b").stage("all", jobs(40));
    queue.submit(&run).await.unwrap();
    let _all_slots = taken.acquire_many(8).await.unwrap();
    drop(doomed);
    let crashes = Arc::new(AtomicUsize::new(0));
    let count = crashes.clone();
    let heir = Worker::start(
        &queue,
        &["a", "b"],
        does(move |job, _| {
            count.fetch_add(job.crashes as usize, Ordering::SeqCst);
            async { Verdict::Done(Outcome::default().count("rows", 1)) }
        }),
    );
    let view = over(&queue, &run.id).await;
    assert_eq!((view.state, view.counters["rows"]), (RunState::Finished, 40));
    assert_eq!(crashes.load(Ordering::SeqCst), 8, "the eight that were at work, once each");
    heir.stop().await;
}

#[tokio::test]
async fn killed_workers_leave_no_consumers_but_one_that_holds_jobs_stays_until_they_are_taken_back() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut raw = redis.raw().await;
    let run = NewRun::new("a", "b").stage("all", jobs(8));
    queue.submit(&run).await.unwrap();
    let mut consumers = async || {
        let mut asked = redis::cmd("XINFO");
        asked.arg(&["CONSUMERS", "{cs}:target:b:jobs", "workers"]);
        let consumers: Vec<BTreeMap<String, redis::Value>> = asked.query_async(&mut raw).await.unwrap();
        let name = |fields: &BTreeMap<String, redis::Value>| redis::from_redis_value_ref(&fields["name"]).unwrap();
        consumers.iter().map(name).collect::<Vec<String>>()
    };
    let mut killed = Vec::new();
    for number in 0..5 {
        let mut worker = WorkerByHand::new(&queue, &format!("killed-{number}"), &["a", "b"]).await.unwrap();
        let claims = worker.claim("b", 1).await.unwrap();
        assert!(worker.settle_one(&claims[0], Verdict::done()).await.unwrap());
        killed.push(worker);
    }
    let mut holding = WorkerByHand::new(&queue, "holding", &["a", "b"]).await.unwrap();
    let held = holding.claim("b", 1).await.unwrap();
    let mut alive = WorkerByHand::new(&queue, "living", &["a", "b"]).await.unwrap();
    let own = alive.claim("b", 1).await.unwrap();
    assert!(alive.settle_one(&own[0], Verdict::done()).await.unwrap());
    assert_eq!(consumers().await.len(), 7, "all those who ever read");

    // All the others are silent for as long as a lease.
    while queue.workers().await.unwrap().len() > 1 {
        holding.extend(&[&held[0]], true).await.unwrap();
        alive.tick().await.unwrap();
    }
    alive.reclaim().await.unwrap();
    assert_eq!(consumers().await, ["holding", "living"], "a claim that stands keeps its consumer");
    redis.age("b", "holding", &[&held[0]]).await;
    assert_eq!(alive.reclaim().await.unwrap(), 1);
    assert_eq!(consumers().await, ["living"]);

    // One that was only away goes on.
    let back = &mut killed[0];
    back.tick().await.unwrap();
    let claims = back.claim("b", 10).await.unwrap();
    assert_eq!(claims.len(), 2);
    for claim in &claims {
        assert!(back.settle_one(claim, Verdict::done()).await.unwrap());
    }
    assert_eq!(queue.run(&run.id).await.unwrap().depth.open(), 0);
}

#[tokio::test]
async fn a_job_over_which_a_worker_died_runs_alone() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut dead = WorkerByHand::new(&queue, "dead", &["a", "b"]).await.unwrap();
    let run = NewRun::new("a", "b").stage("all", jobs(30));
    queue.submit(&run).await.unwrap();
    assert_eq!(dead.claim("b", 3).await.unwrap().len(), 3);
    let at_work = Arc::new(AtomicUsize::new(0));
    let company = Arc::new(Mutex::new(Vec::new()));
    let (counter, log) = (at_work.clone(), company.clone());
    let handler = does(move |job, _| {
        let (counter, log) = (counter.clone(), log.clone());
        async move {
            let before = counter.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            if job.crashes > 0 {
                log.lock().unwrap().push((before, counter.load(Ordering::SeqCst)));
            }
            counter.fetch_sub(1, Ordering::SeqCst);
            Verdict::done()
        }
    });
    let worker = Worker::start(&queue, &["a", "b"], handler);
    assert_eq!(over(&queue, &run.id).await.state, RunState::Finished);
    assert_eq!(*company.lock().unwrap(), [(0, 1), (0, 1), (0, 1)]);
    worker.stop().await;
}

/// A worker claims everything and dies, so often.
async fn die_over_all(redis: &TestRedis, dying: &mut WorkerByHand, times: usize) {
    for _ in 0..times {
        dying.tick().await.unwrap();
        let claims = dying.claim("b", 10).await.unwrap();
        assert!(!claims.is_empty());
        redis.age("b", "dying", &claims.iter().collect::<Vec<_>>()).await;
        assert_eq!(dying.reclaim().await.unwrap(), claims.len() as u64);
    }
}

#[tokio::test]
async fn a_job_that_ended_three_workers_is_split_and_a_single_one_goes_on_until_it_ended_eight() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut dying = WorkerByHand::new(&queue, "dying", &["a", "b"]).await.unwrap();
    let handler = || {
        let counts = |job: queue::ClaimedJob| Outcome::default().count(format!("{}@{}", job.id, job.crashes), 1);
        let mut handler = does(move |job, _| async move { Verdict::Done(counts(job)) });
        handler.bisect =
            |job| (job.kind == "two").then(|| vec![NewJob::new("left", "one", ""), NewJob::new("right", "one", "")]);
        handler
    };
    let both = || vec![NewJob::new("pair", "two", ""), NewJob::new("single", "one", "")];
    let run = NewRun::new("a", "b").stage("all", both());
    queue.submit(&run).await.unwrap();
    die_over_all(&redis, &mut dying, 3).await;
    let worker = Worker::start(&queue, &["a", "b"], handler());
    let view = over(&queue, &run.id).await;
    assert_eq!(view.state, RunState::Finished);
    let counted: Vec<_> = view.counters.keys().map(String::as_str).collect();
    assert_eq!(counted, ["left@2", "right@2", "single@3"], "parts run alone, and are split on with the next crash");
    worker.stop().await;

    let run = NewRun::new("a", "b").stage("all", vec![NewJob::new("single", "one", "")]);
    queue.submit(&run).await.unwrap();
    die_over_all(&redis, &mut dying, 8).await;
    let worker = Worker::start(&queue, &["a", "b"], handler());
    assert_eq!(over(&queue, &run.id).await.state, RunState::FinishedHeld);
    let dead = queue.dead(&run.id).await.unwrap();
    assert_eq!((dead[0].id.as_str(), dead[0].crashes, dead[0].attempts), ("single", 8, 0));
    assert_eq!(dead[0].error, "8 workers ended while executing it");
    worker.stop().await;

    // Where the last failure of a job ends the run, so does this.
    let run = NewRun::new("a", "b").stage("all", vec![NewJob::new("single", "one", "")]);
    queue.submit(&run).await.unwrap();
    die_over_all(&redis, &mut dying, 8).await;
    let mut control = handler();
    control.policy.when_exhausted = queue::WhenExhausted::FailRun;
    let worker = Worker::start(&queue, &["a", "b"], control);
    assert_eq!(over(&queue, &run.id).await.state, RunState::Failed);
    worker.stop().await;
}

#[tokio::test]
async fn three_rolling_deploys_by_kill_bury_nothing_that_is_healthy() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let run = NewRun::new("a", "b").stage("all", jobs(40));
    queue.submit(&run).await.unwrap();
    // Two workers are killed with each deploy, one after the other, in the middle of what they do.
    for _ in 0..3 * 2 {
        let taken = Arc::new(Semaphore::new(0));
        let seen = taken.clone();
        let hangs = does(move |_, _| {
            seen.add_permits(1);
            std::future::pending()
        });
        let killed = Worker::start(&queue, &["a", "b"], hangs);
        let _at_work = taken.acquire().await.unwrap();
        drop(killed);
    }
    let healthy = || does(|_, _| async { Verdict::Done(Outcome::default().count("rows", 1)) });
    let worker = Worker::start(&queue, &["a", "b"], healthy());
    let view = over(&queue, &run.id).await;
    assert_eq!((view.state, view.counters["rows"]), (RunState::Finished, 40));
    worker.stop().await;

    // A single job that is hit by every one of them.
    let mut dying = WorkerByHand::new(&queue, "dying", &["a", "b"]).await.unwrap();
    let run = NewRun::new("a", "b").stage("all", jobs(1));
    queue.submit(&run).await.unwrap();
    die_over_all(&redis, &mut dying, 3 * 2).await;
    let worker = Worker::start(&queue, &["a", "b"], healthy());
    assert_eq!(over(&queue, &run.id).await.state, RunState::Finished);
    worker.stop().await;
}

#[tokio::test]
async fn a_job_without_progress_is_stopped_and_tried_again() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let handler = does(|job, context| async move {
        match (job.id.as_str(), job.attempts) {
            ("job-0", 0) => std::future::pending().await,
            ("job-1", _) => {
                // Longer than the deadline, but it shows that it gets on.
                for _ in 0..20 {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    context.progress();
                }
                Verdict::Done(Outcome::default().count("slow", 1 + i64::from(job.attempts)))
            }
            _ => Verdict::Done(Outcome::default().count("again", i64::from(job.attempts))),
        }
    });
    let stopping = queue::ConsumerSettings { progress_deadline: Duration::from_millis(500), ..settings(&["a", "b"]) };
    let worker = Worker::start_with(&queue, stopping, handler);
    let run = NewRun::new("a", "b").stage("all", jobs(2));
    queue.submit(&run).await.unwrap();
    let view = over(&queue, &run.id).await;
    assert_eq!((view.counters["again"], view.counters["slow"]), (1, 1));
    assert_eq!(view.last_error.as_deref(), Some("no progress for 500ms"));
    worker.stop().await;
}

#[tokio::test]
async fn a_soft_stop_hands_back_what_has_not_finished_and_counts_nothing() {
    let redis = TestRedis::start().await;
    // So long a lease that nothing comes back by itself.
    let queue = redis.queue_with(Settings { lease: Duration::from_secs(600), ..redis.settings() }).await;
    let (finishing, finish) = (Arc::new(Semaphore::new(0)), Arc::new(Notify::new()));
    let (seen, go) = (finishing.clone(), finish.clone());
    let stopping = Worker::start_with(
        &queue,
        queue::ConsumerSettings { concurrency: 3, grace: Duration::from_millis(200), ..settings(&["a", "b"]) },
        does(move |job, _| {
            let (seen, go) = (seen.clone(), go.clone());
            async move {
                seen.add_permits(1);
                if job.id != "job-0" {
                    std::future::pending::<()>().await;
                }
                go.notified().await;
                Verdict::Done(Outcome::default().count("finished", 1))
            }
        }),
    );
    let run = NewRun::new("a", "b").stage("all", jobs(9));
    queue.submit(&run).await.unwrap();
    let _three = finishing.acquire_many(3).await.unwrap();
    finish.notify_one();
    stopping.stop().await;
    let view = queue.run(&run.id).await.unwrap();
    assert_eq!((view.depth.claimed, view.depth.open()), (0, 8));
    let mut next = WorkerByHand::new(&queue, "next", &["a", "b"]).await.unwrap();
    let claims = next.claim("b", 16).await.unwrap();
    assert_eq!(claims.len(), 8);
    assert!(claims.iter().all(|claim| claim.job.attempts == 0 && claim.job.crashes == 0));
    assert_eq!(view.counters["finished"], 1);
}

#[tokio::test]
async fn an_entry_that_is_no_job_is_buried_with_its_reason() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "hand", &["a", "b"]).await.unwrap();
    let run = NewRun::new("a", "b").stage("all", jobs(1));
    queue.submit(&run).await.unwrap();
    let claims = worker.claim("b", 1).await.unwrap();
    let mut raw = redis.raw().await;
    for (turn, job) in [("what", "is this"), (format!("{}\nx\n", run.id).as_str(), "not\na job")] {
        let _: String = redis::cmd("XADD")
            .arg("{cs}:target:b:jobs")
            .arg("*")
            .arg(turn)
            .arg(job)
            .query_async(&mut raw)
            .await
            .unwrap();
    }
    let engine = Worker::start(&queue, &["a", "b"], does(|_, _| async { Verdict::done() }));
    let dead = until("both are buried", || async {
        let dead = queue.dead(&run.id).await.unwrap();
        (dead.len() == 2).then_some(dead)
    })
    .await;
    assert_eq!(dead[0].error, "the entry names no run or no lease");
    assert!(String::from_utf8_lossy(&dead[0].payload).contains("is this"));
    assert!(dead[1].error.contains("no job this version can read"));
    // The run itself is unharmed.
    assert!(worker.settle_one(&claims[0], Verdict::done()).await.unwrap());
    assert_eq!(over(&queue, &run.id).await.state, RunState::FinishedHeld);
    engine.stop().await;
}
