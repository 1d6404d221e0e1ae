//! How runs end: every one, once, in the right state.

use std::sync::Arc;

use queue::by_hand::WorkerByHand;
use queue::{Ended, NewJob, NewRun, Outcome, Queue, RunState, Verdict, WhenExhausted};
use tokio::sync::Notify;

use crate::redis_server::TestRedis;
use crate::worker::{Worker, does, jobs, over, until};

/// The final events of a run.
async fn final_events(queue: &Queue, run: &str) -> Vec<String> {
    let replay = queue.events_since(0).await.unwrap();
    let of_run = replay.events.into_iter().filter(|event| event.run == run);
    of_run.filter(|event| event.name != "run.started").map(|event| event.name).collect()
}

fn controlled(count: usize) -> NewRun {
    let mut run = NewRun::new("a", "b").stage("all", jobs(count));
    run.open = Some(NewJob::new("open", "open", ""));
    run.close = Some(NewJob::new("close", "close", ""));
    run
}

#[tokio::test]
async fn a_stage_with_only_dead_jobs_ends_the_run_with_items_held() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let handler = does(|job, _| async move {
        if job.id == "job-1" { Verdict::Bury { error: "no good".into() } } else { Verdict::retry("always") }
    });
    let worker = Worker::start(&queue, &["a", "b"], handler);
    let run = NewRun::new("a", "b").stage("all", jobs(3)).stage("after", vec![]);
    queue.submit(&run).await.unwrap();
    let view = over(&queue, &run.id).await;
    assert_eq!(view.state, RunState::FinishedHeld);
    assert_eq!((view.stages[0].dead, view.stages[0].open), (3, 0));
    let dead = queue.dead(&run.id).await.unwrap();
    assert_eq!(dead.len(), 3);
    let tried = dead.iter().find(|job| job.id == "job-0").unwrap();
    assert_eq!((tried.attempts, tried.error.as_str()), (2, "always (attempt 3 of 3)"));
    assert_eq!(final_events(&queue, &run.id).await, ["run.finished"]);
    worker.stop().await;
}

#[tokio::test]
async fn the_counter_named_by_the_producer_decides_whether_items_are_held() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let handler = does(|job, _| async move {
        let held = i64::from(job.payload == b"payload 1");
        Verdict::Done(Outcome { notes: vec![b"\xffnote".to_vec()], ..Outcome::default().count("held", held) })
    });
    let worker = Worker::start(&queue, &["a", "b"], handler);
    for (count, state) in [(1, RunState::Finished), (2, RunState::FinishedHeld)] {
        let mut run = NewRun::new("a", "b").stage("all", jobs(count));
        run.held_counter = Some("held".into());
        queue.submit(&run).await.unwrap();
        let view = over(&queue, &run.id).await;
        assert_eq!(view.state, state);
        assert_eq!(view.notes_total, count as u64);
        assert_eq!(queue.notes(&run.id).await.unwrap()[0], b"\xffnote");
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_dead_control_job_fails_the_run() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    for broken in ["open", "close"] {
        let handler = does(move |job, _| async move {
            if job.kind == broken { Verdict::retry("nobody there") } else { Verdict::done() }
        });
        let worker = Worker::start(&queue, &["a", "b"], handler);
        let run = controlled(2);
        queue.submit(&run).await.unwrap();
        let view = over(&queue, &run.id).await;
        assert_eq!(view.state, RunState::Failed, "{broken}");
        assert_eq!(view.error.as_deref(), Some("nobody there (attempt 3 of 3)"));
        // Where opening failed the close job still ran, for the open may have arrived.
        assert_eq!(view.closed, broken == "open");
        assert_eq!(final_events(&queue, &run.id).await, ["run.failed"]);
        worker.stop().await;
    }
}

#[tokio::test]
async fn a_policy_can_make_the_last_failure_end_the_run() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut handler = does(|_, _| async { panic!("oh no") });
    handler.policy.when_exhausted = WhenExhausted::FailRun;
    let worker = Worker::start(&queue, &["a", "b"], handler);
    let run = NewRun::new("a", "b").stage("all", jobs(1));
    queue.submit(&run).await.unwrap();
    let view = over(&queue, &run.id).await;
    assert_eq!(view.state, RunState::Failed);
    assert_eq!(view.error.as_deref(), Some("the handler panicked: oh no (attempt 3 of 3)"));
    worker.stop().await;
}

#[tokio::test]
async fn cancel_stops_what_runs_closes_and_publishes_one_final_event() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let running = Arc::new(Notify::new());
    let seen = running.clone();
    let handler = does(move |job, context| {
        let seen = seen.clone();
        async move {
            match job.kind.as_str() {
                "open" => Verdict::Done(Outcome { fence: Some(b"token".to_vec()), ..Outcome::default() }),
                "close" if job.fence == b"token" => Verdict::Done(Outcome::default().count("closed", 1)),
                "close" => Verdict::Fail { error: "the fence is missing".into() },
                _ => {
                    seen.notify_one();
                    context.stopped().cancelled().await;
                    std::future::pending().await
                }
            }
        }
    });
    let worker = Worker::start(&queue, &["a", "b"], handler);
    let run = controlled(100);
    queue.submit(&run).await.unwrap();
    running.notified().await;
    assert_eq!(queue.cancel(&run.id, "bob").await.unwrap(), Ended::Ending { run: run.id.clone() });
    let view = over(&queue, &run.id).await;
    assert_eq!((view.state, view.by.as_deref(), view.closed), (RunState::Cancelled, Some("bob"), true));
    assert_eq!(view.counters["closed"], 1);
    assert_eq!(final_events(&queue, &run.id).await, ["run.cancelled"]);
    let again = queue.cancel(&run.id, "bob").await.unwrap();
    assert_eq!(again, Ended::Already { run: run.id.clone(), state: RunState::Cancelled });
    // The slots are free again.
    let next = NewRun::new("a", "b").stage("all", vec![NewJob::new("1", "open", "")]);
    queue.submit(&next).await.unwrap();
    over(&queue, &next.id).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_run_whose_close_job_does_not_answer_ends_unclosed() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let run = controlled(3);
    queue.submit(&run).await.unwrap();
    let open = worker.claim("b", 1).await.unwrap();
    assert!(worker.settle_one(&open[0], Verdict::done()).await.unwrap());
    let at_work = worker.claim("b", 1).await.unwrap();
    queue.cancel(&run.id, "bob").await.unwrap();
    assert_eq!(queue.run(&run.id).await.unwrap().state, RunState::Ending);
    let close = worker.claim("b", 10).await.unwrap();
    assert_eq!(close.iter().map(|claim| claim.job.kind.as_str()).collect::<Vec<_>>(), ["close"]);
    assert!(!worker.settle_one(&at_work[0], Verdict::done()).await.unwrap());
    let view = until("the time for closing is up", || async {
        worker.tick().await.unwrap();
        let view = queue.run(&run.id).await.unwrap();
        view.state.is_final().then_some(view)
    })
    .await;
    assert_eq!((view.state, view.closed), (RunState::Cancelled, false));
    assert!(!worker.settle_one(&close[0], Verdict::done()).await.unwrap());
    assert_eq!(final_events(&queue, &run.id).await, ["run.cancelled"]);
}

#[tokio::test]
async fn cancel_needs_no_worker() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    // Waiting for workers: over at once, and nothing was open.
    let waiting = controlled(3);
    queue.submit(&waiting).await.unwrap();
    let ended = queue.cancel(&waiting.id, "bob").await.unwrap();
    assert_eq!(ended, Ended::Now { run: waiting.id.clone(), closed: true });
    // Opened by a worker that left: over at once, and the caller knows that closing is left to do.
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let opened = controlled(3);
    queue.submit(&opened).await.unwrap();
    let open = worker.claim("b", 1).await.unwrap();
    assert!(worker.settle_one(&open[0], Verdict::done()).await.unwrap());
    worker.leave().await.unwrap();
    assert_eq!(queue.unlock("b", "eve").await.unwrap(), Ended::Now { run: opened.id.clone(), closed: false });
    assert_eq!(queue.run(&opened.id).await.unwrap().state, RunState::Unlocked);
    assert_eq!(queue.unlock("b", "eve").await.unwrap(), Ended::Nothing);
    assert_eq!(final_events(&queue, &opened.id).await, ["run.cancelled"]);
}

#[tokio::test]
async fn a_paused_run_hands_out_nothing_until_it_is_resumed() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let run = NewRun::new("a", "b").stage("all", jobs(30));
    queue.submit(&run).await.unwrap();
    let claims = worker.claim("b", 2).await.unwrap();
    assert_eq!(queue.pause(&run.id).await.unwrap(), RunState::Paused);
    let depth = queue.run(&run.id).await.unwrap().depth;
    assert_eq!((depth.backlog, depth.ready, depth.claimed), (28, 0, 2));
    // What was claimed may finish.
    assert_eq!(
        worker.settle(claims.iter().map(|claim| (claim, Verdict::done())).collect()).await.unwrap(),
        [true, true]
    );
    worker.tick().await.unwrap();
    assert!(worker.claim("b", 10).await.unwrap().is_empty());
    assert_eq!(queue.resume(&run.id).await.unwrap(), RunState::Running);
    let next = worker.claim("b", 1).await.unwrap();
    assert_eq!(next[0].job.id, "job-2");
}

#[tokio::test]
async fn a_failing_job_ends_the_run_and_the_next_gets_the_target() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let (first, second) = (NewRun::new("a", "b").stage("all", jobs(9)), NewRun::new("a", "b").stage("all", jobs(1)));
    queue.submit(&first).await.unwrap();
    queue.submit(&second).await.unwrap();
    let claims = worker.claim("b", 3).await.unwrap();
    let fail = Verdict::Fail { error: "stop everything".into() };
    let verdicts = vec![(&claims[0], fail), (&claims[1], Verdict::retry("late"))];
    assert_eq!(worker.settle(verdicts).await.unwrap(), [true, false]);
    let view = queue.run(&first.id).await.unwrap();
    assert_eq!((view.state, view.error.as_deref()), (RunState::Failed, Some("stop everything")));
    assert_eq!(queue.dead(&first.id).await.unwrap()[0].id, "job-0");
    assert_eq!(worker.claim("b", 10).await.unwrap()[0].job.run, second.id);
}

#[tokio::test]
async fn a_run_without_jobs_is_over_at_once() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let _worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let run = NewRun::new("a", "b").stage("nothing", vec![]);
    queue.submit(&run).await.unwrap();
    assert_eq!(queue.run(&run.id).await.unwrap().state, RunState::Finished);
    assert_eq!(final_events(&queue, &run.id).await, ["run.finished"]);
}
