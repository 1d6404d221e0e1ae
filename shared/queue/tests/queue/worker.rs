//! Workers for tests: a handler made of a closure, a consumer in a task, and waiting for conditions.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use queue::{
    BoxFuture, ClaimedJob, Consumer, ConsumerSettings, Handler, JobContext, NewJob, Queue, RetryPolicy, RunView,
    Verdict, WhenExhausted,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

type Handle = dyn Fn(ClaimedJob, JobContext) -> BoxFuture<'static, Verdict> + Send + Sync;

/// A handler that does what a closure says.
pub struct Does {
    handle: Box<Handle>,
    pub bisect: fn(&ClaimedJob) -> Option<Vec<NewJob>>,
    pub policy: RetryPolicy,
}

pub fn does<F>(handle: impl Fn(ClaimedJob, JobContext) -> F + Send + Sync + 'static) -> Does
where
    F: Future<Output = Verdict> + Send + 'static,
{
    Does {
        handle: Box::new(move |job, context| Box::pin(handle(job, context))),
        bisect: |_| None,
        policy: RetryPolicy {
            max_attempts: 3,
            base: Duration::from_millis(5),
            cap: Duration::from_millis(20),
            when_exhausted: WhenExhausted::Bury,
        },
    }
}

impl Handler for Does {
    fn handle(&self, job: ClaimedJob, context: JobContext) -> BoxFuture<'_, Verdict> {
        (self.handle)(job, context)
    }

    fn policy(&self, _: &ClaimedJob) -> RetryPolicy {
        self.policy
    }

    fn bisect(&self, job: &ClaimedJob) -> Option<Vec<NewJob>> {
        (self.bisect)(job)
    }
}

/// A consumer in a task. Dropping it is the worker's death: nothing is handed back.
pub struct Worker {
    shutdown: CancellationToken,
    task: JoinHandle<queue::Result<()>>,
}

pub fn settings(names: &[&str]) -> ConsumerSettings {
    ConsumerSettings { concurrency: 8, grace: Duration::from_secs(5), ..ConsumerSettings::new(names.iter().copied()) }
}

impl Worker {
    pub fn start(queue: &Queue, names: &[&str], handler: Does) -> Self {
        Self::start_with(queue, settings(names), handler)
    }

    pub fn start_with(queue: &Queue, settings: ConsumerSettings, handler: Does) -> Self {
        let shutdown = CancellationToken::new();
        let consumer = Consumer::new(queue.clone(), settings, Arc::new(handler));
        Self { shutdown: shutdown.clone(), task: tokio::spawn(consumer.run(shutdown)) }
    }

    pub async fn stop(mut self) {
        self.shutdown.cancel();
        (&mut self.task).await.expect("the consumer does not panic").expect("the consumer ends well");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits until a condition holds; the test fails when it does not within 30 s.
pub async fn until<T, F>(what: &str, mut check: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    for _ in 0..3000 {
        if let Some(found) = check().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain: {what}");
}

/// Waits until a run is over.
pub async fn over(queue: &Queue, run: &str) -> RunView {
    until("the run is over", || async {
        let view = queue.run(run).await.expect("the run is known");
        view.state.is_final().then_some(view)
    })
    .await
}

pub fn jobs(count: usize) -> Vec<NewJob> {
    (0..count).map(|number| NewJob::new(format!("job-{number}"), "plain", format!("payload {number}"))).collect()
}
