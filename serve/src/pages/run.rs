//! One run: how far it is, what it held, what died, and what can be done about it.

use std::collections::BTreeMap;

use askama::Template;
use axum::Json;
use axum::extract::{Form, Path, State};
use axum::response::Response;
use producer::{
    Items, RunReport, SyncRequest, UndoReport, WantedLines, dead_jobs, log_lines, plan_undo, report, spec_of,
};
use protocol::api::Manifest;
use protocol::counts::{Counts, Note};
use protocol::run::Direction;
use queue::{RunState, RunView};
use serde::Deserialize;
use serde_json::Value;

use super::chart::Chart;
use super::dead::DeadJob;
use super::logs;
use super::overview::percent;
use super::words::{self, Mark};
use super::{Shell, page, see};
use crate::access::Caller;
use crate::api::protection::Means;
use crate::api::runs;
use crate::error::ApiError;
use crate::monitor::Throughput;
use crate::state::Shared;

/// Held items and remarks that are shown.
const NOTES: usize = 50;
/// And characters of what is said of each.
const MESSAGE: usize = 400;
/// Dead jobs that are shown.
const DEAD: usize = 5;
/// Log lines that are shown.
const LINES: usize = 30;

#[derive(Template)]
#[template(path = "run.html")]
struct Run {
    shell: Shell,
    id: String,
    target: String,
    mark: Mark,
    error: Option<String>,
    explanation: Option<String>,
    percent: u64,
    items: String,
    total: String,
    bytes: String,
    rate: Option<String>,
    counts: String,
    seconds: String,
    created: String,
    started_by: String,
    finished: Option<String>,
    by: Option<String>,
    verified: bool,
    stages: Vec<Stage>,
    actions: Vec<Action>,
    /// Of items and of bytes, as far as there were any.
    charts: Vec<Chart>,
    models: Vec<Model>,
    held: Vec<Held>,
    more_held: u64,
    dead: Vec<DeadJob>,
    lines: Vec<logs::Row>,
}

struct Stage {
    name: String,
    class: &'static str,
    is_now: bool,
    jobs: String,
}

/// A button.
#[derive(Debug, PartialEq)]
struct Action {
    id: &'static str,
    name: &'static str,
    class: &'static str,
    path: String,
    /// It only leads to a page that asks.
    asks: bool,
    /// The target is to be named before it does anything.
    names_target: bool,
}

struct Model {
    name: String,
    done: u64,
    total: u64,
    cells: [String; 5],
}

struct Held {
    mark: Mark,
    name: String,
    message: String,
    again: Option<Again>,
}

/// An item that can be pushed by itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Again {
    model: String,
    item: String,
}

pub async fn show(State(shared): State<Shared>, caller: Caller, Path(id): Path<String>) -> Result<Response, ApiError> {
    let view = shared.queue.run(&id).await?;
    let report = report(&view);
    let notes: Vec<Note> =
        shared.queue.first_notes(&id, NOTES).await?.iter().filter_map(|note| Note::decode(note)).collect();
    let mut dead = if view.depth.dead > 0 { dead_jobs(&shared.queue, &view).await? } else { Vec::new() };
    dead.truncate(DEAD);
    let wanted = WantedLines { run: Some(id.clone()), ..WantedLines::default() };
    let lines = log_lines(&shared.queue, &wanted, LINES).await?;
    let explanation = match view.state.is_final() {
        true => None,
        false => Some(shared.queue.explain(&id).await?),
    };
    let (throughput, manifest, progress) = shared.monitor.read(|outlook| {
        let throughput = outlook.throughput.get(&id).cloned().unwrap_or_default();
        let manifest = outlook.health.get(&view.source).and_then(|health| health.answer.clone().ok());
        let targets = outlook.status.iter().flat_map(|status| &status.targets);
        let mut held = targets.filter(|target| target.holder.as_ref().is_some_and(|run| run.run == id));
        (throughput, manifest, held.find_map(|target| target.progress))
    });
    let is_over = view.state.is_final();
    let deletes = spec_of(&view).is_ok_and(|spec| spec.mirror.is_some()) && shared.is_protected(&view.target);
    let page_of_run = Run {
        shell: Shell::new(&caller, "/runs", format!("{} {} to {}", report.direction, report.source, report.target)),
        mark: Mark::of_state(view.state),
        explanation,
        percent: percent(&report),
        items: words::number(report.items),
        total: words::number(report.items_total),
        bytes: words::bytes(report.bytes),
        rate: progress.filter(|_| !is_over).map(|progress| {
            let eta = progress
                .eta_seconds
                .map_or_else(|| "nothing moves".into(), |left| format!("done in about {}", words::seconds(left)));
            let bytes = words::bytes(progress.bytes_per_second as u64);
            format!("{:.0} items and {bytes} a second, {eta}", progress.items_per_second)
        }),
        counts: in_words(&report.counts),
        seconds: words::seconds(report.seconds),
        created: words::time(&report.created),
        started_by: report.started_by.clone(),
        finished: report.finished.as_deref().map(words::time),
        by: report.by.clone(),
        verified: report.verified,
        stages: stages(&report),
        actions: actions(&view, deletes),
        target: view.target.clone(),
        charts: charts(&throughput),
        models: models(&report, manifest.as_deref()),
        more_held: view.notes_total.saturating_sub(notes.len() as u64),
        held: notes.into_iter().map(Held::of).map(Held::cut).collect(),
        dead: dead.into_iter().map(DeadJob::new).collect(),
        lines: lines.into_iter().map(logs::Row::of).collect(),
        error: report.error,
        id,
    };
    Ok(page(&page_of_run))
}

fn charts(throughput: &Throughput) -> Vec<Chart> {
    let items =
        Chart::new("items".into(), "Items a second".into(), &throughput.items.points(), |rate| format!("{rate:.0}"));
    let bytes = Chart::new("bytes".into(), "Written a second".into(), &throughput.bytes.points(), |rate| {
        words::bytes(rate as u64)
    });
    items.into_iter().chain(bytes).collect()
}

fn in_words(counts: &Counts) -> String {
    let Counts { created, updated, unchanged, deleted, held } = *counts;
    format!(
        "{} created, {} updated, {} unchanged, {} deleted, {} held",
        words::number(created),
        words::number(updated),
        words::number(unchanged),
        words::number(deleted),
        words::number(held)
    )
}

fn stages(report: &RunReport) -> Vec<Stage> {
    let is_over = report.state.is_final();
    let stage = |stage: &producer::StageReport| {
        let is_now = !is_over && stage.name == report.stage;
        let class = match (is_now, stage.open, stage.done) {
            (true, ..) => "now",
            (false, 0, 1..) => "done",
            _ => "",
        };
        let dead = if stage.dead > 0 { format!(", {} dead", stage.dead) } else { String::new() };
        let jobs = format!("{}/{}{dead}", stage.done, stage.done + stage.open);
        Stage { name: stage.name.clone(), class, is_now, jobs }
    };
    report.stages.iter().map(stage).collect()
}

/// `deletes`: what it would do once more deletes on a protected target.
fn actions(view: &RunView, deletes: bool) -> Vec<Action> {
    let action = |id: &'static str, name, class| Action {
        id,
        name,
        class,
        path: format!("/runs/{}/{id}", view.id),
        asks: id == "undo",
        names_target: id == "retry" && deletes,
    };
    match view.state {
        RunState::Running => vec![action("pause", "Pause", ""), action("cancel", "Cancel", "bad")],
        RunState::Paused => vec![action("resume", "Resume", "main"), action("cancel", "Cancel", "bad")],
        RunState::Waiting | RunState::Stalled => vec![action("cancel", "Cancel", "bad")],
        RunState::Ending => Vec::new(),
        RunState::Finished => vec![action("undo", "Undo", "")],
        RunState::FinishedHeld | RunState::Failed | RunState::Cancelled | RunState::Unlocked => {
            vec![action("retry", "Retry what was left over", "main"), action("undo", "Undo", "")]
        }
    }
}

/// How far each model is. How many there are is what the source's agent counted, an upper bound.
fn models(report: &RunReport, source: Option<&Manifest>) -> Vec<Model> {
    let known: BTreeMap<(&str, &str), u64> = source.map(totals).unwrap_or_default();
    let mut models = Vec::new();
    for (resource, of_resource) in &report.resources {
        for (model, counts) in of_resource {
            let cells = [counts.created, counts.updated, counts.unchanged, counts.deleted, counts.held];
            let done: u64 = cells.iter().sum();
            let most = known.get(&(resource.as_str(), model.as_str())).copied().filter(|_| !report.state.is_final());
            let name = if resource == model { model.clone() } else { format!("{resource} {model}") };
            let total = most.unwrap_or(done).max(done).max(1);
            models.push(Model { name, done, total, cells: cells.map(words::number) });
        }
    }
    models
}

fn totals(manifest: &Manifest) -> BTreeMap<(&str, &str), u64> {
    let models = manifest.models.iter().map(|model| (("content", model.name.as_str()), model.items));
    models
        .chain([
            (("content", "singletons"), manifest.singletons),
            (("assets", "assets"), manifest.assets),
            (("assets", "folders"), manifest.folders),
            (("models", "models"), manifest.models.len() as u64),
            (("locales", "locales"), manifest.locales.len() as u64),
        ])
        .collect()
}

impl Held {
    fn cut(self) -> Self {
        Self { message: words::cut(self.message, MESSAGE), ..self }
    }

    fn of(note: Note) -> Self {
        let name = |resource: &str, model: &str, identity: &str| match resource == model {
            true => format!("{model} {identity}"),
            false => format!("{resource} {model} {identity}"),
        };
        match note {
            Note::Held { resource, model, document } => {
                let cause = serde_json::to_value(document.cause).ok();
                let cause = cause.as_ref().and_then(|cause| cause.as_str()).unwrap_or("held").replace('_', " ");
                let is_item = resource == "content" && model != "singletons" && !document.identity.starts_with("row ");
                let item = document.identity.clone();
                Self {
                    mark: Mark::new(cause, "warn"),
                    name: name(&resource, &model, &document.identity),
                    message: document.message,
                    again: is_item.then_some(Again { model, item }),
                }
            }
            Note::EditedMeanwhile { resource, model, identity, message } => {
                let name = name(&resource, &model, &identity);
                Self { mark: Mark::new("edited meanwhile", ""), name, message, again: None }
            }
            Note::Action { name, error } => {
                let mark =
                    if error.is_some() { Mark::new("action failed", "bad") } else { Mark::new("action", "good") };
                let message = error.unwrap_or_else(|| "It was carried out where the run wrote.".into());
                Self { mark, name, message, again: None }
            }
            Note::Conflict { resource, model, identity, message, .. } => {
                let name = name(&resource, &model, &identity);
                Self { mark: Mark::new("conflict", "warn"), name, message, again: None }
            }
        }
    }
}

/// The buttons that need no more asking.
pub async fn act(
    State(shared): State<Shared>,
    caller: Caller,
    Path((id, what)): Path<(String, String)>,
    Form(means): Form<Means>,
) -> Result<Response, ApiError> {
    let (state, id) = (State(shared), Path(id));
    let Json(run) = match what.as_str() {
        "pause" => runs::pause(state, id).await?,
        "resume" => runs::resume(state, id).await?,
        "cancel" => runs::cancel(state, caller, id).await?,
        "retry" => runs::retry(state, caller, id, Some(Json(means))).await?.1,
        _ => return Err(ApiError::not_found(format!("nothing is called {what:?} that could be done to a run"))),
    };
    Ok(see_run(&run))
}

/// The page of a run that the API told of.
pub fn see_run(run: &Value) -> Response {
    see(&format!("/runs/{}", run["run"].as_str().unwrap_or_default()))
}

/// One held item, by itself and at once.
pub async fn item(
    State(shared): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    Form(again): Form<Again>,
) -> Result<Response, ApiError> {
    let view = shared.queue.run(&id).await?;
    let spec = spec_of(&view)?;
    let other = match spec.direction {
        Direction::Push => spec.target.name,
        Direction::Pull => spec.source.name,
    };
    let items = Items { model: again.model, ids: vec![again.item], with_assets: spec.with_assets, with_links: 0 };
    let request = SyncRequest::of_items(spec.direction, other, items, caller.in_words());
    let new = producer::submit(&request, &shared.config, &shared.directory, &shared.queue).await?;
    Ok(see(&format!("/runs/{new}")))
}

#[derive(Template)]
#[template(path = "undo.html")]
struct Undo {
    shell: Shell,
    id: String,
    target: String,
    rows: Vec<Row>,
    conflicts: Vec<String>,
    is_protected: bool,
}

struct Row {
    name: String,
    cells: [String; 5],
}

/// What an undo would do, and the button that does it.
pub async fn show_undo(
    State(shared): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let view = shared.queue.run(&id).await?;
    let UndoReport { target, collections, conflicts, .. } = plan_undo(&shared.directory, &view.target, &id).await?;
    let numbers = |counts: &producer::UndoCounts| {
        let size = words::bytes(counts.bytes);
        let [back, remove, same, changed] =
            [counts.put_back, counts.remove, counts.same, counts.conflicts].map(words::number);
        [back, size, remove, same, changed]
    };
    let undo = Undo {
        shell: Shell::new(&caller, "/runs", format!("Undo run {}", words::short(&id))),
        rows: collections.iter().map(|(name, counts)| Row { name: name.clone(), cells: numbers(counts) }).collect(),
        conflicts: conflicts
            .iter()
            .take(NOTES)
            .map(|one| format!("{} {}: {}", one.collection, one.document.identity, one.document.message))
            .collect(),
        is_protected: shared.is_protected(&target),
        target,
        id,
    };
    Ok(page(&undo))
}

pub async fn undo(
    State(shared): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    Form(means): Form<Means>,
) -> Result<Response, ApiError> {
    let (_, Json(run)) = runs::undo(State(shared), caller, Path(id), Some(Json(means))).await?;
    Ok(see_run(&run))
}
