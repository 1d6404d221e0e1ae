//! Who may settle, extend and split; what happens to claims that are taken away. One transition at a time, by hand.

use queue::by_hand::{ClaimByHand, WorkerByHand};
use queue::{NewJob, NewRun, Outcome, Queue, RunState, Verdict};

use crate::redis_server::TestRedis;
use crate::worker::jobs;

async fn submitted(queue: &Queue, count: usize, window: u16) -> NewRun {
    let mut run = NewRun::new("a", "b").stage("all", jobs(count));
    run.window = window;
    queue.submit(&run).await.unwrap();
    run
}

#[tokio::test]
async fn revoke_moves_read_and_unread_entries_back_attempts_unchanged() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w1", &["a", "b"]).await.unwrap();
    let run = submitted(&queue, 6, 4).await;
    let claims = worker.claim("b", 2).await.unwrap();
    assert_eq!(claims.len(), 2);
    let before = queue.run(&run.id).await.unwrap();
    assert_eq!((before.depth.backlog, before.depth.ready, before.depth.claimed), (2, 2, 2));

    // Another run, of another source, is granted the target because nobody keeps the lease alive.
    let mut other = NewRun::new("c", "b").stage("all", jobs(1));
    other.open = None;
    queue.submit(&other).await.unwrap();
    worker.leave().await.unwrap();
    let _: () = redis::cmd("HSET")
        .arg(&["{cs}:target:b:lease", "expires", "1"])
        .query_async(&mut redis.raw().await)
        .await
        .unwrap();
    let mut second = WorkerByHand::new(&queue, "w2", &["b", "c"]).await.unwrap();
    let after = queue.run(&run.id).await.unwrap();
    assert_eq!(after.state, RunState::Waiting);
    assert_eq!((after.depth.backlog, after.depth.ready, after.depth.claimed), (6, 0, 0));
    assert_eq!(queue.run(&other.id).await.unwrap().state, RunState::Running);

    // The old claims are lost, and nothing they say counts.
    let done = || Verdict::Done(Outcome::default().count("rows", 1));
    assert_eq!(worker.settle(vec![(&claims[0], done()), (&claims[1], done())]).await.unwrap(), [false, false]);
    assert_eq!(worker.extend(&[&claims[0], &claims[1]], true).await.unwrap(), [false, false]);
    assert!(queue.run(&run.id).await.unwrap().counters.is_empty());

    // When the other is through, the first goes on: same jobs, same order, nothing counted against them.
    let theirs = second.claim("b", 10).await.unwrap();
    assert!(second.settle_one(&theirs[0], Verdict::done()).await.unwrap());
    worker.tick().await.unwrap();
    let again = worker.claim("b", 10).await.unwrap();
    let ids: Vec<_> =
        again.iter().map(|claim| (claim.job.id.as_str(), claim.job.attempts, claim.job.crashes)).collect();
    assert_eq!(ids, [("job-0", 0, 0), ("job-1", 0, 0), ("job-2", 0, 0), ("job-3", 0, 0)]);
    assert_ne!(again[0].job.lease_id, claims[0].job.lease_id);
}

#[tokio::test]
async fn only_the_holder_of_a_claim_can_settle_or_extend_it() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut owner = WorkerByHand::new(&queue, "owner", &["a", "b"]).await.unwrap();
    let mut thief = WorkerByHand::new(&queue, "thief", &["a", "b"]).await.unwrap();
    let run = submitted(&queue, 12, 12).await;
    let claims = owner.claim("b", 10).await.unwrap();
    let done = || Verdict::Done(Outcome::default().count("rows", 1));
    // Few and many go through different checks of ownership.
    for some in [&claims[..1], &claims[..]] {
        let all: Vec<_> = some.iter().map(|claim| (claim, done())).collect();
        assert!(thief.settle(all).await.unwrap().iter().all(|stood| !stood));
        let all: Vec<_> = some.iter().collect();
        assert!(thief.extend(&all, true).await.unwrap().iter().all(|stands| !stands));
    }
    // What is done is told by entry and lease alone: together they are one job, of one deployment.
    assert!(!owner.settle_one(&claims[0].for_job("job-1"), Verdict::Bury { error: "x".into() }).await.unwrap());
    assert!(!owner.settle_one(&claims[0].under_lease("another"), done()).await.unwrap());
    assert!(!owner.settle_one(&claims[0].under_lease("another"), Verdict::Bury { error: "x".into() }).await.unwrap());
    assert!(!thief.split(&claims[0], &jobs(3), b"", b"1").await.unwrap());
    let view = queue.run(&run.id).await.unwrap();
    assert_eq!((view.depth.claimed, view.depth.ready, view.depth.dead), (10, 2, 0));
    assert!(view.counters.is_empty());

    // The owner's claims are as good as before, in whichever order they end; one named twice counts once.
    let mut all: Vec<_> = claims.iter().rev().map(|claim| (claim, done())).collect();
    all.push((&claims[0], done()));
    let stood = owner.settle(all).await.unwrap();
    assert!(stood[..10].iter().all(|stood| *stood) && !stood[10]);
    assert_eq!(queue.run(&run.id).await.unwrap().counters["rows"], 10);
}

#[tokio::test]
async fn a_lost_claim_among_many_takes_no_other_claim_with_it() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "worker", &["a", "b"]).await.unwrap();
    let run = submitted(&queue, 10, 10).await;
    let claims = worker.claim("b", 10).await.unwrap();
    assert!(worker.settle_one(&claims[3], Verdict::done()).await.unwrap());
    // As many as are claimed up to the last of them; but one of them is lost, and another is still at work.
    let again: Vec<_> =
        done(&claims).into_iter().enumerate().filter(|(place, _)| *place != 8).map(|(_, one)| one).collect();
    let stood = worker.settle(again).await.unwrap();
    assert_eq!(stood.iter().filter(|stood| **stood).count(), 8);
    assert_eq!(queue.run(&run.id).await.unwrap().depth.claimed, 1);
    assert!(worker.settle_one(&claims[8], Verdict::done()).await.unwrap());
}

fn done(claims: &[ClaimByHand]) -> Vec<(&ClaimByHand, Verdict)> {
    claims.iter().map(|claim| (claim, Verdict::done())).collect()
}

#[tokio::test]
async fn a_settle_of_many_takes_nothing_with_it_that_it_does_not_name() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut one = WorkerByHand::new(&queue, "one", &["a", "b"]).await.unwrap();
    let mut other = WorkerByHand::new(&queue, "other", &["a", "b"]).await.unwrap();
    let run = submitted(&queue, 60, 60).await;
    // In the stream: 1 claim of the other's, 20 of one's, 20 of the other's, 19 that nobody has read.
    let first = other.claim("b", 1).await.unwrap();
    let mine = one.claim("b", 20).await.unwrap();
    let theirs = other.claim("b", 20).await.unwrap();
    let open = || async { queue.run(&run.id).await.unwrap().depth.open() };

    // Not the oldest, and not all up to the last.
    assert!(one.settle(done(&[&mine[..9], &mine[10..19]].concat())).await.unwrap().iter().all(|stood| *stood));
    assert_eq!(open().await, 60 - 18);
    assert!(other.settle(done(&theirs[10..])).await.unwrap().iter().all(|stood| *stood));
    assert_eq!(open().await, 60 - 18 - 10);
    assert!(other.settle_one(&first[0], Verdict::done()).await.unwrap());
    assert!(one.settle(done(&[&mine[9..10], &mine[19..]].concat())).await.unwrap().iter().all(|stood| *stood));
    // All the oldest: what follows them stays.
    assert!(other.settle(done(&theirs[..9])).await.unwrap().iter().all(|stood| *stood));
    assert_eq!(open().await, 60 - 18 - 10 - 12);
    assert!(other.settle_one(&theirs[9], Verdict::done()).await.unwrap());
    let rest = one.claim("b", 60).await.unwrap();
    assert_eq!(rest.len(), 19);
    // The oldest, but not all up to the last.
    assert!(one.settle(done(&[&rest[..9], &rest[10..]].concat())).await.unwrap().iter().all(|stood| *stood));
    assert!(one.settle_one(&rest[9], Verdict::done()).await.unwrap());
    assert_eq!(queue.run(&run.id).await.unwrap().state, RunState::Finished);
}

#[tokio::test]
async fn a_dead_workers_jobs_go_to_the_front_with_a_crash_counted_if_they_had_started() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut dead = WorkerByHand::new(&queue, "dead", &["a", "b"]).await.unwrap();
    let mut living = WorkerByHand::new(&queue, "living", &["a", "b"]).await.unwrap();
    submitted(&queue, 6, 4).await;
    let claims = dead.claim("b", 3).await.unwrap();
    let fresh = living.claim("b", 1).await.unwrap();
    // The third waited for its turn and had not started.
    assert_eq!(dead.extend(&[&claims[2]], false).await.unwrap(), [true]);
    redis.age("b", "dead", &claims.iter().collect::<Vec<_>>()).await;

    assert_eq!(living.reclaim().await.unwrap(), 3);
    assert_eq!(living.reclaim().await.unwrap(), 0);
    assert!(!dead.settle_one(&claims[0], Verdict::done()).await.unwrap());
    let again = living.claim("b", 10).await.unwrap();
    let seen: Vec<_> =
        again.iter().map(|claim| (claim.job.id.as_str(), claim.job.crashes, claim.job.attempts)).collect();
    assert_eq!(seen, [("job-0", 1, 0), ("job-1", 1, 0), ("job-2", 0, 0)]);
    assert!(living.settle_one(&fresh[0], Verdict::done()).await.unwrap());
}

#[tokio::test]
async fn a_claim_that_is_extended_is_not_reclaimed() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    submitted(&queue, 1, 4).await;
    let claims = worker.claim("b", 1).await.unwrap();
    redis.age("b", "w", &[&claims[0]]).await;
    assert_eq!(worker.extend(&[&claims[0]], true).await.unwrap(), [true]);
    assert_eq!(worker.reclaim().await.unwrap(), 0);
    assert!(worker.settle_one(&claims[0], Verdict::done()).await.unwrap());
}

#[tokio::test]
async fn a_splitting_job_that_runs_twice_doubles_nothing() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let run = NewRun::new("a", "b").stage("all", vec![NewJob::new("parent", "split", "")]);
    queue.submit(&run).await.unwrap();
    let first = worker.claim("b", 1).await.unwrap().remove(0);
    let part = |from: usize| -> Vec<NewJob> {
        (from..from + 3).map(|number| NewJob::new(format!("child-{number}"), "batch", "")).collect()
    };
    assert!(worker.split(&first, &part(0), b"", b"3").await.unwrap());
    // The answer was lost on the way and the call is repeated.
    assert!(worker.split(&first, &part(0), b"", b"3").await.unwrap());
    assert_eq!(queue.run(&run.id).await.unwrap().depth.open(), 4);

    // Its worker dies; the next execution goes on from the cursor.
    redis.age("b", "w", &[&first]).await;
    worker.reclaim().await.unwrap();
    let mut claims = worker.claim("b", 10).await.unwrap();
    let parent = claims.remove(claims.iter().position(|claim| claim.job.id == "parent").unwrap());
    assert_eq!(parent.job.cursor.as_deref(), Some(&b"3"[..]));
    assert!(!worker.split(&first, &part(3), b"3", b"6").await.unwrap(), "the old claim is void");
    assert!(!worker.split(&parent, &part(0), b"", b"3b").await.unwrap(), "starting over is refused");
    assert!(worker.split(&parent, &part(3), b"3", b"6").await.unwrap());
    assert!(worker.settle_one(&parent, Verdict::done()).await.unwrap());
    claims.extend(worker.claim("b", 10).await.unwrap());
    let mut ids: Vec<_> = claims.iter().map(|claim| claim.job.id.clone()).collect();
    ids.sort();
    assert_eq!(ids, ["child-0", "child-1", "child-2", "child-3", "child-4", "child-5"]);
    assert_eq!(queue.run(&run.id).await.unwrap().state, RunState::Running);
    worker.settle(claims.iter().map(|claim| (claim, Verdict::done())).collect()).await.unwrap();
    assert_eq!(queue.run(&run.id).await.unwrap().state, RunState::Finished);
}

#[tokio::test]
async fn every_job_is_in_exactly_one_place() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let run = submitted(&queue, 10, 5).await;
    let claims = worker.claim("b", 4).await.unwrap();
    let later = Some(std::time::Duration::from_secs(600));
    worker.settle_one(&claims[0], Verdict::done()).await.unwrap();
    worker.settle_one(&claims[1], Verdict::Retry { error: "e".into(), after: later }).await.unwrap();
    worker.settle_one(&claims[2], Verdict::Bury { error: "broken".into() }).await.unwrap();
    let depth = queue.run(&run.id).await.unwrap().depth;
    assert_eq!((depth.backlog, depth.ready, depth.claimed, depth.delayed, depth.dead), (2, 4, 1, 1, 1));
    assert_eq!(queue.depth("b").await.unwrap().open(), 8);
    let dead = queue.dead(&run.id).await.unwrap();
    assert_eq!(
        (dead[0].id.as_str(), dead[0].payload.as_slice(), dead[0].error.as_str()),
        ("job-2", &b"payload 2"[..], "broken")
    );
    // What is handed back is the next to be handed out, and counts no attempt.
    worker.settle_one(&claims[3], Verdict::Return { after: None, reason: "busy".into() }).await.unwrap();
    let again = worker.claim("b", 10).await.unwrap();
    let back = again.iter().find(|claim| claim.job.id == "job-3").unwrap();
    assert_eq!(back.job.attempts, 0);
}
