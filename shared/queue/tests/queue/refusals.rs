//! Each script when it is called by the wrong one, twice, too late, or in a full Redis: what it answers, and that it
//! writes nothing at all when it refuses. All keys are compared, with their times to live.

use std::time::Duration;

use queue::by_hand::{ClaimByHand, WorkerByHand, send_ahead};
use queue::{IfBusy, NewJob, NewRun, Outcome, Queue, Settings, Verdict};

use crate::raw_keys::RawKeys;
use crate::redis_server::TestRedis;
use crate::worker::jobs;

/// What a caller may ask for. Those that need a claim use the owner's, in the hands of `by`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Call {
    Submit,
    SubmitIfFree,
    SendAhead,
    Done,
    Retry,
    Return,
    Throttled,
    Bury,
    FenceLost,
    Fail,
    Parts,
    /// More than a few claims go another way through the script.
    DoneAll,
    Extend,
    Split,
    SplitFromElsewhere,
    Reclaim,
    Pause,
    Resume,
    Cancel,
    Unlock,
    RetryDead,
    DropDead,
    View,
}

use Call::*;

/// A run that is under way: some of it claimed, a job buried, another run in line.
struct Scene {
    redis: TestRedis,
    queue: Queue,
    run: NewRun,
    workers: [WorkerByHand; 2],
    claims: Vec<ClaimByHand>,
}

const OWNER: usize = 0;
const THIEF: usize = 1;

impl Scene {
    async fn new() -> Self {
        let redis = TestRedis::start().await;
        // Nothing lapses by itself.
        let long = Duration::from_secs(3600);
        let queue = redis.queue_with(Settings { lease: long, close_within: long, ..redis.settings() }).await;
        let mut owner = WorkerByHand::new(&queue, "owner", &["a", "b"]).await.unwrap();
        let thief = WorkerByHand::new(&queue, "thief", &["a", "b"]).await.unwrap();
        let mut run = NewRun::new("a", "b").stage("all", jobs(40));
        run.window = 20;
        run.close = Some(NewJob::new("close", "close", ""));
        queue.submit(&run).await.unwrap();
        queue.submit(&NewRun::new("a", "b").stage("all", jobs(3))).await.unwrap();
        let mut claims = owner.claim("b", 13).await.unwrap();
        let dead = claims.remove(0);
        assert!(owner.settle_one(&dead, Verdict::Bury { error: "no good".into() }).await.unwrap());
        Self { redis, queue, run, workers: [owner, thief], claims }
    }

    async fn keys(&self) -> RawKeys {
        RawKeys::read(&mut self.redis.raw().await).await
    }

    /// What it answers, in short.
    async fn call(&mut self, call: Call, by: usize) -> String {
        let (queue, worker, claim) = (&self.queue, &mut self.workers[by], &self.claims[0]);
        let text = |text: &str| text.to_string();
        let later = Duration::from_secs(9);
        let verdict = match call {
            Done => Some(Verdict::Done(Outcome { notes: vec![b"n".to_vec()], ..Outcome::default().count("rows", 1) })),
            Retry => Some(Verdict::Retry { error: text("e"), after: Some(later) }),
            Return => Some(Verdict::Return { after: None, reason: text("r") }),
            Throttled => Some(Verdict::Throttled { after: later, reason: text("t") }),
            Bury => Some(Verdict::Bury { error: text("e") }),
            FenceLost => Some(Verdict::FenceLost { holder: text("h") }),
            Fail => Some(Verdict::Fail { error: text("e") }),
            _ => None,
        };
        if let Some(verdict) = verdict {
            return stood(worker.settle_one(claim, verdict).await.map(|stood| vec![stood]));
        }
        let run = self.run.id.as_str();
        let named = |result: queue::Result<String>| result.unwrap_or_else(|error| in_short(&error));
        match call {
            DoneAll => {
                let all = self.claims.iter().map(|claim| (claim, Verdict::Done(Outcome::default().count("rows", 1))));
                stood(worker.settle(all.collect()).await)
            }
            Parts => {
                stood(worker.settle_parts(claim, &[NewJob::new("part", "plain", "")]).await.map(|stood| vec![stood]))
            }
            Extend => stood(worker.extend(&self.claims.iter().collect::<Vec<_>>(), false).await),
            Split => stood(worker.split(claim, &jobs(2), b"", b"1").await.map(|stood| vec![stood])),
            SplitFromElsewhere => stood(worker.split(claim, &jobs(2), b"7", b"8").await.map(|stood| vec![stood])),
            Reclaim => named(worker.reclaim().await.map(|jobs| jobs.to_string())),
            Submit => named(queue.submit(&self.run).await.map(|answer| format!("{answer:?}"))),
            SubmitIfFree => {
                let mut other = NewRun::new("a", "b").stage("all", jobs(2_000));
                other.if_busy = IfBusy::Refuse;
                named(queue.submit(&other).await.map(|answer| format!("{answer:.7?}").chars().take(7).collect()))
            }
            SendAhead => named(send_ahead(queue, &self.run).await.map(|()| text("sent"))),
            Pause => named(queue.pause(run).await.map(|state| state.to_string())),
            Resume => named(queue.resume(run).await.map(|state| state.to_string())),
            Cancel => named(queue.cancel(run, "x").await.map(|ended| short_name(&format!("{ended:?}")))),
            Unlock => named(queue.unlock("b", "x").await.map(|ended| short_name(&format!("{ended:?}")))),
            RetryDead => named(queue.retry_dead(run, None, "x", "e").await.map(|(_, jobs)| jobs.len().to_string())),
            DropDead => named(queue.drop_dead(run, None, "x", "e").await.map(|(_, jobs)| jobs.len().to_string())),
            View => named(queue.run(run).await.map(|view| view.state.to_string())),
            _ => unreachable!("{call:?} is a verdict"),
        }
    }

    /// Makes the call, and sees that it answers so and changes nothing.
    async fn refuses(&mut self, call: Call, by: usize, answer: &str) {
        let before = self.keys().await;
        assert_eq!(self.call(call, by).await, answer, "{call:?}");
        assert_eq!(self.keys().await.differences(&before), [""; 0], "{call:?} wrote something");
    }
}

fn stood(answers: queue::Result<Vec<bool>>) -> String {
    match answers {
        Err(error) => in_short(&error),
        Ok(answers) if answers.iter().all(|stood| *stood) => "stood".into(),
        Ok(answers) if answers.iter().all(|stood| !*stood) => "lost".into(),
        Ok(answers) => format!("{answers:?}"),
    }
}

fn in_short(error: &queue::Error) -> String {
    short_name(&format!("{error:?}"))
}

fn short_name(debug: &str) -> String {
    debug.split([' ', '(', '{']).next().unwrap_or_default().to_string()
}

#[tokio::test]
async fn nobody_but_the_holder_changes_anything() {
    let mut scene = Scene::new().await;
    for call in [Done, Retry, Return, Throttled, Bury, FenceLost, Fail, Parts, DoneAll, Extend, Split] {
        scene.refuses(call, THIEF, "lost").await;
    }
    scene.refuses(Reclaim, THIEF, "0").await;
    scene.refuses(SplitFromElsewhere, OWNER, "lost").await;
    // The holder's claims are as good as before.
    assert_eq!(scene.call(Extend, OWNER).await, "stood");
    assert_eq!(scene.call(DoneAll, OWNER).await, "stood");
}

#[tokio::test]
async fn a_call_made_twice_does_the_second_time_nothing() {
    for (call, first, second) in [
        (Submit, "AlreadyThere", "AlreadyThere"),
        (SubmitIfFree, "Refused", "Refused"),
        (SendAhead, "sent", "sent"),
        (Done, "stood", "lost"),
        (Retry, "stood", "lost"),
        (Return, "stood", "lost"),
        (Throttled, "stood", "lost"),
        (Bury, "stood", "lost"),
        (FenceLost, "stood", "lost"),
        (Fail, "stood", "lost"),
        (Parts, "stood", "lost"),
        (DoneAll, "stood", "lost"),
        (Split, "stood", "stood"),
        (Pause, "paused", "paused"),
        (Resume, "running", "running"),
        (Cancel, "Ending", "Ending"),
        (RetryDead, "1", "0"),
        (DropDead, "1", "0"),
        (View, "running", "running"),
    ] {
        let mut scene = Scene::new().await;
        assert_eq!(scene.call(call, OWNER).await, first, "{call:?}");
        scene.refuses(call, OWNER, second).await;
    }
}

#[tokio::test]
async fn calls_for_a_run_that_is_gone_say_so_and_write_nothing() {
    let mut scene = Scene::new().await;
    redis::cmd("FLUSHALL").exec_async(&mut scene.redis.raw().await).await.unwrap();
    for call in [Done, Retry, Return, Throttled, Bury, FenceLost, Fail, Parts, DoneAll, Extend, Split] {
        scene.refuses(call, OWNER, "lost").await;
    }
    for call in [Pause, Resume, Cancel, RetryDead, DropDead, View] {
        scene.refuses(call, OWNER, "UnknownRun").await;
    }
    scene.refuses(Unlock, OWNER, "Nothing").await;
    scene.refuses(Reclaim, OWNER, "0").await;
    let before = scene.keys().await;
    scene.workers[OWNER].leave().await.unwrap();
    assert_eq!(scene.keys().await, before);
}

#[tokio::test]
async fn calls_for_a_run_that_is_over_change_nothing() {
    let mut scene = Scene::new().await;
    assert_eq!(scene.call(Cancel, OWNER).await, "Ending");
    // Unlocking does not wait for the close job; the next run gets the target.
    assert_eq!(scene.call(Unlock, OWNER).await, "Now");
    for call in [Done, Retry, Return, Throttled, Bury, FenceLost, Fail, Parts, DoneAll, Extend, Split] {
        scene.refuses(call, OWNER, "lost").await;
    }
    for (call, answer) in [
        (Submit, "AlreadyThere"),
        (SendAhead, "sent"),
        (Pause, "cancelled"),
        (Resume, "cancelled"),
        (Cancel, "Already"),
        (RetryDead, "0"),
        (View, "cancelled"),
    ] {
        scene.refuses(call, OWNER, answer).await;
    }
}

#[tokio::test]
async fn what_grows_is_refused_by_a_full_redis_and_writes_nothing_the_rest_drains() {
    for (call, answer) in [
        (Done, "stood"),
        (Retry, "stood"),
        (Return, "stood"),
        (Throttled, "stood"),
        (Bury, "stood"),
        (FenceLost, "stood"),
        (Fail, "stood"),
        (Parts, "stood"),
        (DoneAll, "stood"),
        (Extend, "stood"),
        (Reclaim, "0"),
        (Pause, "paused"),
        (Resume, "running"),
        (Cancel, "Ending"),
        (Unlock, "Ending"),
        (RetryDead, "1"),
        (DropDead, "1"),
        (View, "running"),
    ] {
        let mut scene = Scene::new().await;
        // The scripts must be there before it is full, as they are in life.
        fill(&scene.redis).await;
        for refused in [Split, SubmitIfFree] {
            scene.refuses(refused, OWNER, "Full").await;
        }
        assert_eq!(scene.call(call, OWNER).await, answer, "{call:?}");
        scene.workers[THIEF].tick().await.unwrap();
        scene.workers[THIEF].leave().await.unwrap();
    }
}

async fn fill(redis: &TestRedis) {
    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1mb"]).exec_async(&mut redis.raw().await).await.unwrap();
}
