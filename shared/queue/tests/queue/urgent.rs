//! Urgent runs: who makes room for them, for how long, and what the others get for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use queue::by_hand::{ClaimByHand, WorkerByHand};
use queue::{NewJob, NewRun, Outcome, Queue, RunState, Settings, Submitted, Verdict};

use crate::redis_server::TestRedis;
use crate::worker::{Worker, does, jobs, over, until};

/// So long that nothing lapses within a test.
const LEASE: Duration = Duration::from_secs(600);

async fn patient(redis: &TestRedis, yield_within: Duration) -> Queue {
    redis.queue_with(Settings { lease: LEASE, yield_within, ..redis.settings() }).await
}

fn long_run(count: usize, window: u16) -> NewRun {
    let mut run = NewRun::new("a", "b").stage("all", jobs(count));
    run.open = Some(NewJob::new("open", "open", ""));
    run.window = window;
    run
}

fn urgent_run() -> NewRun {
    let mut run = NewRun::new("c", "b").stage("item", jobs(1));
    run.requires = vec!["b".into()];
    run.open = Some(NewJob::new("open", "open", ""));
    run.urgent = true;
    run
}

async fn worker(queue: &Queue) -> WorkerByHand {
    WorkerByHand::new(queue, "w", &["a", "b"]).await.unwrap()
}

fn ids(claims: &[ClaimByHand]) -> Vec<(&str, &str)> {
    claims.iter().map(|claim| (claim.job.run.as_str(), claim.job.id.as_str())).collect()
}

/// Executes the open job that is handed out; its fence tells the lease.
async fn open(worker: &mut WorkerByHand, run: &NewRun) -> String {
    let claims = worker.claim("b", 10).await.unwrap();
    assert_eq!(ids(&claims), [(run.id.as_str(), "open")]);
    let lease = claims[0].job.lease_id.clone();
    let fence = Outcome { fence: Some(lease.clone().into_bytes()), ..Outcome::default() };
    assert!(worker.settle_one(&claims[0], Verdict::Done(fence)).await.unwrap());
    lease
}

async fn do_all_of(worker: &mut WorkerByHand, run: &NewRun) {
    open(worker, run).await;
    let claims = worker.claim("b", 10).await.unwrap();
    assert_eq!(ids(&claims), [(run.id.as_str(), "job-0")]);
    assert!(worker.settle_one(&claims[0], Verdict::done()).await.unwrap());
}

async fn state(queue: &Queue, run: &NewRun) -> RunState {
    queue.run(&run.id).await.unwrap().state
}

#[tokio::test]
async fn the_holder_settles_what_it_has_then_the_urgent_run_goes_then_the_holder_goes_on() {
    let redis = TestRedis::start().await;
    let queue = patient(&redis, Duration::from_secs(600)).await;
    let mut worker = worker(&queue).await;
    let long = long_run(10, 4);
    queue.submit(&long).await.unwrap();
    let first_lease = open(&mut worker, &long).await;
    let claims = worker.claim("b", 2).await.unwrap();
    let other = NewRun { priority: 100, ..long_run(1, 4) };
    queue.submit(&other).await.unwrap();
    let item = urgent_run();
    assert_eq!(queue.submit(&item).await.unwrap(), Submitted::Waiting { position: 1 }, "before any priority");

    // Feeding stops at once, what was only ready goes back, what is claimed may settle.
    let depth = queue.run(&long.id).await.unwrap().depth;
    assert_eq!((depth.backlog, depth.ready, depth.claimed), (8, 0, 2));
    let (of_long, of_item) = (queue.explain(&long.id).await.unwrap(), queue.explain(&item.id).await.unwrap());
    assert!(of_long.starts_with("it makes room for an urgent run: 2 jobs may finish within"), "{of_long}");
    assert!(of_item.contains(&long.id) && of_item.contains("it makes room"), "{of_item}");
    assert!(worker.settle_one(&claims[0], Verdict::done()).await.unwrap());
    assert!(worker.claim("b", 10).await.unwrap().is_empty());
    assert_eq!((state(&queue, &long).await, state(&queue, &item).await), (RunState::Running, RunState::Waiting));
    assert!(worker.settle_one(&claims[1], Verdict::done()).await.unwrap());

    // The urgent run opens its own.
    assert_eq!((state(&queue, &long).await, state(&queue, &item).await), (RunState::Waiting, RunState::Running));
    let explained = queue.explain(&long.id).await.unwrap();
    assert!(explained.starts_with("it made room for an urgent run"), "{explained}");
    assert!(explained.contains(&item.id), "{explained}");
    do_all_of(&mut worker, &item).await;
    assert_eq!(state(&queue, &item).await, RunState::Finished);

    // The one that made room goes on before those of higher priority: it opens anew, nothing is counted against its jobs.
    assert_eq!((state(&queue, &long).await, state(&queue, &other).await), (RunState::Running, RunState::Waiting));
    assert_ne!(open(&mut worker, &long).await, first_lease);
    let claims = worker.claim("b", 10).await.unwrap();
    let seen: Vec<_> = claims.iter().map(|c| (c.job.id.as_str(), c.job.attempts, c.job.crashes)).collect();
    assert_eq!(seen, [("job-2", 0, 0), ("job-3", 0, 0), ("job-4", 0, 0), ("job-5", 0, 0)]);
    assert_eq!(queue.run(&long.id).await.unwrap().stages[0].done, 2);
}

#[tokio::test]
async fn what_is_not_settled_in_time_is_taken_back_and_then_one_job_is_owed() {
    let redis = TestRedis::start().await;
    let queue = patient(&redis, Duration::from_millis(150)).await;
    let mut worker = worker(&queue).await;
    let long = long_run(3, 2);
    queue.submit(&long).await.unwrap();
    open(&mut worker, &long).await;
    let claims = worker.claim("b", 2).await.unwrap();
    let item = urgent_run();
    queue.submit(&item).await.unwrap();
    worker.tick().await.unwrap();
    assert_eq!(state(&queue, &item).await, RunState::Waiting, "the time is not over");
    until("the time is over", || async {
        worker.tick().await.unwrap();
        (state(&queue, &item).await == RunState::Running).then_some(())
    })
    .await;
    let began = queue.run(&item.id).await.unwrap();
    assert!(began.started.unwrap() - began.created >= 150);
    assert!(!worker.settle_one(&claims[0], Verdict::done()).await.unwrap(), "it was taken back");
    do_all_of(&mut worker, &item).await;

    // Its turn back, it is not asked again before one of its jobs is done, however long that takes.
    let second = urgent_run();
    queue.submit(&second).await.unwrap();
    open(&mut worker, &long).await;
    let claims = worker.claim("b", 2).await.unwrap();
    assert_eq!(ids(&claims), [(long.id.as_str(), "job-0"), (long.id.as_str(), "job-1")]);
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(25)).await;
        worker.tick().await.unwrap();
        assert_eq!(state(&queue, &second).await, RunState::Waiting);
    }
    assert!(worker.extend(&[&claims[0], &claims[1]], true).await.unwrap().iter().all(|stands| *stands));
    assert!(worker.settle_one(&claims[0], Verdict::done()).await.unwrap());
    until("now it makes room", || async {
        worker.tick().await.unwrap();
        (state(&queue, &second).await == RunState::Running).then_some(())
    })
    .await;
    assert_eq!(queue.run(&long.id).await.unwrap().stages[0].done, 1);
}

#[tokio::test]
async fn the_turn_comes_back_for_at_least_as_long_as_urgent_runs_had_it() {
    let redis = TestRedis::start().await;
    let queue = patient(&redis, Duration::from_millis(300)).await;
    let mut worker = worker(&queue).await;
    let long = long_run(1000, 1);
    queue.submit(&long).await.unwrap();
    open(&mut worker, &long).await;
    let items: Vec<NewRun> = (0..8).map(|_| urgent_run()).collect();
    for item in &items {
        queue.submit(item).await.unwrap();
    }
    // Each takes a while, so not all of them fit before it is the other's turn again.
    let mut of_items = 0;
    while state(&queue, &long).await == RunState::Waiting || of_items == 0 {
        let claims = worker.claim("b", 1).await.unwrap();
        if claims.is_empty() {
            worker.tick().await.unwrap();
            continue;
        }
        if claims[0].job.run != long.id && claims[0].job.id == "job-0" {
            tokio::time::sleep(Duration::from_millis(80)).await;
            of_items += 1;
        }
        worker.settle_one(&claims[0], Verdict::done()).await.unwrap();
    }
    let mut ended = Vec::new();
    for item in &items {
        ended.extend(queue.run(&item.id).await.unwrap().finished);
    }
    assert!((1..8).contains(&of_items) && ended.len() == of_items, "{of_items} of 8 in 300 ms");
    let (first, last) = (queue.run(&items[0].id).await.unwrap().started.unwrap(), *ended.last().unwrap());
    let held = last - first;
    assert!(held >= 300, "{held}");
    let explained = queue.explain(&long.id).await.unwrap();
    assert!(explained.contains("has its turn back and keeps it for"), "{explained}");

    let next = &items[of_items];
    while state(&queue, next).await == RunState::Waiting {
        worker.tick().await.unwrap();
        for claim in worker.claim("b", 1).await.unwrap() {
            worker.settle_one(&claim, Verdict::done()).await.unwrap();
        }
    }
    let kept = queue.run(&next.id).await.unwrap().started.unwrap() - last;
    assert!(kept >= held, "it had its turn back for {kept} ms, after {held} ms of urgent runs");
}

#[tokio::test]
async fn a_holder_goes_on_when_the_urgent_run_is_cancelled_and_a_paused_one_keeps_its_target() {
    let redis = TestRedis::start().await;
    let queue = patient(&redis, Duration::from_millis(50)).await;
    let mut worker = worker(&queue).await;
    let long = long_run(10, 4);
    queue.submit(&long).await.unwrap();
    open(&mut worker, &long).await;
    let claims = worker.claim("b", 1).await.unwrap();
    let item = urgent_run();
    queue.submit(&item).await.unwrap();
    assert!(worker.claim("b", 10).await.unwrap().is_empty());
    queue.cancel(&item.id, "test").await.unwrap();
    assert_eq!(state(&queue, &item).await, RunState::Cancelled);
    assert_eq!(worker.claim("b", 10).await.unwrap().len(), 3, "it is fed again at once");
    assert!(worker.settle_one(&claims[0], Verdict::done()).await.unwrap());

    queue.pause(&long.id).await.unwrap();
    let item = urgent_run();
    queue.submit(&item).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    worker.tick().await.unwrap();
    assert_eq!((state(&queue, &long).await, state(&queue, &item).await), (RunState::Paused, RunState::Waiting));
    let explained = queue.explain(&item.id).await.unwrap();
    assert!(explained.contains("paused") && !explained.contains("makes room"), "{explained}");
}

#[tokio::test]
async fn a_submit_of_what_waits_already_answers_the_run_that_waits() {
    let redis = TestRedis::start().await;
    let queue = patient(&redis, Duration::from_secs(600)).await;
    let mut worker = worker(&queue).await;
    let long = NewRun { dedup: Some("all".into()), ..long_run(10, 4) };
    queue.submit(&long).await.unwrap();
    open(&mut worker, &long).await;
    let claims = worker.claim("b", 1).await.unwrap();
    let of = |words: &str| NewRun { dedup: Some(words.into()), ..urgent_run() };
    let (first, again, other) = (of("post 1"), of("post 1"), of("post 2"));
    let not_urgent = NewRun { urgent: false, ..of("post 1") };
    assert_eq!(queue.submit(&first).await.unwrap(), Submitted::Waiting { position: 1 });
    assert_eq!(queue.submit(&again).await.unwrap(), Submitted::Same { run: first.id.clone() });
    assert_eq!(queue.submit(&first).await.unwrap(), Submitted::AlreadyThere);
    assert!(queue.run(&again.id).await.is_err());
    assert_eq!(queue.submit(&other).await.unwrap(), Submitted::Waiting { position: 2 });
    assert_eq!(queue.submit(&not_urgent).await.unwrap(), Submitted::Waiting { position: 3 });
    assert_eq!(queue.submit(&urgent_run()).await.unwrap(), Submitted::Waiting { position: 3 }, "it says nothing");

    // One that has begun may have passed what changed since: it is no substitute, whether it works or yielded.
    assert!(worker.settle_one(&claims[0], Verdict::done()).await.unwrap());
    assert_eq!((state(&queue, &first).await, state(&queue, &long).await), (RunState::Running, RunState::Waiting));
    for begun in [of("post 1"), NewRun { dedup: Some("all".into()), ..long_run(1, 4) }] {
        assert!(matches!(queue.submit(&begun).await.unwrap(), Submitted::Waiting { .. }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_pushes_of_items_get_in_while_a_long_run_works_and_it_still_ends() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let wrongly_fenced = Arc::new(AtomicUsize::new(0));
    let seen = wrongly_fenced.clone();
    let handler = does(move |job, _| {
        let seen = seen.clone();
        async move {
            if job.kind == "open" {
                let fence = Some(job.lease_id.into_bytes());
                return Verdict::Done(Outcome { fence, ..Outcome::default() });
            }
            seen.fetch_add(usize::from(job.fence != job.lease_id.as_bytes()), Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(10)).await;
            Verdict::Done(Outcome { wrote: true, ..Outcome::default() }.count("rows", 1))
        }
    });
    let workers = Worker::start(&queue, &["a", "b"], handler);
    let long = long_run(600, 8);
    queue.submit(&long).await.unwrap();
    let (mut items, mut same) = (Vec::new(), 0);
    for number in 0..100 {
        let item = NewRun { dedup: Some(format!("item {}", number % 10)), ..urgent_run() };
        match queue.submit(&item).await.unwrap() {
            Submitted::Same { .. } => same += 1,
            _ => items.push(item),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut latest = 0;
    for item in &items {
        let view = over(&queue, &item.id).await;
        assert_eq!((view.state, view.counters["rows"]), (RunState::Finished, 1));
        latest = latest.max(view.finished.unwrap());
    }
    let view = over(&queue, &long.id).await;
    assert_eq!((view.state, view.counters["rows"], view.stages[0].done), (RunState::Finished, 600, 600));
    assert!(latest < view.finished.unwrap(), "the items waited for the long run to end");
    assert!(same > 0 && items.len() >= 10, "{same} of 100 were the same as one that waited");
    assert_eq!(wrongly_fenced.load(Ordering::SeqCst), 0, "each turn has a fence of its own");
    workers.stop().await;
}
