//! What readers are told, against jobs whose places are known.

use std::time::Duration;

use queue::by_hand::WorkerByHand;
use queue::{ClaimView, Depth, NewRun, Verdict};

use crate::redis_server::TestRedis;
use crate::worker::jobs;

#[tokio::test]
async fn the_view_of_a_run_tells_every_place_and_who_has_claimed_what() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut one = WorkerByHand::new(&queue, "one", &["a", "b"]).await.unwrap();
    let mut other = WorkerByHand::new(&queue, "other", &["a", "b"]).await.unwrap();
    let mut run = NewRun::new("a", "b").stage("all", jobs(20));
    run.window = 8;
    queue.submit(&run).await.unwrap();
    let in_line = NewRun::new("a", "b").stage("all", jobs(3));
    queue.submit(&in_line).await.unwrap();

    // Of 20: one is done, two are dead, three wait for a time, two and one are claimed; the window is full again.
    let claims = one.claim("b", 6).await.unwrap();
    let later = || Verdict::Retry { error: "later".into(), after: Some(Duration::from_secs(3600)) };
    let never = || Verdict::Bury { error: "never".into() };
    let verdicts = [never(), never(), later(), later(), later(), Verdict::done()];
    assert_eq!(one.settle(claims.iter().zip(verdicts).collect()).await.unwrap(), [true; 6]);
    one.claim("b", 2).await.unwrap();
    other.claim("b", 1).await.unwrap();
    one.tick().await.unwrap();

    let views = queue.live_runs_with_claims().await.unwrap();
    let view = views.iter().find(|view| view.id == run.id).unwrap();
    let oldest = Some(view.created);
    let depth = Depth { backlog: 6, ready: 5, claimed: 3, delayed: 3, dead: 2, oldest };
    assert_eq!(view.depth, depth);
    assert_eq!((view.stages[0].open, view.stages[0].done, view.stages[0].dead), (17, 1, 2));
    let claim =
        |consumer: &str, job: &str| ClaimView { consumer: consumer.into(), job: job.into(), kind: "plain".into() };
    assert_eq!(view.claims, [claim("one", "job-6"), claim("one", "job-7"), claim("other", "job-8")]);
    // Both workers' ticks renew; the first one was there before the run.
    let seen = view.seen;
    assert!(view.lease_since.is_some_and(|since| view.created <= since && since <= seen));
    assert_eq!(view.lease_renewals, 1);
    assert_eq!(queue.leases_granted().await.unwrap()["b"], 1);

    assert_eq!(queue.run(&in_line.id).await.unwrap().depth.backlog, 3);
    assert_eq!(queue.depth("b").await.unwrap(), Depth { backlog: 9, oldest, ..depth });
}

#[tokio::test]
async fn the_last_run_of_each_target_is_known_however_many_came_before() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "one", &["a", "b", "c"]).await.unwrap();
    let mut ended = Vec::new();
    for target in ["b", "c", "b", "b"] {
        let run = NewRun::new("a", target).stage("all", jobs(1));
        queue.submit(&run).await.unwrap();
        let claims = worker.claim(target, 1).await.unwrap();
        worker.settle(claims.iter().map(|claim| (claim, Verdict::done())).collect()).await.unwrap();
        ended.insert(0, run.id);
    }
    queue.submit(&NewRun::new("a", "b").stage("all", jobs(1))).await.unwrap();

    let ids = |views: Vec<queue::RunView>| views.into_iter().map(|view| view.id).collect::<Vec<_>>();
    let mut last = ids(queue.last_runs().await.unwrap());
    last.sort();
    let mut expected = vec![ended[0].clone(), ended[2].clone()];
    expected.sort();
    assert_eq!(last, expected);
}
