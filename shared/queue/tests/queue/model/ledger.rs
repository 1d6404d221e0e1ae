//! What should be: every run and job, by what callers were told.

use std::collections::BTreeMap;

use queue::{NewJob, NewRun};

#[derive(Default)]
pub struct Ledger {
    pub runs: BTreeMap<String, Run>,
    /// In the order of their submits.
    pub order: Vec<String>,
    /// By target: the run that holds it and the id of its lease.
    pub leases: BTreeMap<String, (String, String)>,
}

pub struct Run {
    pub new: NewRun,
    pub jobs: BTreeMap<String, Job>,
    /// Why it ends before its end; what comes first counts.
    pub cause: Option<Cause>,
    /// Its close job is what is left; seen after the last step.
    pub ending: bool,
    pub paused: bool,
    /// Fences lost since something was written.
    pub losses: u32,
    pub counters: BTreeMap<String, i64>,
    pub notes: u64,
    /// By stage.
    pub done: BTreeMap<u32, u64>,
    /// Ids, in order; what was no job is not here.
    pub dead: Vec<(String, u32)>,
    /// Buried jobs that somebody dropped.
    pub dropped: usize,
    /// A job of it was handed to a worker.
    pub begun: bool,
    /// Its close job was done.
    pub closed: bool,
    /// The final state, once it was seen.
    pub over: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cause {
    Cancelled,
    Unlocked,
    Failed,
}

#[derive(Debug, Clone)]
pub struct Job {
    pub stage: u32,
    pub attempts: u32,
    pub crashes: u32,
    pub cursor: String,
    /// Not settled for good.
    pub open: bool,
}

impl Cause {
    pub fn state(self) -> &'static str {
        match self {
            Cause::Cancelled => "cancelled",
            Cause::Unlocked => "unlocked",
            Cause::Failed => "failed",
        }
    }
}

/// A job whose payload is known by its id, and is no text.
pub fn job(id: impl Into<String>) -> NewJob {
    let id = id.into();
    let mut payload = format!("payload\nof {id}\n").into_bytes();
    payload.extend([0, 0xff]);
    NewJob::new(id, "plain", payload)
}

impl Run {
    pub fn new(new: NewRun) -> Self {
        let mut jobs = BTreeMap::new();
        for (stage, number) in new.stages.iter().zip(1u32..) {
            jobs.extend(stage.jobs.iter().map(|job| (job.id.clone(), Job::new(number))));
        }
        if let Some(close) = &new.close {
            jobs.insert(close.id.clone(), Job::new(new.stages.len() as u32 + 1));
        }
        Self {
            new,
            jobs,
            cause: None,
            ending: false,
            paused: false,
            losses: 0,
            counters: BTreeMap::new(),
            notes: 0,
            done: BTreeMap::new(),
            dead: Vec::new(),
            dropped: 0,
            begun: false,
            closed: false,
            over: None,
        }
    }

    pub fn last_stage(&self) -> u32 {
        self.new.stages.len() as u32 + 1
    }

    pub fn is_control(&self, stage: u32) -> bool {
        stage == 0 || stage == self.last_stage()
    }

    /// The open job is to run again: at each new lease, unless it is still to do.
    pub fn open_anew(&mut self) {
        if let Some(open) = &self.new.open
            && !self.jobs.get(&open.id).is_some_and(|job| job.open)
        {
            self.jobs.insert(open.id.clone(), Job::new(0));
        }
    }

    /// It ends before its end: nothing is left to do but to close.
    pub fn end_early(&mut self, cause: Cause) {
        if self.cause.is_some() {
            return;
        }
        self.cause = Some(cause);
        let close = self.new.close.as_ref().map(|job| job.id.clone());
        let last = self.last_stage();
        self.jobs.values_mut().for_each(|job| job.open = false);
        if let Some(close) = close {
            self.jobs.insert(close, Job::new(last));
        }
    }

    /// A buried job goes back to work, as if nobody had tried it yet.
    pub fn revive(&mut self, id: &str) {
        self.dead.retain(|(dead, _)| dead != id);
        *self.job(id) = Job::new(self.job(id).stage);
    }

    pub fn add(&mut self, id: String, stage: u32) {
        self.jobs.insert(id, Job::new(stage));
    }

    pub fn job(&mut self, id: &str) -> &mut Job {
        self.jobs.get_mut(id).expect("every job that is handed out is in the ledger")
    }
}

impl Job {
    fn new(stage: u32) -> Self {
        Self { stage, attempts: 0, crashes: 0, cursor: String::new(), open: true }
    }
}
