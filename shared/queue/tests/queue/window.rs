//! How many jobs a target gets at a time: less when it is under pressure, more again when it is not.

use std::time::Duration;

use queue::by_hand::{ClaimByHand, WorkerByHand};
use queue::{NewRun, Outcome, Queue, RunState, RunView, Verdict};

use crate::redis_server::TestRedis;
use crate::worker::{Worker, does, jobs, over, until};

async fn submitted(queue: &Queue, count: usize, window: u16) -> NewRun {
    let mut run = NewRun::new("a", "b").stage("all", jobs(count));
    run.window = window;
    queue.submit(&run).await.unwrap();
    run
}

fn throttled(after: Duration) -> Verdict {
    Verdict::Throttled { after, reason: "429".into() }
}

fn slow() -> Verdict {
    Verdict::Done(Outcome { pressure: true, ..Outcome::default() })
}

fn all(claims: &[ClaimByHand], verdict: impl Fn() -> Verdict) -> Vec<(&ClaimByHand, Verdict)> {
    claims.iter().map(|claim| (claim, verdict())).collect()
}

/// The next claims are handed out in a later millisecond than the last decrease.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(2)).await;
}

/// Claims until there is something; a rest may have to pass.
async fn claim_some(worker: &mut WorkerByHand, count: usize) -> Vec<ClaimByHand> {
    for _ in 0..1000 {
        worker.tick().await.unwrap();
        let claims = worker.claim("b", count).await.unwrap();
        if !claims.is_empty() {
            return claims;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("nothing was handed out");
}

fn in_hands(view: &RunView) -> (u16, u64) {
    (view.window_now, view.depth.ready + view.depth.claimed)
}

#[tokio::test]
async fn refusals_at_once_halve_the_window_once_for_all_workers_and_count_no_attempt() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut one = WorkerByHand::new(&queue, "one", &["a", "b"]).await.unwrap();
    let mut two = WorkerByHand::new(&queue, "two", &["a", "b"]).await.unwrap();
    let run = submitted(&queue, 40, 16).await;
    let (first, second) = (one.claim("b", 6).await.unwrap(), two.claim("b", 6).await.unwrap());
    assert_eq!((first.len(), second.len()), (6, 6));
    a_moment().await;

    // In one settle, in several, of several workers: one decrease, and what was only ready goes back.
    let rest = Duration::from_millis(300);
    assert_eq!(one.settle(all(&first[..4], || throttled(rest))).await.unwrap(), [true; 4]);
    assert_eq!(one.settle(all(&first[4..], || throttled(rest))).await.unwrap(), [true; 2]);
    assert_eq!(two.settle(all(&second[..5], || throttled(rest))).await.unwrap(), [true; 5]);
    let view = queue.run(&run.id).await.unwrap();
    assert_eq!((view.window, in_hands(&view), view.depth.delayed), (16, (8, 1), 11));
    let explained = queue.explain(&run.id).await.unwrap();
    assert!(explained.contains("b is throttled") && explained.contains("8 of 16"), "{explained}");

    // Until it is over nobody gets anything; then what was refused comes first, nothing counted against it.
    assert!(two.settle_one(&second[5], Verdict::done()).await.unwrap());
    assert!(two.claim("b", 10).await.unwrap().is_empty(), "the target asked to be left alone");
    until("the rest is over", || async { queue.run(&run.id).await.unwrap().rests_for.is_none().then_some(()) }).await;
    let again = claim_some(&mut one, 20).await;
    assert_eq!(again.len(), 8);
    assert!(again.iter().all(|claim| claim.job.attempts == 0 && claim.job.crashes == 0));
    assert!(first.iter().chain(&second[..5]).any(|refused| refused.job.id == again[0].job.id));

    // These were handed out since, so what they meet counts again.
    assert!(one.settle_one(&again[0], throttled(Duration::from_millis(1))).await.unwrap());
    assert_eq!(queue.run(&run.id).await.unwrap().window_now, 4);
    let explained = queue.explain(&run.id).await.unwrap();
    assert!(explained.contains("4 of 16"), "{explained}");
}

#[tokio::test]
async fn the_window_never_falls_below_one_and_rises_by_one_with_sixteen_jobs_up_to_what_the_run_wants() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let run = submitted(&queue, 400, 4).await;
    for expected in [2, 1, 1, 1] {
        a_moment().await;
        let claims = claim_some(&mut worker, 10).await;
        worker.settle(all(&claims, || throttled(Duration::from_millis(1)))).await.unwrap();
        assert_eq!(queue.run(&run.id).await.unwrap().window_now, expected);
    }
    let mut seen = Vec::new();
    for settled in 0..70 {
        a_moment().await;
        let claims = claim_some(&mut worker, 1).await;
        let view = queue.run(&run.id).await.unwrap();
        assert_eq!(in_hands(&view), (view.window_now, u64::from(view.window_now)), "after {settled} jobs");
        seen.push(view.window_now);
        worker.settle(all(&claims, Verdict::done)).await.unwrap();
    }
    for (settled, window) in seen.iter().enumerate() {
        assert_eq!(usize::from(*window), (1 + settled / 16).min(4), "after {settled} jobs");
    }
}

#[tokio::test]
async fn a_target_that_refuses_even_one_job_at_a_time_gets_them_spaced_as_it_could_take_them() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let run = submitted(&queue, 100, 1).await;
    let refused = || throttled(Duration::from_millis(1));
    let handed_out = |claim: &ClaimByHand| claim.entry().split('-').next().unwrap().parse::<u64>().unwrap();
    let first = worker.claim("b", 1).await.unwrap();
    worker.settle(all(&first, refused)).await.unwrap();
    a_moment().await;
    // It takes a job in 40 ms or so; then it refuses again.
    for _ in 0..4 {
        let claims = claim_some(&mut worker, 5).await;
        assert_eq!(claims.len(), 1);
        tokio::time::sleep(Duration::from_millis(40)).await;
        worker.settle(all(&claims, Verdict::done)).await.unwrap();
    }
    let pace = async || -> (Option<f64>, f64) {
        let mut connection = redis.raw().await;
        redis::cmd("HMGET").arg(&["{cs}:target:b:pace", "gap", "window"]).query_async(&mut connection).await.unwrap()
    };
    assert_eq!(pace().await, (None, 1.0));
    let claims = claim_some(&mut worker, 5).await;
    worker.settle(all(&claims, refused)).await.unwrap();

    let mut before: Option<u64> = None;
    for _ in 0..5 {
        let claims = claim_some(&mut worker, 5).await;
        assert_eq!(claims.len(), 1);
        let now = handed_out(&claims[0]);
        assert!(before.is_none_or(|before| now - before >= 35), "{before:?}, then {now}");
        before = Some(now);
        worker.settle(all(&claims, Verdict::done)).await.unwrap();
    }
    // It closes with every job, and then the window grows again.
    let (Some(gap), _) = pace().await else { panic!("there is no gap") };
    assert!(gap > 35.0);
    let () = redis::cmd("HSET")
        .arg(&["{cs}:target:b:pace", "gap", "20.01"])
        .query_async(&mut redis.raw().await)
        .await
        .unwrap();
    let claims = claim_some(&mut worker, 5).await;
    worker.settle(all(&claims, Verdict::done)).await.unwrap();
    assert_eq!(pace().await.0, None);
    assert_eq!(queue.run(&run.id).await.unwrap().stages[0].done, 10);
}

#[tokio::test]
async fn a_window_below_what_is_in_flight_only_stops_feeding() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let run = submitted(&queue, 60, 8).await;
    let claims = worker.claim("b", 8).await.unwrap();
    a_moment().await;
    // Done, but slow: that shrinks it, too.
    assert!(worker.settle_one(&claims[0], slow()).await.unwrap());
    for (left, claim) in claims[1..].iter().enumerate() {
        let view = queue.run(&run.id).await.unwrap();
        let expected = (7 - left as u64).max(4);
        assert_eq!(in_hands(&view), (4, expected));
        assert!(worker.settle_one(claim, Verdict::done()).await.unwrap(), "what is in flight stays valid");
    }
    // They were handed out before the decrease, so they did not raise the window.
    let view = queue.run(&run.id).await.unwrap();
    assert_eq!((in_hands(&view), view.stages[0].done), ((4, 4), 8));
    let explained = queue.explain(&run.id).await.unwrap();
    assert!(explained.contains("4 of 8 at a time"), "{explained}");
}

#[tokio::test]
async fn the_next_run_begins_with_the_window_the_last_one_got_to() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b", "c"]).await.unwrap();
    let first = submitted(&queue, 16, 16).await;
    let claims = worker.claim("b", 16).await.unwrap();
    a_moment().await;
    worker.settle(all(&claims, slow)).await.unwrap();
    assert_eq!(queue.run(&first.id).await.unwrap().state, RunState::Finished);

    for (wanted, expected) in [(16, 8), (4, 4), (64, 8)] {
        let run = submitted(&queue, 20, wanted).await;
        let view = queue.run(&run.id).await.unwrap();
        assert_eq!(in_hands(&view), (expected, u64::from(expected)), "of {wanted}");
        queue.cancel(&run.id, "test").await.unwrap();
    }
    // Another target is not concerned.
    let elsewhere = NewRun::new("a", "c").stage("all", jobs(20));
    queue.submit(&elsewhere).await.unwrap();
    assert_eq!(queue.run(&elsewhere.id).await.unwrap().window_now, 16);
}

#[tokio::test]
async fn a_run_that_ends_early_closes_although_its_target_rests() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let mut run = NewRun::new("a", "b").stage("all", jobs(3));
    run.close = Some(queue::NewJob::new("close", "close", ""));
    queue.submit(&run).await.unwrap();
    let claims = worker.claim("b", 1).await.unwrap();
    assert!(worker.settle_one(&claims[0], throttled(Duration::from_secs(3600))).await.unwrap());
    assert!(worker.claim("b", 10).await.unwrap().is_empty());
    queue.cancel(&run.id, "test").await.unwrap();
    let close = worker.claim("b", 10).await.unwrap();
    assert_eq!(close.iter().map(|claim| claim.job.id.as_str()).collect::<Vec<_>>(), ["close"]);
    assert!(worker.settle_one(&close[0], Verdict::done()).await.unwrap());
    assert!(queue.run(&run.id).await.unwrap().closed);
}

/// A target that bears four jobs at a time and refuses the fifth.
#[tokio::test]
async fn a_target_that_bears_four_jobs_at_a_time_gets_about_four_and_refuses_few() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let (at_work, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let target = (at_work.clone(), refused.clone());
    let handler = move || {
        let (at_work, refused) = target.clone();
        does(move |_, _| {
            let (at_work, refused) = (at_work.clone(), refused.clone());
            async move {
                if at_work.fetch_add(1, SeqCst) >= 4 {
                    at_work.fetch_sub(1, SeqCst);
                    refused.fetch_add(1, SeqCst);
                    return throttled(Duration::from_millis(10));
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
                at_work.fetch_sub(1, SeqCst);
                Verdict::Done(Outcome::default().count("rows", 1))
            }
        })
    };
    let workers = [Worker::start(&queue, &["a", "b"], handler()), Worker::start(&queue, &["a", "b"], handler())];
    let run = submitted(&queue, 600, 16).await;
    let view = over(&queue, &run.id).await;
    assert_eq!((view.state, view.counters["rows"]), (RunState::Finished, 600));
    let refused = refused.load(SeqCst);
    assert!((1..=90).contains(&refused), "{refused} of 600 jobs were refused");
    assert!((1..=6).contains(&view.window_now), "{}", view.window_now);
    for worker in workers {
        worker.stop().await;
    }
}
