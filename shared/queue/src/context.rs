//! What a handler can do while it executes a job: show progress, split the job, learn that it should stop.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_bytes::ByteBuf;
use tokio_util::sync::CancellationToken;

use crate::claim::Claim;
use crate::consumer::held::HeldClaim;
use crate::scripts::SPLIT;
use crate::{ClaimedJob, Error, NewJob, Queue, Result, item};

/// The handler's side of a claim.
#[derive(Clone)]
pub struct JobContext {
    queue: Queue,
    consumer: Arc<str>,
    held: Arc<HeldClaim>,
    stage: u32,
    /// The cursor as Redis has it.
    cursor: Arc<Mutex<Vec<u8>>>,
}

#[derive(Serialize)]
struct Args<'a> {
    consumer: &'a str,
    target: &'a str,
    run: &'a str,
    lease: &'a str,
    entry: &'a str,
    job: &'a str,
    stage: u32,
    jobs: Vec<ByteBuf>,
    before: ByteBuf,
    cursor: ByteBuf,
}

impl JobContext {
    pub(crate) fn new(queue: Queue, consumer: Arc<str>, held: Arc<HeldClaim>, job: &ClaimedJob) -> Self {
        let cursor = Arc::new(Mutex::new(job.cursor.clone().unwrap_or_default()));
        Self { queue, consumer, held, stage: job.stage, cursor }
    }

    /// Says that the job gets on. Without it a job is stopped after the consumer's progress deadline.
    pub fn progress(&self) {
        self.held.progress();
    }

    /// Cancelled when the claim is lost or the job is to stop; the handler's future is dropped then anyway.
    pub fn stopped(&self) -> CancellationToken {
        self.held.stop.clone()
    }

    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Adds jobs to this job's stage and notes how far it is, in one step. Each call of a job needs another cursor, not empty.
    ///
    /// A job that splits in several calls gets the last cursor back as [`ClaimedJob::cursor`] when it is executed again;
    /// going on from there doubles nothing. When it is through, it answers done as any other.
    pub async fn split(&self, jobs: Vec<NewJob>, cursor: Vec<u8>) -> Result<()> {
        if cursor.is_empty() {
            return Err(Error::Invalid("the cursor of a split must not be empty".into()));
        }
        for job in &jobs {
            job.check()?;
        }
        let before = self.cursor.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let jobs = jobs.iter().map(|job| item::encode(job, self.stage)).collect();
        let stands = self.queue.split(&self.consumer, &self.held.claim, self.stage, jobs, &before, &cursor).await?;
        if !stands {
            return Err(Error::ClaimLost);
        }
        self.progress();
        *self.cursor.lock().unwrap_or_else(PoisonError::into_inner) = cursor;
        Ok(())
    }
}

impl Queue {
    /// Whether the claim still stood. Repeating a call changes nothing.
    pub(crate) async fn split(
        &self,
        consumer: &str,
        claim: &Claim,
        stage: u32,
        jobs: Vec<Vec<u8>>,
        before: &[u8],
        cursor: &[u8],
    ) -> Result<bool> {
        let args = Args {
            consumer,
            target: &claim.target,
            run: &claim.run,
            lease: &claim.lease,
            entry: &claim.entry,
            job: &claim.job,
            stage,
            jobs: jobs.into_iter().map(ByteBuf::from).collect(),
            before: ByteBuf::from(before),
            cursor: ByteBuf::from(cursor),
        };
        self.call(&SPLIT, &args).await
    }
}
