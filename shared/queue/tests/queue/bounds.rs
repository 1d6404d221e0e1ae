//! No call does work without a bound, however much there is to do: the rest is for the next one.

use queue::by_hand::WorkerByHand;
use queue::{NewJob, NewRun, Queue, RunState, Submitted, Verdict};
use redis::aio::MultiplexedConnection;

use crate::redis_server::TestRedis;
use crate::worker::jobs;

/// How many commands of this name Redis was given, or of all.
async fn commands(raw: &mut MultiplexedConnection, name: &str) -> u64 {
    let info: String = redis::cmd("INFO").arg("commandstats").query_async(raw).await.unwrap();
    let calls = |line: &str| line.split_once("calls=")?.1.split(',').next()?.parse::<u64>().ok();
    info.lines().filter(|line| line.starts_with(&format!("cmdstat_{name}"))).filter_map(calls).sum()
}

async fn submitted(queue: &Queue, run: NewRun) -> String {
    queue.submit(&run).await.unwrap();
    run.id
}

#[tokio::test]
async fn runs_without_jobs_end_one_after_the_other_however_many_wait() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    submitted(&queue, NewRun::new("a", "b").stage("all", jobs(1))).await;
    for _ in 0..5000 {
        queue.submit(&NewRun::new("a", "b")).await.unwrap();
    }
    let last = submitted(&queue, NewRun::new("a", "b").stage("all", jobs(1))).await;
    let first = worker.claim("b", 1).await.unwrap();
    assert!(worker.settle_one(&first[0], Verdict::done()).await.unwrap());
    let mut ticks = 0;
    let claimed = loop {
        worker.tick().await.unwrap();
        ticks += 1;
        if let Some(claim) = worker.claim("b", 1).await.unwrap().pop() {
            break claim;
        }
        assert!(ticks < 1000, "they do not end");
    };
    assert_eq!(claimed.job.run, last);
    assert!(ticks > 100, "{ticks} ticks ended thousands of runs");
}

#[tokio::test]
async fn a_submit_costs_the_same_however_many_runs_wait() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut raw = redis.raw().await;
    let of = |what: &str| NewRun { dedup: Some(what.into()), ..NewRun::new("a", "b").stage("all", jobs(1)) };
    submitted(&queue, of("first")).await;
    let mut costs = Vec::new();
    for waiting in [10, 500] {
        for number in 0..waiting {
            submitted(&queue, of(&format!("{waiting} {number}"))).await;
        }
        let before = commands(&mut raw, "").await;
        let new = submitted(&queue, of(&format!("new of {waiting}"))).await;
        let same = queue.submit(&of(&format!("new of {waiting}"))).await.unwrap();
        assert_eq!(same, Submitted::Same { run: new });
        costs.push(commands(&mut raw, "").await - before);
    }
    assert_eq!(costs[0], costs[1]);
}

#[tokio::test]
async fn many_buried_jobs_go_back_to_work_and_away_in_several_calls_and_stay_in_order() {
    const MANY: usize = 1000;
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut raw = redis.raw().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let mut run = NewRun::new("a", "b").stage("all", jobs(MANY + 1));
    run.window = 256;
    queue.submit(&run).await.unwrap();
    let mut kept = Vec::new();
    while kept.len() < MANY {
        let claims = worker.claim("b", 100.min(MANY - kept.len())).await.unwrap();
        kept.extend(claims.iter().map(|claim| claim.job.id.clone()));
        let bury = |claim| (claim, Verdict::Bury { error: "no good".into() });
        worker.settle(claims.iter().map(bury).collect()).await.unwrap();
    }
    let ids = |dead: Vec<queue::DeadJob>| dead.into_iter().map(|job| job.id).collect::<Vec<_>>();
    let before = commands(&mut raw, "evalsha:").await;
    let (_, dropped) = queue.drop_dead(&run.id, Some(&[kept.remove(700)]), "bob", "job.dropped").await.unwrap();
    assert_eq!(dropped.len(), 1);
    assert_eq!(ids(queue.dead(&run.id).await.unwrap()), kept);
    let (state, back) = queue.retry_dead(&run.id, None, "bob", "job.retried").await.unwrap();
    assert_eq!((state, back), (RunState::Running, kept));
    let calls = commands(&mut raw, "evalsha:").await - before;
    assert!(calls >= 10, "{calls} calls did it all");
    let depth = queue.run(&run.id).await.unwrap().depth;
    assert_eq!((depth.dead, depth.open()), (0, MANY as u64));
}

#[tokio::test]
async fn one_call_hands_out_a_mebibyte_and_ticks_hand_out_the_rest() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    let large = (0..40).map(|number| NewJob::new(number.to_string(), "large", vec![b'x'; 1 << 20])).collect();
    let run = NewRun { window: 10, ..NewRun::new("a", "b").stage("all", large) };
    queue.submit(&run).await.unwrap();
    let mut handed_out = Vec::new();
    for _ in 0..12 {
        handed_out.push(queue.run(&run.id).await.unwrap().depth.ready);
        worker.tick().await.unwrap();
    }
    assert!(handed_out[0] < 3, "{handed_out:?}");
    assert_eq!(handed_out.last(), Some(&10), "{handed_out:?}");
}

#[tokio::test]
async fn of_log_lines_the_latest_are_kept_of_each_run_and_of_all_for_a_retention() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let lines = |run: &str, count: usize| -> Vec<(String, String)> {
        (0..count).map(|number| (run.to_owned(), format!("{run} {number}"))).collect()
    };
    queue.add_to_log(&lines("quiet", 3)).await.unwrap();
    for _ in 0..6 {
        queue.add_to_log(&[lines("loud", 900), lines("", 100)].concat()).await.unwrap();
    }
    assert_eq!(queue.log(Some("quiet"), 2).await.unwrap(), ["quiet 2", "quiet 1"], "another run pushed them out");
    let of_run = queue.log(Some("loud"), usize::MAX).await.unwrap();
    assert_eq!((of_run.len(), of_run[0].as_str(), of_run[999].as_str()), (1000, "loud 899", "loud 800"));
    let of_all = queue.log(None, usize::MAX).await.unwrap();
    assert_eq!((of_all.len(), of_all[0].as_str()), (5000, " 99"));
    assert!(queue.log(None, 0).await.unwrap().is_empty() && queue.log(Some("none"), 9).await.unwrap().is_empty());
    let mut raw = redis.raw().await;
    let retention = queue.settings().retention.as_millis() as i64;
    for key in ["log", "run:quiet:log", "run:loud:log"] {
        let key = format!("{}:{key}", queue.settings().prefix);
        let left: i64 = redis::cmd("PTTL").arg(&key).query_async(&mut raw).await.unwrap();
        assert!((1..=retention).contains(&left), "{key}: {left}");
    }
}
