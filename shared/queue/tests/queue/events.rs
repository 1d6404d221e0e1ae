//! What others are told.

use futures_util::StreamExt;
use queue::by_hand::WorkerByHand;
use queue::{NewRun, Outcome, Settings, Verdict};
use serde_json::json;

use crate::redis_server::TestRedis;
use crate::worker::{Worker, does, jobs, over, until};

fn told(id: &str) -> NewRun {
    let mut run = NewRun::new("a", "b").stage("all", jobs(1));
    run.id = id.into();
    run.labels.insert("direction".into(), json!("push"));
    run.labels.insert("target".into(), json!({"name": "b", "uri": "https://b.example/\"x\""}));
    run.events.finished = "sync.push.finished".into();
    run.events.changed = Some("sync.push.changed".into());
    run
}

#[tokio::test]
async fn events_carry_the_facts_of_the_run_and_count_up() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let mut worker = WorkerByHand::new(&queue, "w", &["a", "b"]).await.unwrap();
    queue.submit(&told("r1")).await.unwrap();
    let claims = worker.claim("b", 1).await.unwrap();
    let outcome =
        Outcome { event: Some(("rows.written".into(), r#""model":"posts","rows":3"#.into())), ..Outcome::default() };
    worker.settle_one(&claims[0], Verdict::Done(outcome.count("rows", 3))).await.unwrap();
    let replay = queue.events_since(0).await.unwrap();
    assert!(!replay.trimmed);
    let names: Vec<_> = replay.events.iter().map(|event| (event.seq, event.name.as_str())).collect();
    assert_eq!(names, [(1, "sync.push.changed"), (2, "run.started"), (3, "rows.written"), (4, "sync.push.finished")]);
    let last = &replay.events[3].body;
    assert_eq!(last["direction"], json!("push"));
    assert_eq!(last["source"], json!("a"));
    assert_eq!(last["target"]["uri"], json!("https://b.example/\"x\""));
    assert_eq!((&last["state"], &last["counts"]), (&json!("finished"), &json!({"rows": 3})));
    let time = last["time"].as_str().unwrap();
    assert!(time.len() == 24 && time.starts_with("20") && time.ends_with('Z'), "{time}");
    assert_eq!(replay.events[2].body["model"], json!("posts"));
    assert_eq!(queue.last_seq().await.unwrap(), 4);
    assert_eq!(queue.events_since(3).await.unwrap().events.len(), 1);
}

#[tokio::test]
async fn a_replay_says_when_events_are_gone() {
    let redis = TestRedis::start().await;
    let queue = redis.queue_with(Settings { event_log: 10, ..redis.settings() }).await;
    let worker = Worker::start(&queue, &["a", "b"], does(|_, _| async { Verdict::done() }));
    // A log is trimmed by whole nodes of a hundred entries.
    for number in 0..80 {
        queue.submit(&told(&format!("r{number}"))).await.unwrap();
    }
    over(&queue, "r79").await;
    let replay = queue.events_since(0).await.unwrap();
    assert!(replay.trimmed);
    let first = replay.events[0].seq;
    assert!(first > 1);
    assert!(!queue.events_since(first).await.unwrap().trimmed);
    assert!(queue.events_since(first - 2).await.unwrap().trimmed);
    // Numbers that started anew are a gap as well.
    assert!(queue.events_since(100_000).await.unwrap().trimmed);
    worker.stop().await;
}

#[tokio::test]
async fn what_is_read_a_part_at_a_time_is_the_same_without_gap() {
    const EVENTS: u64 = 600;
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    for _ in 0..EVENTS {
        queue.announce("told", &serde_json::Map::new()).await.unwrap();
    }
    let part = queue.next_events(597, 2).await.unwrap();
    assert_eq!(part.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [598, 599]);
    assert!(!part.trimmed);
    let all: Vec<u64> = queue.subscribe(0).take(EVENTS as usize).map(|event| event.seq).collect().await;
    assert_eq!(all, (1..=EVENTS).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_subscription_replays_follows_and_survives_a_broken_connection() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let worker = Worker::start(&queue, &["a", "b"], does(|_, _| async { Verdict::done() }));
    queue.submit(&told("before")).await.unwrap();
    over(&queue, "before").await;
    let mut subscription = queue.subscribe(0);
    let mut seen = Vec::new();
    for round in 0..10 {
        queue.submit(&told(&format!("r{round}"))).await.unwrap();
        if round % 3 == 1 {
            let _: i64 = redis::cmd("CLIENT")
                .arg(&["KILL", "TYPE", "pubsub"])
                .query_async(&mut redis.raw().await)
                .await
                .unwrap();
        }
        over(&queue, &format!("r{round}")).await;
    }
    let last = queue.last_seq().await.unwrap();
    while seen.last() != Some(&last) {
        let event =
            tokio::time::timeout(std::time::Duration::from_secs(30), subscription.next()).await.unwrap().unwrap();
        seen.push(event.seq);
    }
    assert_eq!(seen, (1..=last).collect::<Vec<_>>());
    worker.stop().await;
}

#[tokio::test]
async fn a_subscription_goes_on_after_redis_lost_its_data() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let worker = Worker::start(&queue, &["a", "b"], does(|_, _| async { Verdict::done() }));
    queue.submit(&told("before")).await.unwrap();
    over(&queue, "before").await;
    let mut subscription = queue.subscribe(0);
    while subscription.next().await.unwrap().name != "sync.push.finished" {}
    let _: () = redis::cmd("FLUSHALL").query_async(&mut redis.raw().await).await.unwrap();
    queue.submit(&told("after")).await.unwrap();
    until("the run after is over", || async { queue.run("after").await.unwrap().state.is_final().then_some(()) }).await;
    let first = subscription.next().await.unwrap();
    assert_eq!((first.seq, first.run.as_str()), (1, "after"));
    worker.stop().await;
}

/// What a subscription had not read when Redis lost its data has numbers that are given again: it is not taken for new.
#[tokio::test]
async fn after_a_loss_nothing_of_before_is_taken_for_new_and_nothing_comes_twice() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let tell = async |time: &str, events: u32| {
        let about = serde_json::Map::from_iter([("when".to_owned(), json!(time))]);
        for _ in 0..events {
            queue.announce("told", &about).await.unwrap();
        }
    };
    let pages_read = async |pages: u32| {
        until("the log was read so often", || async {
            let calls: String =
                redis::cmd("INFO").arg("commandstats").query_async(&mut redis.raw().await).await.unwrap();
            calls.contains(&format!("cmdstat_xrange:calls={pages},")).then_some(())
        })
        .await;
    };
    // Nobody takes events, so that the second page of the log is not sent to its end, and what happens then is published
    // to a subscription that does not read it.
    tell("before", 512).await;
    let mut subscription = queue.subscribe(0);
    pages_read(2).await;
    tell("before", 288).await;
    let mut seen: Vec<(u64, String)> = Vec::new();
    let mut take = async |events: usize, seen: &mut Vec<(u64, String)>| {
        for _ in 0..events {
            let event = subscription.next().await.unwrap();
            seen.push((event.seq, event.body["when"].as_str().unwrap().to_owned()));
        }
    };
    // The log was read to its end, and the end not sent yet: all that was published comes after it.
    take(530, &mut seen).await;
    pages_read(4).await;
    let _: () = redis::cmd("FLUSHALL").query_async(&mut redis.raw().await).await.unwrap();
    // The next number is that of something published before, and not read yet.
    tell("after", 513).await;
    take(270 + 513, &mut seen).await;
    tell("after", 1).await;
    take(1, &mut seen).await;
    let before = (1..=800).map(|seq| (seq, "before".to_owned()));
    let after = (1..=514).map(|seq| (seq, "after".to_owned()));
    assert_eq!(seen, before.chain(after).collect::<Vec<_>>());
}
