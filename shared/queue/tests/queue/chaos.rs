//! Everything at once, at random.

use std::time::Duration;

use queue::{NewJob, NewRun, Outcome, RunState, Settings, Verdict};

use crate::redis_server::TestRedis;
use crate::worker::{Worker, does, jobs};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_every_job_counts_exactly_once() {
    let redis = TestRedis::start().await;
    let queue = redis.queue_with(Settings { lease: Duration::from_millis(300), ..redis.settings() }).await;
    let handler = || {
        let mut handler = does(|job, context| async move {
            match job.kind.as_str() {
                "open" => {
                    return Verdict::Done(Outcome { fence: Some(job.lease_id.into_bytes()), ..Outcome::default() });
                }
                "split" => {
                    let from = job.cursor.as_ref().unwrap_or(&job.payload).first().copied().unwrap_or(0);
                    for part in from..40 {
                        let jobs = (0..10).map(|number| NewJob::new(format!("{part}-{number}"), "plain", "")).collect();
                        if let Err(error) = context.split(jobs, vec![part + 1]).await {
                            return Verdict::retry(error);
                        }
                    }
                    return Verdict::done();
                }
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(rand::random_range(0..60))).await;
            match rand::random_range(0..60) {
                0 => Verdict::Return { after: Some(Duration::from_millis(3)), reason: "busy".into() },
                1 => Verdict::Return { after: None, reason: "not me".into() },
                2 => Verdict::FenceLost { holder: "somebody".into() },
                3..9 if job.attempts < 2 => Verdict::retry("once more"),
                _ => Verdict::Done(Outcome { wrote: true, ..Outcome::default().count("rows", 1) }),
            }
        });
        // Even with this much bad luck no job may get lost: what died three times starts over under another name.
        handler.bisect = |job| {
            Some(vec![NewJob::new(
                format!("{}'", job.id),
                job.kind.clone(),
                job.cursor.clone().unwrap_or(job.payload.clone()),
            )])
        };
        handler.policy.max_attempts = 1000;
        handler
    };
    let mut run =
        NewRun::new("a", "b").stage("split", vec![NewJob::new("parent", "split", "")]).stage("rest", jobs(400));
    run.open = Some(NewJob::new("open", "open", ""));
    run.close = Some(NewJob::new("close", "open", ""));
    run.window = 40;
    queue.submit(&run).await.unwrap();
    let mut workers: Vec<Worker> = Vec::new();
    for round in 0.. {
        let view = queue.run(&run.id).await.unwrap();
        if view.state.is_final() {
            assert_eq!(view.state, RunState::Finished, "{:?}", view.error);
            assert_eq!(view.counters["rows"], 800);
            assert_eq!((view.stages[0].done, view.stages[1].done), (401, 400));
            assert!(round > 5, "it was over before much could happen");
            break;
        }
        assert!(round < 500, "{view:?}");
        if round < 30 {
            if workers.len() > 2 {
                drop(workers.remove(0));
            }
            workers.push(Worker::start(&queue, &["a", "b"], handler()));
            if round % 4 == 3 {
                let _ = queue.pause(&run.id).await.unwrap();
                let _ = queue.resume(&run.id).await.unwrap();
            }
        }
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
}
