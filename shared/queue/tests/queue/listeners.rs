//! Runs that do not end, and are given events as jobs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use queue::by_hand::WorkerByHand;
use queue::{ClaimedJob, NewRun, Queue, RunState, Settings, Submitted, Verdict};
use serde_json::{Map, Value, json};

use crate::redis_server::TestRedis;
use crate::worker::{Worker, does, jobs, over, until};

fn listener(name: &str, events: &[&str]) -> NewRun {
    NewRun::listener(name, events.iter().map(ToString::to_string).collect())
}

/// What a job of a listener says: name and number of the event.
fn event_of(job: &ClaimedJob) -> (String, u64) {
    assert_eq!(job.kind, "event");
    let event: Value = serde_json::from_slice(&job.payload).unwrap();
    assert_eq!(job.id, event["seq"].to_string());
    (event["event"].as_str().unwrap().into(), event["seq"].as_u64().unwrap())
}

async fn announce(queue: &Queue, name: &str, times: usize) {
    for number in 0..times {
        let about = Map::from_iter([("number".into(), json!(number))]);
        queue.announce(name, &about).await.unwrap();
    }
}

async fn drained(queue: &Queue, name: &str) {
    until("the listener has nothing to do", || async {
        (queue.run(name).await.unwrap().depth.open() == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_events_of_a_run_become_jobs_of_those_who_listen_to_them() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    assert_eq!(
        queue.submit(&listener("on:end", &["run.finished", "run.failed"])).await.unwrap(),
        Submitted::Waiting { position: 1 }
    );
    queue.submit(&listener("on:start", &["run.started"])).await.unwrap();
    let worker = Worker::start(&queue, &["a", "b"], does(|_, _| async { Verdict::done() }));
    let runs: Vec<NewRun> = (0..3).map(|_| NewRun::new("a", "b").stage("all", jobs(2))).collect();
    for run in &runs {
        queue.submit(run).await.unwrap();
        over(&queue, &run.id).await;
    }
    worker.stop().await;

    let published: BTreeMap<u64, String> =
        queue.events_since(0).await.unwrap().events.into_iter().map(|event| (event.seq, event.name)).collect();
    for (name, event) in [("on:end", "run.finished"), ("on:start", "run.started")] {
        assert_eq!(queue.run(name).await.unwrap().depth.backlog, 3, "they wait until somebody works for it");
        let mut by_hand = WorkerByHand::new(&queue, name, &[name]).await.unwrap();
        let claims = by_hand.claim(name, 10).await.unwrap();
        assert_eq!(claims.len(), 3);
        for claim in &claims {
            let (named, seq) = event_of(&claim.job);
            assert_eq!((named.as_str(), &published[&seq]), (event, &named));
            assert!(by_hand.settle_one(claim, Verdict::done()).await.unwrap());
        }
    }
    // A listener publishes nothing, and does not end.
    assert_eq!(queue.last_seq().await.unwrap(), 6);
    assert_eq!(queue.run("on:end").await.unwrap().state, RunState::Running);
}

#[tokio::test]
async fn nobody_takes_a_listener_for_a_sync() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    queue.submit(&listener("on:it", &["it"])).await.unwrap();
    announce(&queue, "it", 2).await;
    assert_eq!(queue.runs(10).await.unwrap(), []);
    assert_eq!(queue.live_runs().await.unwrap(), []);
    assert_eq!(queue.targets().await.unwrap(), Vec::<String>::new());
    let listeners = queue.listeners().await.unwrap();
    assert_eq!((listeners.len(), listeners[0].id.as_str(), listeners[0].depth.backlog), (1, "on:it", 2));
}

#[tokio::test]
async fn one_event_that_fails_is_tried_again_while_others_pass_and_is_dead_in_the_end() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    queue.submit(&listener("on:it", &["it"])).await.unwrap();
    let done = Arc::new(Mutex::new(Vec::new()));
    let noted = done.clone();
    let handler = does(move |job, _| {
        let noted = noted.clone();
        async move {
            match event_of(&job) {
                (_, 2) => Verdict::retry("nobody is there"),
                (_, 3) if job.attempts < 2 => Verdict::retry("not yet"),
                (_, seq) => {
                    noted.lock().unwrap().push(seq);
                    Verdict::done()
                }
            }
        }
    });
    let worker = Worker::start(&queue, &["on:it"], handler);
    announce(&queue, "it", 5).await;
    drained(&queue, "on:it").await;
    let mut all = done.lock().unwrap().clone();
    all.sort_unstable();
    assert_eq!(all, [1, 3, 4, 5]);
    let dead = queue.dead("on:it").await.unwrap();
    assert_eq!((dead.len(), dead[0].id.as_str()), (1, "2"));
    assert!(dead[0].error.starts_with("nobody is there"), "{dead:?}");
    // Put back to work it is tried as often again.
    let (state, retried) = queue.retry_dead("on:it", None, "anna", "job.retried").await.unwrap();
    assert_eq!((state, retried), (RunState::Running, vec!["2".to_owned()]));
    until("it is dead again", || async { (queue.run("on:it").await.unwrap().depth.dead == 1).then_some(()) }).await;
    worker.stop().await;
}

#[tokio::test]
async fn what_a_worker_that_died_had_in_hands_goes_to_another_one() {
    let redis = TestRedis::start().await;
    let queue = redis.queue_with(Settings { lease: Duration::from_millis(500), ..redis.settings() }).await;
    queue.submit(&listener("on:it", &["it"])).await.unwrap();
    let hangs = Worker::start(&queue, &["on:it"], does(|_, _| std::future::pending()));
    announce(&queue, "it", 3).await;
    until("all are in its hands", || async { (queue.run("on:it").await.unwrap().depth.claimed == 3).then_some(()) })
        .await;
    drop(hangs);
    let worker = Worker::start(&queue, &["on:it"], does(|_, _| async { Verdict::done() }));
    drained(&queue, "on:it").await;
    assert_eq!(queue.run("on:it").await.unwrap().stages[0].done, 3);
    worker.stop().await;
}

#[tokio::test]
async fn what_it_listens_to_is_what_was_said_last() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    queue.submit(&listener("on:it", &["old", "both"])).await.unwrap();
    queue.submit(&listener("on:other", &["both"])).await.unwrap();
    assert_eq!(queue.submit(&listener("on:it", &["both", "new"])).await.unwrap(), Submitted::AlreadyThere);
    for name in ["old", "both", "new"] {
        announce(&queue, name, 1).await;
    }
    assert_eq!(queue.run("on:it").await.unwrap().depth.backlog, 2);
    assert_eq!(queue.run("on:other").await.unwrap().depth.backlog, 1);
}

#[tokio::test]
async fn one_that_nobody_asks_for_is_given_up_and_one_that_was_given_up_begins_anew() {
    let redis = TestRedis::start().await;
    let queue = redis.queue_with(Settings { retention: Duration::from_millis(200), ..redis.settings() }).await;
    queue.submit(&listener("on:it", &["it"])).await.unwrap();
    announce(&queue, "it", 1).await;
    until("its time is over", || async {
        announce(&queue, "it", 1).await;
        queue.listeners().await.unwrap().is_empty().then_some(())
    })
    .await;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*backlog*").query_async(&mut redis.raw().await).await.unwrap();
    assert_eq!(keys, Vec::<String>::new());

    let queue = redis.queue().await;
    queue.submit(&listener("on:it", &["it"])).await.unwrap();
    announce(&queue, "it", 2).await;
    let view = queue.run("on:it").await.unwrap();
    assert_eq!((view.state, view.depth.backlog), (RunState::Waiting, 2));
}

#[tokio::test]
async fn of_more_than_the_log_holds_the_oldest_are_missed_and_counted() {
    let redis = TestRedis::start().await;
    let queue = redis.queue_with(Settings { event_log: 10, ..redis.settings() }).await;
    queue.submit(&listener("on:it", &["it"])).await.unwrap();
    announce(&queue, "it", 25).await;
    let view = queue.run("on:it").await.unwrap();
    assert_eq!((view.depth.backlog, view.missed), (10, 15));
    let mut worker = WorkerByHand::new(&queue, "w", &["on:it"]).await.unwrap();
    assert_eq!(event_of(&worker.claim("on:it", 1).await.unwrap()[0].job).1, 16);
}
