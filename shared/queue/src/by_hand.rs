//! A worker without an engine: every transition as one call. For tests and measurements, and to see what the engine does.

use crate::claim::{self, Claim};
use crate::connection::Link;
use crate::keeping::{Announcement, Held};
use crate::keys::GROUP;
use crate::settlement::Settlement;
use crate::{ClaimedJob, NewJob, NewRun, Queue, Result, RetryPolicy, Verdict, item};

/// What a submit of a large run does before the step that makes the run exist; a producer that dies here never comes further.
pub async fn send_ahead(queue: &Queue, run: &NewRun) -> Result<()> {
    queue.send_ahead(run).await
}

/// A claim and what proves it.
#[derive(Debug, Clone)]
pub struct ClaimByHand {
    pub job: ClaimedJob,
    claim: Claim,
}

impl ClaimByHand {
    /// The id of the entry in the target's stream.
    pub fn entry(&self) -> &str {
        &self.claim.entry
    }

    /// The same claim under another lease.
    pub fn under_lease(&self, lease: &str) -> Self {
        let mut other = self.clone();
        other.claim.lease = lease.into();
        other
    }

    /// The same claim for another job.
    pub fn for_job(&self, job: &str) -> Self {
        let mut other = self.clone();
        other.claim.job = job.into();
        other
    }
}

/// One consumer.
pub struct WorkerByHand {
    queue: Queue,
    connection: Link,
    pub consumer: String,
    names: Vec<String>,
}

impl WorkerByHand {
    pub async fn new(queue: &Queue, consumer: &str, names: &[&str]) -> Result<Self> {
        let worker = Self {
            connection: queue.kept_connection().await?,
            queue: queue.clone(),
            consumer: consumer.into(),
            names: names.iter().map(ToString::to_string).collect(),
        };
        worker.tick().await?;
        Ok(worker)
    }

    /// Announces itself and does what time brings.
    pub async fn tick(&self) -> Result<()> {
        let announcement = Announcement {
            consumer: self.consumer.clone(),
            host: "by-hand".into(),
            pid: 0,
            version: String::new(),
            instances: self.names.join(" "),
            slots: 1,
            held: 0,
            targets: self.names.clone(),
            just_back: false,
        };
        self.queue.tick(&announcement).await.map(drop)
    }

    /// What is ready for a target, without waiting; entries that are no jobs are left out.
    pub async fn claim(&mut self, target: &str, count: usize) -> Result<Vec<ClaimByHand>> {
        type Read = Vec<(String, Vec<(String, Vec<Vec<u8>>)>)>;
        let read: Option<Read> = redis::cmd("XREADGROUP")
            .arg(&["GROUP", GROUP, &self.consumer, "COUNT"])
            .arg(count)
            .arg(&["STREAMS", &self.queue.keys.stream(target), ">"])
            .query_async(&mut self.connection)
            .await?;
        let entries = read.into_iter().flatten().flat_map(|(_, entries)| entries);
        Ok(entries
            .filter_map(|(entry, fields)| claim::decode(target, &entry, &fields).ok())
            .map(|(claim, job)| ClaimByHand { job, claim })
            .collect())
    }

    /// For each: whether the claim still stood.
    pub async fn settle(&mut self, verdicts: Vec<(&ClaimByHand, Verdict)>) -> Result<Vec<bool>> {
        let settlements: Vec<Settlement> = verdicts
            .into_iter()
            .map(|(held, verdict)| {
                Settlement::of(held.claim.clone(), held.job.attempts, &RetryPolicy::default(), verdict)
            })
            .collect();
        self.queue.settle(&mut self.connection, &self.consumer, &settlements).await
    }

    pub async fn settle_one(&mut self, held: &ClaimByHand, verdict: Verdict) -> Result<bool> {
        Ok(self.settle(vec![(held, verdict)]).await? == [true])
    }

    /// Smaller jobs take the place of a claimed one.
    pub async fn settle_parts(&mut self, held: &ClaimByHand, parts: &[NewJob]) -> Result<bool> {
        let settlement = Settlement::split(held.claim.clone(), held.job.stage, 0, parts);
        Ok(self.queue.settle(&mut self.connection, &self.consumer, &[settlement]).await? == [true])
    }

    /// For each: whether the claim still stands.
    pub async fn extend(&mut self, claims: &[&ClaimByHand], started: bool) -> Result<Vec<bool>> {
        let held: Vec<Held> =
            claims.iter().map(|held| Held(held.claim.target.clone(), held.claim.entry.clone(), started)).collect();
        self.queue.extend(&mut self.connection, &self.consumer, &held).await
    }

    /// Takes back what dead workers held.
    pub async fn reclaim(&self) -> Result<u64> {
        self.queue.reclaim(&self.names).await
    }

    /// A chunk of a splitting job; whether the claim still stood.
    pub async fn split(&self, held: &ClaimByHand, jobs: &[NewJob], before: &[u8], cursor: &[u8]) -> Result<bool> {
        let jobs = jobs.iter().map(|job| item::encode(job, held.job.stage)).collect();
        self.queue.split(&self.consumer, &held.claim, held.job.stage, jobs, before, cursor).await
    }

    pub async fn leave(&self) -> Result<()> {
        self.queue.leave(&self.consumer, &self.names).await
    }
}
