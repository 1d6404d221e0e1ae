//! What must work on every server: a run from submit to its last event, a second one that is cancelled, and a run that
//! goes on while its server is replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use queue::by_hand::WorkerByHand;
use queue::{Ended, NewJob, NewRun, Outcome, Queue, RunState, Server, Settings, Verdict};

use crate::worker::{Worker, does, jobs, over, until};

pub fn settings(server: Server) -> Settings {
    let (lease, close_within) = (Duration::from_secs(2), Duration::from_secs(1));
    Settings { server, lease, close_within, response_timeout: Duration::from_secs(2), ..Settings::default() }
}

pub async fn connect(server: Server) -> Queue {
    connect_with(settings(server)).await
}

/// Why the queue does not run on a server.
pub async fn refusal(server: Server) -> String {
    let Err(error) = Queue::connect(settings(server)).await else { panic!("it was accepted") };
    error.to_string()
}

pub async fn warnings(server: Server) -> Vec<String> {
    Queue::connect(settings(server)).await.unwrap_or_else(|error| panic!("{error}")).1
}

pub async fn connect_with(settings: Settings) -> Queue {
    Queue::connect(settings).await.unwrap_or_else(|error| panic!("{error}")).0
}

/// Every script and every command once, with what they answer.
pub async fn live(server: Server) {
    let queue = connect(server).await;
    let deployment = queue.deployment().await.unwrap();
    assert_eq!(queue.deployment().await.unwrap(), deployment);
    let mut heard = queue.subscribe(0);
    by_hand(&queue).await;
    with_a_consumer(&queue).await;

    let replay = queue.events_since(0).await.unwrap();
    assert!(!replay.trimmed);
    assert_eq!(replay.events.len() as u64, queue.last_seq().await.unwrap());
    for told in replay.events {
        let event = tokio::time::timeout(Duration::from_secs(10), heard.next()).await.expect("it is told soon");
        assert_eq!(event, Some(told));
    }
}

async fn by_hand(queue: &Queue) {
    let mut worker = WorkerByHand::new(queue, "w", &["a", "b"]).await.unwrap();
    let run = NewRun::new("a", "b").stage("all", vec![NewJob::new("parent", "splits", b"\0\xff".to_vec())]);
    queue.submit(&run).await.unwrap();
    let waiting = NewRun::new("a", "b").stage("all", jobs(1));
    queue.submit(&waiting).await.unwrap();

    let parent = worker.claim("b", 1).await.unwrap().remove(0);
    assert_eq!(parent.job.payload, b"\0\xff");
    assert_eq!(worker.extend(&[&parent], true).await.unwrap(), [true]);
    assert!(worker.split(&parent, &jobs(2), b"", b"end").await.unwrap());
    assert!(worker.settle_one(&parent, Verdict::done()).await.unwrap());
    let claims = worker.claim("b", 10).await.unwrap();
    assert_eq!(queue.run(&run.id).await.unwrap().depth.claimed, 2);
    let outcome = Outcome { notes: vec![b"noted".to_vec()], ..Outcome::default() }.count("rows", 3);
    let buried = Verdict::Bury { error: "unreadable".into() };
    let verdicts = vec![(&claims[0], Verdict::Done(outcome)), (&claims[1], buried)];
    assert_eq!(worker.settle(verdicts).await.unwrap(), [true, true]);
    assert!(!worker.settle_one(&claims[0], Verdict::done()).await.unwrap(), "it was settled before");
    let view = queue.run(&run.id).await.unwrap();
    assert_eq!((view.state, view.counters["rows"], view.depth.dead), (RunState::FinishedHeld, 3, 1));
    assert_eq!(queue.notes(&run.id).await.unwrap(), [b"noted"]);
    assert_eq!(queue.dead(&run.id).await.unwrap()[0].error, "unreadable");

    assert_eq!(queue.pause(&waiting.id).await.unwrap(), RunState::Paused);
    assert_eq!(queue.resume(&waiting.id).await.unwrap(), RunState::Running);
    let ended = Ended::Now { run: waiting.id.clone(), closed: true };
    assert_eq!(queue.cancel(&waiting.id, "me").await.unwrap(), ended);
    assert_eq!(queue.unlock("b", "me").await.unwrap(), Ended::Nothing);
    worker.reclaim().await.unwrap();
    assert_eq!(queue.workers().await.unwrap().len(), 1);
    worker.leave().await.unwrap();
}

/// Reads two targets at once, retries, and hears of nothing lost.
async fn with_a_consumer(queue: &Queue) {
    let handler = does(|job, _| async move {
        if job.attempts == 0 {
            return Verdict::retry("the first attempt");
        }
        Verdict::Done(Outcome::default().count("done", 1))
    });
    let worker = Worker::start(queue, &["a", "b"], handler);
    let (to_a, to_b) = (NewRun::new("b", "a").stage("all", jobs(20)), NewRun::new("a", "b").stage("all", jobs(20)));
    queue.submit(&to_a).await.unwrap();
    queue.submit(&to_b).await.unwrap();
    for run in [to_a, to_b] {
        let view = over(queue, &run.id).await;
        assert_eq!((view.state, view.counters["done"]), (RunState::Finished, 20));
    }
    assert_eq!(queue.targets().await.unwrap(), ["a", "b"]);
    worker.stop().await;
}

/// A run of 400 jobs during which `disturb` happens: it ends well, and every job counts once. How many were executed.
pub async fn survive(queue: &Queue, disturb: impl AsyncFnOnce()) -> u64 {
    let executed = Arc::new(AtomicU64::new(0));
    let counter = executed.clone();
    let handler = does(move |_, _| {
        counter.fetch_add(1, Ordering::Relaxed);
        finish_soon()
    });
    let worker = Worker::start(queue, &["a", "b"], handler);
    let mut heard = queue.subscribe(queue.last_seq().await.unwrap());
    let run = NewRun::new("a", "b").stage("all", jobs(400));
    queue.submit(&run).await.unwrap();
    let done = async || queue.run(&run.id).await.ok().and_then(|view| view.counters.get("done").copied());
    until("some jobs are done", || async { done().await.filter(|done| *done > 40) }).await;
    disturb().await;
    assert!(done().await.is_none_or(|done| done < 400), "the run was over before anything happened");

    let view =
        until("the run is over", || async { queue.run(&run.id).await.ok().filter(|view| view.state.is_final()) });
    let view = view.await;
    assert_eq!((view.state, view.counters["done"], view.stages[0].done), (RunState::Finished, 400, 400));
    let last = async {
        while let Some(event) = heard.next().await {
            if event.name == run.events.finished {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), last).await.expect("subscribers hear of the end");
    worker.stop().await;
    executed.load(Ordering::Relaxed)
}

async fn finish_soon() -> Verdict {
    tokio::time::sleep(Duration::from_millis(20)).await;
    Verdict::Done(Outcome::default().count("done", 1))
}
