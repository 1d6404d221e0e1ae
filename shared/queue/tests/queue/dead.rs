//! Buried jobs: their history, the way back to work, the way out.

use queue::by_hand::{ClaimByHand, WorkerByHand};
use queue::{NewRun, Queue, RunState, Verdict};

use crate::redis_server::TestRedis;
use crate::worker::{jobs, until};

fn bury() -> Verdict {
    Verdict::Bury { error: "no good".into() }
}

async fn claim_one(worker: &mut WorkerByHand) -> ClaimByHand {
    worker.claim("b", 1).await.unwrap().pop().expect("a job is ready")
}

async fn dead_ids(queue: &Queue, run: &NewRun) -> Vec<String> {
    queue.dead(&run.id).await.unwrap().into_iter().map(|job| job.id).collect()
}

/// A claimed job fails, is put off, and is buried when it comes again.
async fn tried_and_buried(queue: &Queue, worker: &mut WorkerByHand, claim: ClaimByHand, first: &str) {
    let retry = Verdict::Retry { error: first.into(), after: Some(std::time::Duration::from_millis(1)) };
    assert!(worker.settle_one(&claim, retry).await.unwrap());
    until("it is due again", || async {
        worker.tick().await.unwrap();
        (queue.depth("b").await.unwrap().ready > 0).then_some(())
    })
    .await;
    let claim = claim_one(worker).await;
    assert!(worker.settle_one(&claim, bury()).await.unwrap());
}

#[tokio::test]
async fn a_dead_job_that_is_retried_is_in_one_place_counts_once_and_keeps_its_history() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let run = NewRun::new("a", "b").stage("all", jobs(2));
    queue.submit(&run).await.unwrap();
    let claim = claim_one(&mut worker).await;
    let other = claim_one(&mut worker).await;
    tried_and_buried(&queue, &mut worker, claim, "first").await;
    let dead = queue.dead(&run.id).await.unwrap().pop().unwrap();
    assert_eq!((dead.id.as_str(), dead.attempts, dead.error.as_str()), ("job-0", 1, "no good"));
    assert_eq!(dead.tries.iter().map(|one| one.error.as_str()).collect::<Vec<_>>(), ["first"]);
    assert!(dead.tries[0].time <= dead.time);

    let before = queue.last_seq().await.unwrap();
    let jobs = ["job-0".to_string()];
    let (state, back) = queue.retry_dead(&run.id, Some(&jobs), "bob", "job.retried").await.unwrap();
    assert_eq!((state, back.as_slice()), (RunState::Running, &jobs[..]));
    let event = &queue.events_since(before).await.unwrap().events[0];
    assert_eq!((event.name.as_str(), event.body["jobs"][0].as_str()), ("job.retried", Some("job-0")));
    let view = queue.run(&run.id).await.unwrap();
    assert_eq!((view.depth.open(), view.depth.dead, view.stages[0].dead), (2, 0, 0));

    // It is as new; when it dies again, everything that happened is still told.
    assert!(worker.settle_one(&other, Verdict::done()).await.unwrap());
    let claim = claim_one(&mut worker).await;
    assert_eq!((claim.job.id.as_str(), claim.job.attempts), ("job-0", 0));
    assert!(worker.settle_one(&claim, bury()).await.unwrap());
    let dead = queue.dead(&run.id).await.unwrap().pop().unwrap();
    assert_eq!(dead.tries.iter().map(|one| one.error.as_str()).collect::<Vec<_>>(), ["first", "no good"]);
    let view = queue.run(&run.id).await.unwrap();
    assert_eq!(view.state, RunState::FinishedHeld);
    assert_eq!((view.stages[0].done, view.stages[0].dead), (1, 1));
}

#[tokio::test]
async fn a_run_that_was_past_the_stage_of_a_retried_job_goes_back_to_it() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let mut later = jobs(5);
    later.iter_mut().for_each(|job| job.id = format!("later-{}", job.id));
    let mut run = NewRun::new("a", "b").stage("first", jobs(1)).stage("second", later);
    run.close = Some(queue::NewJob::new("close", "close", ""));
    queue.submit(&run).await.unwrap();
    let claim = claim_one(&mut worker).await;
    worker.settle_one(&claim, bury()).await.unwrap();
    let at_work = claim_one(&mut worker).await;
    assert_eq!(at_work.job.id, "later-job-0");

    queue.retry_dead(&run.id, None, "bob", "job.retried").await.unwrap();
    let depth = queue.run(&run.id).await.unwrap().depth;
    assert_eq!((depth.claimed, depth.ready, depth.backlog, depth.dead), (1, 1, 5, 0));
    let claim = claim_one(&mut worker).await;
    assert_eq!(claim.job.id, "job-0");
    assert!(worker.claim("b", 9).await.unwrap().is_empty(), "a later stage waits for it");
    assert!(worker.settle_one(&claim, Verdict::done()).await.unwrap());
    // What was handed out before the run went back is part of the way, and is done once.
    assert!(worker.claim("b", 9).await.unwrap().is_empty());
    assert!(worker.settle_one(&at_work, Verdict::done()).await.unwrap());
    let rest = worker.claim("b", 9).await.unwrap();
    let ids: Vec<&str> = rest.iter().map(|claim| claim.job.id.as_str()).collect();
    assert_eq!(ids, ["later-job-1", "later-job-2", "later-job-3", "later-job-4"]);
    assert!(
        worker.settle(rest.iter().map(|claim| (claim, bury())).collect()).await.unwrap().into_iter().all(|one| one)
    );

    // With the close job handed out there is no way back.
    let (state, back) = queue.retry_dead(&run.id, None, "bob", "job.retried").await.unwrap();
    assert_eq!((state, back.len()), (RunState::Ending, 0));
    let close = claim_one(&mut worker).await;
    // Nor when it is paused meanwhile: a worker is closing what is open.
    queue.pause(&run.id).await.unwrap();
    let (state, back) = queue.retry_dead(&run.id, None, "bob", "job.retried").await.unwrap();
    assert_eq!((state, back.len()), (RunState::Ending, 0));
    queue.resume(&run.id).await.unwrap();
    assert!(worker.settle_one(&close, Verdict::done()).await.unwrap());
    let view = queue.run(&run.id).await.unwrap();
    assert_eq!(view.stages.iter().map(|stage| (stage.done, stage.dead)).collect::<Vec<_>>(), [(1, 0), (1, 4)]);
    let (state, back) = queue.retry_dead(&run.id, None, "bob", "job.retried").await.unwrap();
    assert_eq!((state, back.len()), (RunState::FinishedHeld, 0));
}

#[tokio::test]
async fn dropped_jobs_are_gone_counted_and_keep_the_run_from_ending_as_if_all_was_well() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let run = NewRun::new("a", "b").stage("all", jobs(4));
    queue.submit(&run).await.unwrap();
    let claims = worker.claim("b", 3).await.unwrap();
    worker.settle(claims.iter().map(|claim| (claim, bury())).collect()).await.unwrap();
    let wanted = ["job-1".to_string(), "nobody".to_string()];
    let (_, dropped) = queue.drop_dead(&run.id, Some(&wanted), "bob", "job.dropped").await.unwrap();
    assert_eq!(dropped, ["job-1"]);
    assert_eq!(dead_ids(&queue, &run).await, ["job-0", "job-2"]);
    assert_eq!(queue.drop_dead(&run.id, None, "bob", "job.dropped").await.unwrap().1.len(), 2);
    let view = queue.run(&run.id).await.unwrap();
    assert_eq!((view.depth.dead, view.stages[0].dead, view.dropped), (0, 0, 3));

    let last = claim_one(&mut worker).await;
    assert!(worker.settle_one(&last, Verdict::done()).await.unwrap());
    assert_eq!(queue.run(&run.id).await.unwrap().state, RunState::FinishedHeld);
    assert!(queue.retry_dead("no-such-run", None, "bob", "job.retried").await.is_err());
}

#[tokio::test]
async fn what_was_no_job_can_be_dropped_but_not_put_back_to_work() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let run = NewRun::new("a", "b").stage("all", jobs(1));
    queue.submit(&run).await.unwrap();
    let mut raw = redis.raw().await;
    let entry: String =
        redis::cmd("XADD").arg(&["{cs}:target:b:jobs", "*", "nonsense", "1"]).query_async(&mut raw).await.unwrap();
    // A pause takes back what is unread, and finds out.
    queue.pause(&run.id).await.unwrap();
    assert_eq!(dead_ids(&queue, &run).await, std::slice::from_ref(&entry));
    assert!(queue.retry_dead(&run.id, None, "bob", "job.retried").await.unwrap().1.is_empty());
    assert_eq!(dead_ids(&queue, &run).await, std::slice::from_ref(&entry));
    assert_eq!(queue.drop_dead(&run.id, None, "bob", "job.dropped").await.unwrap().1, [entry]);
    queue.resume(&run.id).await.unwrap();
    let claim = claim_one(&mut worker).await;
    assert!(worker.settle_one(&claim, Verdict::done()).await.unwrap());
    assert_eq!(queue.run(&run.id).await.unwrap().state, RunState::FinishedHeld);
    // Nothing beside the documented keys is left of a run.
    let keys: Vec<String> = redis::cmd("KEYS").arg(format!("*{}:tries", run.id)).query_async(&mut raw).await.unwrap();
    assert!(keys.is_empty());
}
