//! What a run does when nothing goes wrong.

use std::sync::{Arc, Mutex};

use queue::{NewJob, NewRun, Outcome, RunState, Submitted, Verdict};

use crate::plain_jobs;
use crate::redis_server::TestRedis;
use crate::worker::{Worker, does, jobs, over};

#[tokio::test]
async fn a_run_goes_through_open_its_stages_in_order_and_close() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let worker = Worker::start(
        &queue,
        &["a", "b"],
        does(move |job, _| {
            log.lock().unwrap().push((job.kind.clone(), job.fence.clone(), job.payload.clone()));
            async move {
                match job.kind.as_str() {
                    "open" => Verdict::Done(Outcome { fence: Some(b"token \0\xff".to_vec()), ..Outcome::default() }),
                    _ => Verdict::Done(Outcome::default().count("rows", 2)),
                }
            }
        }),
    );
    let mut run = NewRun::new("a", "b")
        .stage("first", vec![NewJob::new("1", "first", b"\0\n\xff".to_vec())])
        .stage("nothing", vec![])
        .stage("second", vec![NewJob::new("2", "second", "")]);
    run.open = Some(NewJob::new("open", "open", "o"));
    run.close = Some(NewJob::new("close", "close", "c"));
    run.totals.insert("rows".into(), 6);
    run.spec = b"\xffspec".to_vec();
    assert!(matches!(queue.submit(&run).await.unwrap(), Submitted::Granted | Submitted::Waiting { position: 1 }));

    let view = over(&queue, &run.id).await;
    assert_eq!(view.state, RunState::Finished);
    assert_eq!(view.counters["rows"], 6);
    assert_eq!(view.totals["rows"], 6);
    assert_eq!(view.spec, b"\xffspec");
    assert!(view.closed);
    assert_eq!(view.stages.iter().map(|stage| (stage.open, stage.done)).collect::<Vec<_>>(), [(0, 1), (0, 0), (0, 1)]);
    let fence = b"token \0\xff".to_vec();
    assert_eq!(
        *seen.lock().unwrap(),
        [
            ("open".into(), vec![], b"o".to_vec()),
            ("first".into(), fence.clone(), b"\0\n\xff".to_vec()),
            ("second".into(), fence.clone(), vec![]),
            ("close".into(), fence, b"c".to_vec()),
        ]
    );
    worker.stop().await;
}

#[tokio::test]
async fn more_jobs_than_the_window_all_count_once() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let workers: Vec<Worker> = (0..3)
        .map(|_| {
            let handler = does(|_, _| async { Verdict::Done(Outcome::default().count("done", 1)) });
            Worker::start(&queue, &["a", "b"], handler)
        })
        .collect();
    let run = NewRun::new("a", "b").stage("all", jobs(2000));
    queue.submit(&run).await.unwrap();
    let view = over(&queue, &run.id).await;
    assert_eq!(view.counters["done"], 2000);
    assert_eq!(view.stages[0].done, 2000);
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test]
async fn the_example_runs_plain_jobs() {
    let redis = TestRedis::start().await;
    assert_eq!(plain_jobs::count_letters(&redis.url(), &["Hello", "world!"]).await.unwrap(), 10);
}

#[test]
fn the_crate_docs_show_the_example_as_it_is() {
    let example = include_str!("../../examples/plain_jobs.rs");
    let code = &example[example.find("use std::sync::Arc;").unwrap()..];
    let docs: String = include_str!("../../src/lib.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect();
    assert!(docs.contains(code), "src/lib.rs and examples/plain_jobs.rs differ");
}
