//! What a producer says: a run, its stages and its jobs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Error, Result, Tick};

/// One unit of work. The queue never looks into `payload`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// Unique within the run; no line breaks.
    pub id: String,
    /// What the handler tells jobs apart by; not empty, no line breaks.
    pub kind: String,
    pub payload: Vec<u8>,
}

impl NewJob {
    pub fn new(id: impl Into<String>, kind: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self { id: id.into(), kind: kind.into(), payload: payload.into() }
    }
}

/// Jobs that may run side by side. Stages run in order; an empty one is skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    pub name: String,
    pub jobs: Vec<NewJob>,
}

/// What to do when another run holds the target or stands in line for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfBusy {
    #[default]
    Wait,
    Refuse,
}

/// The names under which the states of a run are published; the producer's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventNames {
    /// When the run gets the target for the first time.
    pub started: String,
    /// State `finished` or `finished_held`.
    pub finished: String,
    /// State `failed`.
    pub failed: String,
    /// State `cancelled` or `unlocked`.
    pub cancelled: String,
    /// Any other change: submitted, next stage, paused, resumed, ending. Not published when `None`.
    pub changed: Option<String>,
}

impl Default for EventNames {
    fn default() -> Self {
        Self {
            started: "run.started".into(),
            finished: "run.finished".into(),
            failed: "run.failed".into(),
            cancelled: "run.cancelled".into(),
            changed: None,
        }
    }
}

/// A run to submit. [`NewRun::new`] fills in what is usual.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    /// A UUID v7 in text form.
    pub id: String,
    pub target: String,
    pub source: String,
    /// The names a worker must know to be given jobs of this run.
    pub requires: Vec<String>,
    /// Higher goes first among waiting runs; then the older one.
    pub priority: i32,
    /// For what is small and is waited for: goes before all others, and the run that holds the target makes room for it
    /// (within [`crate::Settings::yield_within`]), to go on afterwards for at least as long.
    pub urgent: bool,
    /// What the run brings, in the producer's words: a submit while a run of the same words waits, and has not begun,
    /// answers that run ([`Submitted::Same`]) and adds none. `None`: every submit is a run. Only runs that are equally
    /// urgent count.
    pub dedup: Option<String>,
    /// The most jobs that are handed to workers at a time, 1 to 256; fewer while the target is under pressure.
    pub window: u16,
    /// The producer's own description of the run, kept as it is.
    pub spec: Vec<u8>,
    /// Facts that stand in every event of the run. `source` and `target` are added as names unless given here.
    pub labels: Map<String, Value>,
    /// What the counters are expected to reach, for progress.
    pub totals: BTreeMap<String, i64>,
    /// The counter that, when above zero, makes the final state `finished_held`.
    pub held_counter: Option<String>,
    /// Of a listener: the names of events that become jobs of it.
    pub listens: Vec<String>,
    pub if_busy: IfBusy,
    /// The tick of a schedule that the run is for: it gets one run, whoever submits it ([`Submitted::Same`] to all others).
    pub tick: Option<Tick>,
    /// Runs alone after each lease grant, before any other job. What it settles as fence is attached to every later claim.
    pub open: Option<NewJob>,
    pub stages: Vec<Stage>,
    /// Runs alone at the end, also when the run ends early.
    pub close: Option<NewJob>,
    pub events: EventNames,
}

impl NewRun {
    pub fn new(source: impl Into<String>, target: impl Into<String>) -> Self {
        let (source, target) = (source.into(), target.into());
        Self {
            id: uuid::Uuid::now_v7().to_string(),
            requires: if source == target { vec![source.clone()] } else { vec![source.clone(), target.clone()] },
            source,
            target,
            priority: 0,
            urgent: false,
            dedup: None,
            window: 16,
            spec: Vec::new(),
            labels: Map::new(),
            totals: BTreeMap::new(),
            held_counter: None,
            listens: Vec::new(),
            if_busy: IfBusy::Wait,
            tick: None,
            open: None,
            stages: Vec::new(),
            close: None,
            events: EventNames::default(),
        }
    }

    /// A run that does not end: each event of these names becomes a job of it, of the kind `event`, with the event as its
    /// payload, in the step that publishes the event. Workers that know the name get them.
    ///
    /// Events are kept for it for [`crate::Settings::retention`] after it was last submitted, and as many as the event log
    /// holds; so who wants them submits it now and then. It publishes nothing, and no list shows it but [`crate::Queue::listeners`].
    pub fn listener(name: impl Into<String>, events: Vec<String>) -> Self {
        let name = name.into();
        let silent = EventNames {
            started: String::new(),
            finished: String::new(),
            failed: String::new(),
            cancelled: String::new(),
            changed: None,
        };
        let run = Self::new(name.clone(), name.clone()).stage("events", Vec::new());
        Self { id: name, listens: events, events: silent, ..run }
    }

    pub fn stage(mut self, name: impl Into<String>, jobs: Vec<NewJob>) -> Self {
        self.stages.push(Stage { name: name.into(), jobs });
        self
    }

    /// The labels as they stand in events: the inside of a JSON object, never empty.
    pub(crate) fn labels_fragment(&self) -> String {
        let mut labels = self.labels.clone();
        labels.entry("source").or_insert_with(|| Value::from(self.source.clone()));
        labels.entry("target").or_insert_with(|| Value::from(self.target.clone()));
        let object = Value::Object(labels).to_string();
        object[1..object.len() - 1].to_string()
    }

    pub(crate) fn check(&self) -> Result<()> {
        let names = [&self.id, &self.source, &self.target];
        if names.iter().copied().chain(&self.requires).any(|name| name.is_empty() || name.contains(char::is_whitespace))
        {
            return Err(Error::Invalid("ids and names of a run must not be empty or contain white space".into()));
        }
        if !(1..=256).contains(&self.window) {
            return Err(Error::Invalid(format!("window {} is not within 1 to 256", self.window)));
        }
        let mut seen = std::collections::HashSet::new();
        for job in self.open.iter().chain(self.stages.iter().flat_map(|stage| &stage.jobs)).chain(&self.close) {
            job.check()?;
            if !seen.insert(job.id.as_str()) {
                return Err(Error::Invalid(format!("job id {} is used twice in run {}", job.id, self.id)));
            }
        }
        Ok(())
    }
}

impl NewJob {
    pub(crate) fn check(&self) -> Result<()> {
        if self.id.is_empty() || self.kind.is_empty() || self.id.contains('\n') || self.kind.contains('\n') {
            return Err(Error::Invalid(format!(
                "job id {:?} and kind {:?}: no line breaks, and not empty",
                self.id, self.kind
            )));
        }
        Ok(())
    }
}

/// Where a run is. `Stalled` is never stored: it is a run whose lease lapsed because no worker is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Waiting,
    Running,
    Paused,
    Stalled,
    Ending,
    Finished,
    FinishedHeld,
    Failed,
    Cancelled,
    Unlocked,
}

impl RunState {
    pub fn is_final(self) -> bool {
        matches!(self, Self::Finished | Self::FinishedHeld | Self::Failed | Self::Cancelled | Self::Unlocked)
    }

    pub(crate) fn parse(word: &str) -> Result<Self> {
        serde_json::from_value(Value::from(word)).map_err(|_| Error::Answer(format!("unknown state {word:?}")))
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stalled => "stalled",
            Self::Ending => "ending",
            Self::Finished => "finished",
            Self::FinishedHeld => "finished_held",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Unlocked => "unlocked",
        }
    }
}

impl std::fmt::Display for RunState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The answer to a submit.
#[derive(Debug, Clone, PartialEq)]
pub enum Submitted {
    /// It holds the target already.
    Granted,
    /// It waits: `position` 1 is next. Nobody may hold the target, when no worker knows what the run requires.
    Waiting { position: u64 },
    /// This very run is there already (a repeated submit); nothing was changed.
    AlreadyThere,
    /// This run, submitted before, waits to do the same ([`NewRun::dedup`]), or is what the tick was for; there is no other.
    Same { run: String },
    /// What becomes of the tick is decided, or of a later one: there is no run.
    Handled,
    /// Another run holds the target or stands before this one, and [`IfBusy::Refuse`] was asked.
    Refused(Busy),
}

/// Who is in the way, since when, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Busy {
    pub run: String,
    pub source: String,
    pub state: RunState,
    pub since_ms: u64,
    pub stage: String,
    /// Counters so far, and what they are expected to reach.
    pub counts: Vec<(String, i64)>,
    pub totals: Vec<(String, i64)>,
}
