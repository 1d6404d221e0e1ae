//! A Redis that is full, wiped, away, or not fit for a queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use queue::{Error, NewJob, NewRun, Outcome, RunState, Verdict};
use tokio::sync::Notify;

use crate::redis_server::TestRedis;
use crate::worker::{Worker, does, jobs, over};

#[tokio::test]
async fn a_full_redis_refuses_submits_in_words_and_still_drains() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let run = NewRun::new("a", "b").stage("all", jobs(200));
    queue.submit(&run).await.unwrap();
    let _: () =
        redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1mb"]).query_async(&mut redis.raw().await).await.unwrap();
    let error = queue.submit(&NewRun::new("a", "c").stage("all", jobs(1))).await.unwrap_err();
    assert!(matches!(error, Error::Full), "{error}");
    let handler = does(|job, context| async move {
        if job.id == "job-7" && job.attempts == 0 {
            let refused = context.split(vec![NewJob::new("child", "plain", "")], b"1".to_vec()).await;
            assert!(matches!(refused, Err(Error::Full)), "{refused:?}");
            return Verdict::retry("full");
        }
        Verdict::Done(Outcome::default().count("rows", 1))
    });
    let worker = Worker::start(&queue, &["a", "b"], handler);
    let view = over(&queue, &run.id).await;
    assert_eq!((view.state, view.counters["rows"]), (RunState::Finished, 200));
    worker.stop().await;
}

#[tokio::test]
async fn after_flushall_waiting_callers_are_told_and_workers_carry_on_with_new_runs() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let started = Arc::new(Notify::new());
    let seen = started.clone();
    let handler = does(move |job, _| {
        let seen = seen.clone();
        async move {
            if job.kind == "forever" {
                seen.notify_one();
                std::future::pending::<()>().await;
            }
            Verdict::done()
        }
    });
    let worker = Worker::start(&queue, &["a", "b"], handler);
    let lost = NewRun::new("a", "b").stage("all", vec![NewJob::new("1", "forever", "")]);
    queue.submit(&lost).await.unwrap();
    started.notified().await;
    let _: () = redis::cmd("FLUSHALL").query_async(&mut redis.raw().await).await.unwrap();
    let error = queue.run(&lost.id).await.unwrap_err();
    assert!(matches!(error, Error::UnknownRun(_)), "{error}");
    let next = NewRun::new("a", "b").stage("all", jobs(20));
    queue.submit(&next).await.unwrap();
    assert_eq!(over(&queue, &next.id).await.state, RunState::Finished);
    worker.stop().await;
}

#[tokio::test]
async fn a_run_survives_a_redis_that_is_killed_and_comes_back() {
    let mut redis = TestRedis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let queue = redis.queue().await;
    let away = Arc::new(AtomicBool::new(false));
    let (is_away, back) = (away.clone(), Arc::new(Notify::new()));
    let go = back.clone();
    let (half, waiting) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let reached = half.clone();
    let handler = does(move |_, _| {
        let (go, reached, is_away, waiting) = (go.clone(), reached.clone(), is_away.clone(), waiting.clone());
        async move {
            if waiting.fetch_add(1, Ordering::SeqCst) == 50 {
                reached.notify_one();
                go.notified().await;
                assert!(is_away.load(Ordering::SeqCst));
            }
            Verdict::Done(Outcome::default().count("rows", 1))
        }
    });
    let worker = Worker::start(&queue, &["a", "b"], handler);
    let run = NewRun::new("a", "b").stage("all", jobs(100));
    queue.submit(&run).await.unwrap();
    half.notified().await;
    redis.kill();
    // This job ends while Redis is away: its result is kept.
    away.store(true, Ordering::SeqCst);
    back.notify_one();
    redis.up().await;
    let view = over(&queue, &run.id).await;
    assert_eq!((view.state, view.counters["rows"]), (RunState::Finished, 100));
    worker.stop().await;
}

#[tokio::test]
async fn a_server_that_would_lose_jobs_is_refused_and_one_that_may_is_warned_about() {
    let redis = TestRedis::start_with(&["--maxmemory-policy", "allkeys-lru"]).await;
    let Err(error) = queue::Queue::connect(redis.settings()).await else { panic!("it was accepted") };
    assert!(error.to_string().contains("allkeys-lru"), "{error}");
    let _: () = redis::cmd("CONFIG")
        .arg(&["SET", "maxmemory-policy", "noeviction"])
        .query_async(&mut redis.raw().await)
        .await
        .unwrap();
    let (_, warnings) = queue::Queue::connect(redis.settings()).await.unwrap();
    assert!(warnings[0].contains("append-only"), "{warnings:?}");
    let _: () = redis::cmd("REPLICAOF").arg(&["127.0.0.1", "1"]).query_async(&mut redis.raw().await).await.unwrap();
    let Err(error) = queue::Queue::connect(redis.settings()).await else { panic!("it was accepted") };
    assert!(error.to_string().contains("replica"), "{error}");
}
