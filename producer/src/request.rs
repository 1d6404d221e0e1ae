//! What somebody asks for, and its way into the queue.

use std::time::{Duration, Instant};

use config::Config;
use protocol::canonical::FieldName;
use protocol::client::AgentClient;
use protocol::collection::Collection;
use protocol::conflicts::ConflictRules;
use protocol::directory::Directory;
use protocol::event;
use protocol::mirror::{MaxDelete, MirrorOrder, SignedOrder};
use protocol::pace::Pace;
use protocol::run::{Direction, OnLocked, RunSpec};
use protocol::selection::Selected;
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
    /// Delete what the source does not have.
    pub mirror: Option<Mirror>,
    /// Other runs bring the same from this source at the same time.
    pub shares_source: bool,
    /// "anna on web1".
    pub started_by: String,
}

/// What a mirror is allowed beyond what is usual.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mirror {
    /// Of each collection; none: as usual.
    pub max_delete: Option<MaxDelete>,
    /// The source may be empty, or much smaller than at the last sync.
    pub allow_shrunk: bool,
    /// Assets and their folders stay.
    pub content_only: bool,
}

impl SyncRequest {
    /// The request that a run was made of, to be made again.
    pub fn again(spec: RunSpec, if_busy: IfBusy, started_by: String) -> Result<Self, Problem> {
        if let Some(undone) = &spec.undo {
            return Err(Problem::usage(format!("this run undid run {undone}: it brought nothing from elsewhere")));
        }
        let mirror = spec.mirror.as_ref().map(Mirror::again).transpose()?;
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
                only_selected: spec.only_selected,
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
            mirror,
            shares_source: false,
            started_by,
        })
    }
}

impl Mirror {
    /// What the run of a plan may delete.
    fn order(self, plan: &Plan, run: &str) -> MirrorOrder {
        MirrorOrder {
            run: run.to_owned(),
            source: plan.spec.source.instance.clone(),
            target: plan.spec.target.instance.clone(),
            scope: plan.mirrored.clone(),
            max_delete: self.max_delete,
            allow_shrunk: self.allow_shrunk,
        }
    }

    /// For a plan that is kept: it says what is wanted, and lets nobody do it.
    pub(crate) fn unsigned_order(self, plan: &Plan) -> SignedOrder {
        SignedOrder { bytes: self.order(plan, "").encode(), ..SignedOrder::default() }
    }

    fn again(signed: &SignedOrder) -> Result<Self, Problem> {
        let order = signed.order().map_err(|error| Problem::usage(format!("its mirror cannot be read: {error}")))?;
        let is_asset = |selected: &Selected| matches!(selected.collection, Collection::Assets | Collection::Folders);
        let content_only = !order.scope.iter().any(is_asset);
        Ok(Self { max_delete: order.max_delete, allow_shrunk: order.allow_shrunk, content_only })
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
    let run = prepare(None, request, config, directory, queue).await?;
    accepted(&run, submit_surely(queue, &run).await?)
}

/// As [`submit`], under an id (a UUID v7) that was chosen before: submitted again, it is the same run.
pub async fn submit_as(
    run: &str,
    request: &SyncRequest,
    config: &Config,
    directory: &Directory,
    queue: &Queue,
) -> Result<String, Problem> {
    let run = prepare(Some(run), request, config, directory, queue).await?;
    accepted(&run, submit_surely(queue, &run).await?)
}

/// Checks both ends and plans: the run as it would be enqueued.
pub(crate) async fn prepare(
    id: Option<&str>,
    request: &SyncRequest,
    config: &Config,
    directory: &Directory,
    queue: &Queue,
) -> Result<NewRun, Problem> {
    let ends = preflight(request, config, directory, queue).await?;
    let plan = plan(request, &ends, config, directory).await?;
    check_schema(&plan.spec, &ends, &Survey::of(&ends, config, directory)?).await?;
    Ok(new_run(id, request, &ends, plan, &directory.client(&ends.target.0, None)?))
}

/// Makes the run and puts it in line.
pub(crate) async fn enqueue(
    request: &SyncRequest,
    ends: &Ends,
    plan: Plan,
    directory: &Directory,
    queue: &Queue,
) -> Result<String, Problem> {
    let run = new_run(None, request, ends, plan, &directory.client(&ends.target.0, None)?);
    accepted(&run, submit_surely(queue, &run).await?)
}

/// The id of the run that was taken, or of the one that is there instead.
pub(crate) fn accepted(run: &NewRun, answer: Submitted) -> Result<String, Problem> {
    match answer {
        Submitted::Granted | Submitted::Waiting { .. } | Submitted::AlreadyThere => {
            tracing::info!(run.id = run.id, source = run.source, target = run.target, "run submitted");
            Ok(run.id.clone())
        }
        Submitted::Same { run } => Ok(run),
        Submitted::Refused(busy) => Err(Problem::refused(busy_in_words(&run.target, &busy))),
        Submitted::Handled => Err(Problem::refused("what becomes of this tick is decided already")),
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

fn busy_in_words(target: &str, busy: &queue::Busy) -> String {
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

fn new_run(id: Option<&str>, request: &SyncRequest, ends: &Ends, mut plan: Plan, target: &AgentClient) -> NewRun {
    let direction = request.direction.to_string();
    let finished = match request.direction {
        Direction::Push => event::PUSH_FINISHED,
        Direction::Pull => event::PULL_FINISHED,
    };
    let uris = (ends.source_uri.as_str(), ends.target_uri.as_str());
    let stages = std::mem::take(&mut plan.stages);
    let mut run = new_run_of(&plan.spec, &direction, finished, uris, stages, plan.items, request.if_busy);
    if let Some(id) = id {
        run.id = id.to_owned();
    }
    if let Some(mirror) = request.mirror {
        plan.spec.mirror = Some(target.approve(mirror.order(&plan, &run.id).encode()));
        run.spec = plan.spec.encode();
    }
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
    // A pause between batches that run side by side would be none.
    run.window = if spec.pace.pause.is_some() { 1 } else { spec.window };
    run.if_busy = if_busy;
    run.spec = spec.encode();
    run.labels.insert("direction".into(), direction.into());
    let end = |name: &str, uri: &str| serde_json::json!({ "name": name, "uri": uri });
    run.labels.insert("source".into(), end(&spec.source.name, uris.0));
    run.labels.insert("target".into(), end(&spec.target.name, uris.1));
    run.labels.insert("started_by".into(), spec.started_by.clone().into());
    run.totals.insert(protocol::counts::ITEMS.into(), i64::try_from(items).unwrap_or(i64::MAX));
    run.held_counter = Some(protocol::counts::NOT_BROUGHT.into());
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
    let SyncRequest { direction, choice, pace, batch_size, on_locked, mirror, .. } = request;
    format!("{direction} {source} {choice:?} {pace:?} {batch_size} {on_locked:?} {mirror:?}")
}

fn job(id: &str, job: &protocol::job::Job) -> NewJob {
    NewJob::new(id, job.kind(), job.encode())
}
