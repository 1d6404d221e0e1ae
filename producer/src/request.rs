//! What somebody asks for, and its way into the queue.

use std::time::{Duration, Instant};

use config::Config;
use protocol::canonical::FieldName;
use protocol::conflicts::ConflictRules;
use protocol::directory::Directory;
use protocol::event;
use protocol::pace::Pace;
use protocol::run::{Direction, OnLocked, RunSpec};
use queue::{EventNames, IfBusy, NewJob, NewRun, Queue, Submitted};
use serde::Deserialize;

use crate::addons::AddonChoice;
use crate::choice::Choice;
use crate::error::Problem;
use crate::plan::{Plan, Stages, plan};
use crate::preflight::{Ends, preflight};
use crate::schema::check_schema;
use crate::survey::Survey;

/// A kind of thing that is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum Resource {
    Locales,
    Models,
    Assets,
    Content,
    Pages,
    Lokalize,
    Layout,
    /// A `[resource.NAME]` of the config.
    Own(FieldName),
}

impl Resource {
    /// Those that add-ons bring.
    pub const ADDONS: [Self; 3] = [Self::Pages, Self::Lokalize, Self::Layout];
    /// Cockpit's own.
    pub const ALL: [Self; 4] = [Self::Locales, Self::Models, Self::Assets, Self::Content];

    pub fn name(&self) -> &str {
        match self {
            Self::Locales => "locales",
            Self::Models => "models",
            Self::Assets => "assets",
            Self::Content => "content",
            Self::Pages => "pages",
            Self::Lokalize => "lokalize",
            Self::Layout => "layout",
            Self::Own(name) => name.as_str(),
        }
    }
}

impl TryFrom<String> for Resource {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl std::str::FromStr for Resource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().chain(Self::ADDONS).find(|resource| resource.name() == text);
        // Whether the config has it is said where the config is known.
        known.or_else(|| FieldName::new(text).map(Self::Own)).ok_or_else(|| format!("{text:?} is no resource"))
    }
}

/// A sync that somebody asks for.
#[derive(Debug, Clone)]
pub struct SyncRequest {
    pub direction: Direction,
    /// The instance that is not the local one.
    pub other: String,
    pub choice: Choice,
    pub pace: Pace,
    /// What becomes of what both sides have changed; none: as the config says.
    pub on_conflict: Option<ConflictRules>,
    /// Definitions of models may change so that values on the target break.
    pub accept_schema_changes: bool,
    pub batch_size: u32,
    pub window: u16,
    pub if_busy: IfBusy,
    pub on_locked: OnLocked,
    /// Goes before the others; the run that holds the target makes room. The same request, waiting already, is not
    /// enqueued again.
    pub urgent: bool,
    /// "anna on web1".
    pub started_by: String,
}

impl SyncRequest {
    /// The request that a run was made of, to be made again.
    pub fn again(spec: RunSpec, if_busy: IfBusy, started_by: String) -> Result<Self, Problem> {
        if let Some(undone) = &spec.undo {
            return Err(Problem::usage(format!("this run undid run {undone}: it brought nothing from elsewhere")));
        }
        let resources = spec.resources.iter().map(|name| name.parse::<Resource>());
        Ok(Self {
            direction: spec.direction,
            other: match spec.direction {
                Direction::Push => spec.target.name,
                Direction::Pull => spec.source.name,
            },
            choice: Choice {
                models: spec.models,
                resources: Some(resources.collect::<Result<_, _>>().map_err(Problem::usage)?),
                with_assets: spec.with_assets,
                addons: AddonChoice { missing_keys_only: spec.missing_keys_only, ..AddonChoice::default() },
                selections: spec.selections,
                ..Choice::default()
            },
            pace: spec.pace,
            on_conflict: Some(spec.on_conflict),
            accept_schema_changes: spec.accept_schema_changes,
            batch_size: spec.batch_size,
            window: spec.window,
            if_busy,
            on_locked: spec.on_locked,
            urgent: false,
            started_by,
        })
    }
}

/// Rows per batch job unless asked otherwise.
pub const BATCH_SIZE: u32 = 2000;
/// Jobs in workers' hands at a time unless asked otherwise.
pub const WINDOW: u16 = 16;
/// So long a submit is repeated whose outcome is unknown.
const SUBMIT_PATIENCE: Duration = Duration::from_secs(10);

/// Checks both ends, plans and enqueues. Gives back the run's id.
pub async fn submit(
    request: &SyncRequest,
    config: &Config,
    directory: &Directory,
    queue: &Queue,
) -> Result<String, Problem> {
    let ends = preflight(request, config, directory, queue).await?;
    let plan = plan(request, &ends, config, directory).await?;
    check_schema(&plan.spec, &ends, &Survey::of(&ends, config, directory)?).await?;
    enqueue(request, &ends, plan, queue).await
}

/// Makes the run and puts it in line.
pub(crate) async fn enqueue(request: &SyncRequest, ends: &Ends, plan: Plan, queue: &Queue) -> Result<String, Problem> {
    let run = new_run(request, ends, plan);
    let id = run.id.clone();
    match submit_surely(queue, &run).await? {
        Submitted::Granted | Submitted::Waiting { .. } | Submitted::AlreadyThere => Ok(id),
        Submitted::Same { run } => Ok(run),
        Submitted::Refused(busy) => Err(Problem::refused(busy_in_words(&ends.target.0, &busy))),
    }
}

/// A connection that breaks leaves open whether the run was taken; asking again is safe, and tells.
pub(crate) async fn submit_surely(queue: &Queue, run: &NewRun) -> queue::Result<Submitted> {
    let begun = Instant::now();
    loop {
        match queue.submit(run).await {
            Err(queue::Error::Full) => return Err(queue::Error::Full),
            Err(error) if error.is_transient() && begun.elapsed() < SUBMIT_PATIENCE => {
                tracing::warn!(%error, "redis did not answer whether it has taken the run; asking again");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            answered => return answered,
        }
    }
}

pub(crate) fn busy_in_words(target: &str, busy: &queue::Busy) -> String {
    let count = |counts: &[(String, i64)]| {
        counts.iter().find(|(name, _)| name == protocol::counts::ITEMS).map_or(0, |(_, count)| *count)
    };
    format!(
        "a sync to {target} is already there: run {} from {}, {} since {}, stage {}, {} of about {} items done. Wait \
         for it (--if-busy wait), watch it (cockpit-sync watch {0}) or end it (cockpit-sync cancel {0})",
        busy.run,
        busy.source,
        busy.state,
        crate::report::utc(busy.since_ms),
        busy.stage,
        count(&busy.counts),
        count(&busy.totals),
    )
}

fn new_run(request: &SyncRequest, ends: &Ends, plan: Plan) -> NewRun {
    let direction = request.direction.to_string();
    let finished = match request.direction {
        Direction::Push => event::PUSH_FINISHED,
        Direction::Pull => event::PULL_FINISHED,
    };
    let uris = (ends.source_uri.as_str(), ends.target_uri.as_str());
    let mut run = new_run_of(&plan.spec, &direction, finished, uris, plan.stages, plan.items, request.if_busy);
    run.urgent = request.urgent;
    run.dedup = request.urgent.then(|| what_it_brings(request, &ends.source.0));
    run
}

/// What runs of all kinds have in common.
pub(crate) fn new_run_of(
    spec: &RunSpec,
    direction: &str,
    finished: &str,
    uris: (&str, &str),
    stages: Stages,
    items: u64,
    if_busy: IfBusy,
) -> NewRun {
    let mut run = NewRun::new(&spec.source.name, &spec.target.name);
    run.window = spec.window;
    run.if_busy = if_busy;
    run.spec = spec.encode();
    run.labels.insert("direction".into(), direction.into());
    let end = |name: &str, uri: &str| serde_json::json!({ "name": name, "uri": uri });
    run.labels.insert("source".into(), end(&spec.source.name, uris.0));
    run.labels.insert("target".into(), end(&spec.target.name, uris.1));
    run.labels.insert("started_by".into(), spec.started_by.clone().into());
    run.totals.insert(protocol::counts::ITEMS.into(), i64::try_from(items).unwrap_or(i64::MAX));
    run.held_counter = Some(protocol::counts::HELD.into());
    run.open = Some(job("open", &protocol::job::Job::Open));
    for (name, jobs) in stages {
        let jobs = jobs.iter().map(|(id, planned)| job(id, planned)).collect();
        run = run.stage(name, jobs);
    }
    run.close = Some(job("close", &protocol::job::Job::Close));
    run.events = EventNames {
        started: event::RUN_STARTED.into(),
        finished: finished.into(),
        failed: event::RUN_FAILED.into(),
        cancelled: event::RUN_CANCELLED.into(),
        changed: None,
    };
    run
}

/// The same words for the same request, whoever makes it.
fn what_it_brings(request: &SyncRequest, source: &str) -> String {
    let SyncRequest { direction, choice, pace, batch_size, on_locked, .. } = request;
    format!("{direction} {source} {choice:?} {pace:?} {batch_size} {on_locked:?}")
}

fn job(id: &str, job: &protocol::job::Job) -> NewJob {
    NewJob::new(id, job.kind(), job.encode())
}
