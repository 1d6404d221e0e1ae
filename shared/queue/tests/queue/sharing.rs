//! Several targets share a worker: one whose jobs take for ever does not hold up the others.

use std::sync::Arc;

use queue::{NewRun, RunState, Verdict};
use tokio::sync::Semaphore;

use crate::redis_server::TestRedis;
use crate::worker::{Worker, does, jobs, over, settings, until};

#[tokio::test]
async fn a_target_whose_jobs_hang_leaves_room_for_another() {
    let redis = TestRedis::start().await;
    let queue = redis.queue().await;
    let (gate, start) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let handler = {
        let (gate, start) = (gate.clone(), start.clone());
        does(move |job, _| {
            let gate = if job.target == "slow" { gate.clone() } else { start.clone() };
            async move {
                gate.acquire().await.unwrap().forget();
                Verdict::done()
            }
        })
    };
    let few = queue::ConsumerSettings { concurrency: 3, ..settings(&["a", "slow", "quick"]) };
    let worker = Worker::start_with(&queue, few, handler);
    let quick = NewRun::new("a", "quick").stage("all", jobs(20));
    queue.submit(&quick).await.unwrap();
    let claimed = async |run: &str| queue.run(run).await.unwrap().depth.claimed;
    until("the quick target has a job in hand", || async { (claimed(&quick.id).await > 0).then_some(()) }).await;
    let slow = NewRun::new("a", "slow").stage("all", jobs(20));
    queue.submit(&slow).await.unwrap();
    start.add_permits(3);
    until("the slow target has jobs in hand", || async { (claimed(&slow.id).await > 0).then_some(()) }).await;

    start.add_permits(20);
    assert_eq!(over(&queue, &quick.id).await.state, RunState::Finished);
    assert_eq!(queue.run(&slow.id).await.unwrap().state, RunState::Running);
    gate.add_permits(20);
    assert_eq!(over(&queue, &slow.id).await.state, RunState::Finished);
    worker.stop().await;
}
