//! Decodes a claimed job and hands it to the handler of its kind. One exhaustive match: the compiler names what a new
//! kind needs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use comparing::shaping::Commands;
use protocol::counts::{BYTES, HELD};
use protocol::directory::Directory;
use protocol::job::{Batch, Envelope, Job, JobError};
use protocol::trace;
use queue::{BoxFuture, ClaimedJob, Handler, JobContext, NewJob, Outcome, Queue, RetryPolicy, Verdict, WhenExhausted};
use tracing::{Instrument, Span, info, info_span, warn};

use crate::handlers;
use crate::renewal::Renewal;
use crate::runs::{Runs, parked};
use crate::scope::Scope;
use crate::tally::Tally;

pub struct Executor {
    queue: Queue,
    runs: Runs,
    renewal: Renewal,
}

impl Executor {
    pub fn new(queue: Queue, directory: Directory, commands: Commands, renewal: Renewal) -> Self {
        Self { runs: Runs::new(queue.clone(), directory, commands), queue, renewal }
    }

    async fn execute(&self, job: ClaimedJob, context: JobContext) -> Verdict {
        // I11: what cannot be read is buried with its reason, never a panic.
        let Envelope { job: decoded, traceparent } = match Envelope::decode(&job.payload) {
            Ok(decoded) => decoded,
            Err(error @ (JobError::Newer(_) | JobError::Unknown(_))) => return parked(&job, error.to_string()),
            Err(error @ JobError::Undecodable(_)) => return Verdict::Bury { error: error.to_string() },
        };
        let run = match self.runs.get(&job).await {
            Ok(run) => run,
            Err(verdict) => return verdict,
        };
        let _at_work = (!job.fence.is_empty()).then(|| self.renewal.keep(&run, &job.fence));
        let begun = std::time::Instant::now();
        let scope = Scope::new(run, job, context, self.queue.clone());
        let span = trace_of(&scope, &decoded, traceparent.as_deref());
        let execution = async {
            if let Some(left) = scope.out_of_time(&decoded).await? {
                return Ok(left);
            }
            match &decoded {
                Job::Open => handlers::open::execute(&scope).await,
                Job::Expect => handlers::expect::execute(&scope).await,
                Job::Collection { collection } => handlers::collection::execute(&scope, collection).await,
                Job::Batch(batch) => handlers::batch::execute(&scope, batch, Tally::new(&batch.collection)).await,
                Job::Candidates { collection } => handlers::candidates::execute(&scope, collection).await,
                Job::Decide => handlers::decide::execute(&scope).await,
                Job::Deletes { collection } => handlers::deletes::execute(&scope, collection).await,
                Job::Embedded(what) => handlers::embedded::execute(&scope, what).await,
                Job::Verify { collection } => handlers::verify::execute(&scope, collection).await,
                Job::Undo { collection, part } => handlers::undo::execute(&scope, collection, *part).await,
                Job::VerifyUndo { collection } => handlers::undo::verify(&scope, collection).await,
                Job::VerifyEmbedded(what) => handlers::verify::embedded(&scope, what).await,
                Job::Close => handlers::close::execute(&scope).await,
            }
        };
        let result = execution.instrument(span).await;
        let pressure = scope.slow.load(Ordering::Relaxed);
        let verdict = result.map_or_else(|verdict| verdict, |outcome| Verdict::Done(Outcome { pressure, ..outcome }));
        if matches!(verdict, Verdict::Throttled { .. }) {
            scope.run.refused().insert(scope.job.id.clone());
        }
        log(&scope, &decoded, &verdict, begun.elapsed());
        measure(&scope.run.spec.target.name, &decoded, &verdict, begun.elapsed());
        verdict
    }
}

/// One execution in the trace of its run: part of what made the job, linked to where the run began.
fn trace_of(scope: &Scope, job: &Job, made_by: Option<&str>) -> Span {
    let span = info_span!(
        target: trace::TARGET,
        "job",
        otel.name = job.kind(),
        run.id = %scope.run.id,
        job.id = %scope.job.id,
        target = %scope.run.spec.target.name,
        attempts = scope.job.attempts,
    );
    let run = scope.run.spec.traceparent.as_deref();
    trace::follow(&span, made_by.or(run));
    trace::link(&span, run);
    span
}

/// Names and meanings: docs/metrics.md.
fn measure(target: &str, job: &Job, verdict: &Verdict, elapsed: Duration) {
    metrics::histogram!("cockpit_sync_job_seconds", "kind" => job.kind()).record(elapsed.as_secs_f64());
    if let Verdict::Done(outcome) = verdict {
        let held = outcome.counters.get(HELD).copied().unwrap_or_default();
        metrics::counter!("cockpit_sync_held_total", "target" => target.to_owned()).increment(held.unsigned_abs());
        let bytes = outcome.counters.get(BYTES).copied().unwrap_or_default();
        metrics::histogram!("cockpit_sync_job_bytes", "kind" => job.kind()).record(bytes as f64);
    }
}

/// One line per job, where its end is known.
fn log(scope: &Scope, job: &Job, verdict: &Verdict, elapsed: Duration) {
    let (run, id, kind) = (scope.run.id.as_str(), scope.job.id.as_str(), job.kind());
    let target = scope.run.spec.target.name.as_str();
    let duration_ms = elapsed.as_millis() as u64;
    match verdict {
        Verdict::Done(_) => info!(run.id = run, job.id = id, job.kind = kind, target, duration_ms, "job done"),
        Verdict::Throttled { after, reason } => {
            let after_ms = after.as_millis() as u64;
            info!(run.id = run, job.id = id, job.kind = kind, target, after_ms, reason, "throttled, job handed back");
        }
        Verdict::Return { reason, .. } => {
            info!(run.id = run, job.id = id, job.kind = kind, target, reason, "job handed back");
        }
        Verdict::FenceLost { holder } => {
            warn!(run.id = run, job.id = id, job.kind = kind, target, holder, "the grant was lost");
        }
        Verdict::Retry { error, .. } => {
            let attempts = scope.job.attempts + 1;
            warn!(run.id = run, job.id = id, job.kind = kind, target, attempts, error, "job failed, to be tried again");
        }
        Verdict::Bury { error } | Verdict::Fail { error } => {
            warn!(run.id = run, job.id = id, job.kind = kind, target, error, "job failed for good");
        }
    }
}

impl Handler for Executor {
    fn handle(&self, job: ClaimedJob, context: JobContext) -> BoxFuture<'_, Verdict> {
        Box::pin(self.execute(job, context))
    }

    fn policy(&self, job: &ClaimedJob) -> RetryPolicy {
        // An undecodable job is buried before this is asked; a batch's policy does for it.
        let is_control = Job::decode(&job.payload).is_ok_and(|decoded| decoded.is_control());
        RetryPolicy {
            when_exhausted: if is_control { WhenExhausted::FailRun } else { WhenExhausted::Bury },
            ..RetryPolicy::default()
        }
    }

    fn bisect(&self, job: &ClaimedJob) -> Option<Vec<NewJob>> {
        let Envelope { job: whole, traceparent } = Envelope::decode(&job.payload).ok()?;
        let parts = match whole {
            Job::Batch(batch) => batch.halves()?.to_vec(),
            // Brought over as one batch, which is halved from then on.
            Job::Collection { collection } => vec![Batch::whole(collection)],
            Job::Open
            | Job::Expect
            | Job::Candidates { .. }
            | Job::Decide
            | Job::Deletes { .. }
            | Job::Embedded(_)
            | Job::Verify { .. }
            | Job::VerifyEmbedded(_)
            | Job::Undo { .. }
            | Job::VerifyUndo { .. }
            | Job::Close => return None,
        };
        let children = parts.into_iter().enumerate().map(|(index, part)| {
            let part = Job::Batch(part);
            let payload = part.encode_as_made_by(traceparent.as_deref());
            NewJob::new(format!("{}/{index}", job.id), part.kind(), payload)
        });
        Some(children.collect())
    }
}

/// A job as the queue takes it.
pub(crate) trait Queued {
    fn queued(&self, id: String) -> NewJob;
}

impl Queued for Job {
    fn queued(&self, id: String) -> NewJob {
        NewJob::new(id, self.kind(), self.encode())
    }
}
