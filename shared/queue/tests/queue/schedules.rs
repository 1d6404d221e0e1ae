//! Ticks of schedules: each once, whoever comes first, whatever becomes of those who watch the clock.

use queue::{NewRun, Pass, Queue, Submitted, Tick, TickOutcome};
use serde_json::json;

use crate::redis_server::TestRedis;
use crate::worker::jobs;

const NIGHT: u64 = 1_795_402_800_000;
const DAY: u64 = 86_400_000;

async fn tick(queue: &Queue, planned: u64) -> Tick {
    let after = queue.schedule("nightly").await.unwrap().handled;
    Tick { schedule: "nightly".into(), planned: Some(planned), after }
}

fn run(tick: &Tick) -> NewRun {
    let mut run = NewRun::new("a", "b").stage("all", jobs(1));
    run.tick = Some(tick.clone());
    run
}

async fn missed(queue: &Queue, tick: &Tick, count: u64) -> bool {
    let about = r#""target":"b""#;
    let pass = Pass::Missed { count, why: "nobody \"was\" there" };
    queue.pass_tick(tick, pass, "schedule.missed", about).await.unwrap()
}

#[tokio::test]
async fn of_many_who_submit_a_tick_one_makes_a_run_and_all_learn_which() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    queue.observe_schedule("nightly", "0 3 * * *", NIGHT - 1000).await.unwrap();
    let due = tick(&queue, NIGHT).await;
    let runs: Vec<NewRun> = (0..8).map(|_| run(&due)).collect();
    let submits = runs.iter().map(|run| {
        let (queue, run) = (queue.clone(), run.clone());
        tokio::spawn(async move { queue.submit(&run).await.unwrap() })
    });
    let mut made = Vec::new();
    for (submit, run) in submits.collect::<Vec<_>>().into_iter().zip(&runs) {
        made.push(match submit.await.unwrap() {
            Submitted::Same { run } => run,
            Submitted::Waiting { position: 1 } => run.id.clone(),
            other => panic!("{other:?}"),
        });
    }
    assert!(made.iter().all(|id| *id == made[0]), "{made:?}");
    assert_eq!(queue.runs(100).await.unwrap().len(), 1);
    // Whoever does not know whether the run was taken asks again with the same one.
    let taken = runs.iter().find(|run| run.id == made[0]).unwrap();
    assert_eq!(queue.submit(taken).await.unwrap(), Submitted::AlreadyThere);

    let known = queue.schedule("nightly").await.unwrap();
    assert_eq!((known.handled, known.run.as_ref(), known.missed_total), (Some(NIGHT), Some(&made[0]), 0));
    let last = known.last.unwrap();
    assert_eq!((last.outcome, last.tick, last.run.as_ref()), (TickOutcome::Run, Some(NIGHT), Some(&made[0])));
}

#[tokio::test]
async fn who_decides_second_about_a_tick_changes_nothing() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    queue.observe_schedule("nightly", "0 3 * * *", NIGHT - 1000).await.unwrap();
    let due = tick(&queue, NIGHT).await;
    assert!(missed(&queue, &due, 1).await);
    assert!(!missed(&queue, &due, 1).await);
    assert_eq!(queue.submit(&run(&due)).await.unwrap(), Submitted::Handled);
    let replay = queue.events_since(0).await.unwrap();
    assert_eq!(replay.events.len(), 1, "{replay:?}");
    let event = &replay.events[0];
    assert_eq!((event.name.as_str(), event.run.as_str()), ("schedule.missed", ""));
    let expected = json!(["nightly", "b", 1, "nobody \"was\" there", "2026-11-23T03:00:00.000Z"]);
    let body = &event.body;
    assert_eq!(json!([body["schedule"], body["target"], body["missed"], body["why"], body["tick"]]), expected);

    let next = tick(&queue, NIGHT + DAY).await;
    let Submitted::Waiting { .. } = queue.submit(&run(&next)).await.unwrap() else { panic!("the next one is new") };
    let known = queue.schedule("nightly").await.unwrap();
    let running = known.run.clone().unwrap();
    let third = tick(&queue, NIGHT + 2 * DAY).await;
    assert!(queue.pass_tick(&third, Pass::Skipped { running: &running }, "skipped", r#""target":"b""#).await.unwrap());
    assert_eq!(queue.submit(&run(&third)).await.unwrap(), Submitted::Handled);
    let known = queue.schedule("nightly").await.unwrap();
    assert_eq!(known.last.unwrap().outcome, TickOutcome::Skipped);
    assert_eq!((known.missed.unwrap().tick, known.missed_total), (Some(NIGHT), 1));
    assert_eq!(known.run, Some(running));
}

#[tokio::test]
async fn a_tick_that_comes_again_after_a_clock_was_ahead_is_not_fired_again() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    queue.observe_schedule("nightly", "0 3 * * *", NIGHT - 1000).await.unwrap();
    let first = run(&tick(&queue, NIGHT).await);
    queue.submit(&first).await.unwrap();
    let far = tick(&queue, NIGHT + 1000 * DAY).await;
    assert!(missed(&queue, &far, 1000).await);
    // The clock is back; what was called missed may still come, what was fired may not.
    let again = tick(&queue, NIGHT).await;
    assert_eq!(queue.submit(&run(&again)).await.unwrap(), Submitted::Same { run: first.id.clone() });
    assert!(!missed(&queue, &again, 1).await);
    let next = tick(&queue, NIGHT + DAY).await;
    assert!(matches!(queue.submit(&run(&next)).await.unwrap(), Submitted::Waiting { position: 2 }));
    assert_eq!(queue.schedule("nightly").await.unwrap().handled, Some(NIGHT + DAY));
}

#[tokio::test]
async fn a_schedule_begins_when_it_is_seen_first_and_when_its_expression_changes() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let nothing = queue.schedule("nightly").await.unwrap();
    assert_eq!((nothing.handled, nothing.run, nothing.last, nothing.missed_total), (None, None, None, 0));
    let handled = async || queue.schedule("nightly").await.unwrap().handled;
    for (expression, time, expected) in
        [("0 3 * * *", NIGHT, NIGHT), ("0 3 * * *", NIGHT + DAY, NIGHT), ("0 4 * * *", NIGHT + DAY, NIGHT + DAY)]
    {
        queue.observe_schedule("nightly", expression, time).await.unwrap();
        assert_eq!(handled().await, Some(expected));
    }
}

#[tokio::test]
async fn a_run_by_hand_is_the_last_one_and_changes_no_tick() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    queue.observe_schedule("nightly", "0 3 * * *", NIGHT).await.unwrap();
    let mut by_hand = run(&Tick { schedule: "nightly".into(), planned: None, after: None });
    by_hand.dedup = Some("schedule nightly".into());
    queue.submit(&by_hand).await.unwrap();
    let known = queue.schedule("nightly").await.unwrap();
    assert_eq!((known.handled, known.run.as_ref()), (Some(NIGHT), Some(&by_hand.id)));
    assert_eq!(known.last.unwrap().tick, None);
    // A tick meanwhile, with the same to bring: the run that has not begun does it for both.
    let mut joins = run(&tick(&queue, NIGHT + DAY).await);
    joins.dedup.clone_from(&by_hand.dedup);
    assert_eq!(queue.submit(&joins).await.unwrap(), Submitted::Same { run: by_hand.id.clone() });
    assert_eq!(queue.schedule("nightly").await.unwrap().handled, Some(NIGHT + DAY));
    joins.dedup = None;
    assert_eq!(queue.submit(&joins).await.unwrap(), Submitted::Same { run: by_hand.id });
}
