//! *Run sync*: choose, see the plan, run it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Form, Path, Query, State};
use axum::response::Response;
use config::Config;
use producer::{Change, FieldChange, PlanFile, Planned, Problem, SyncRequest};
use protocol::api::Manifest;
use protocol::run::Direction;
use queue::IfBusy;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::plans::{Plan, Plans, Progress};
use super::words::{self, Mark};
use super::{Shell, page, see};
use crate::access::Caller;
use crate::api::protection::Means;
use crate::error::ApiError;
use crate::state::{Serving, Shared};

#[derive(Template)]
#[template(path = "sync.html")]
struct Sync {
    shell: Shell,
    ways: Vec<Way>,
    problem: Option<String>,
    form: Option<Choosing>,
}

/// A direction and the other instance, as the config allows them.
struct Way {
    value: String,
    text: String,
    is_chosen: bool,
}

struct Choosing {
    with: String,
    title: String,
    /// Of the config, by name.
    presets: Vec<String>,
    resources: Vec<Choice>,
    models: Vec<Choice>,
}

struct Choice {
    name: String,
    count: String,
}

#[derive(Deserialize)]
pub struct Wanted {
    with: Option<String>,
}

pub async fn show(State(shared): State<Shared>, caller: Caller, Query(wanted): Query<Wanted>) -> Response {
    let mut ways = ways(&shared);
    let chosen = wanted.with.or_else(|| ways.first().map(|way| way.value.clone())).unwrap_or_default();
    ways.iter_mut().for_each(|way| way.is_chosen = way.value == chosen);
    let mut sync = Sync { shell: Shell::new(&caller, "/sync", "Run sync"), ways, problem: None, form: None };
    match choosing(&shared, &chosen).await {
        Ok(form) => sync.form = Some(form).filter(|_| sync.shell.manages),
        Err(problem) => sync.problem = Some(problem.message),
    }
    page(&sync)
}

fn ways(serving: &Serving) -> Vec<Way> {
    let local = &serving.config.local;
    let mut ways = Vec::new();
    for (name, instance) in serving.config.instances.iter().filter(|(name, _)| *name != local) {
        let mut way = |value: String, text: String| ways.push(Way { value, text, is_chosen: false });
        if instance.push {
            way(format!("push:{name}"), format!("push {local} to {name}"));
        }
        if instance.pull {
            way(format!("pull:{name}"), format!("pull {name} to {local}"));
        }
    }
    ways
}

/// `push:production`
fn way_of(text: &str) -> Result<(Direction, &str), Problem> {
    match text.split_once(':') {
        Some(("push", name)) => Ok((Direction::Push, name)),
        Some(("pull", name)) => Ok((Direction::Pull, name)),
        _ => Err(Problem::usage("no sync is allowed: set push = true or pull = true for an instance in the config")),
    }
}

async fn choosing(serving: &Serving, with: &str) -> Result<Choosing, Problem> {
    let (direction, other) = way_of(with)?;
    let local = serving.config.local.as_str();
    let (source, title) = match direction {
        Direction::Push => (local, format!("Push {local} to {other}")),
        Direction::Pull => (other, format!("Pull {other} to {local}")),
    };
    let manifest = serving.directory.client(source, None)?.manifest().await?;
    Ok(Choosing {
        with: with.into(),
        title,
        presets: serving.config.presets.keys().cloned().collect(),
        resources: resources(serving, &manifest),
        models: models(&manifest),
    })
}

fn resources(serving: &Serving, manifest: &Manifest) -> Vec<Choice> {
    let items: u64 = manifest.models.iter().map(|model| model.items).sum();
    let mut choices: Vec<(&str, Option<u64>)> = vec![
        ("locales", Some(manifest.locales.len() as u64)),
        ("models", Some(manifest.models.len() as u64)),
        ("assets", Some(manifest.assets)),
        ("content", Some(items)),
    ];
    for name in ["pages", "lokalize", "layout"] {
        let rows: Vec<u64> =
            manifest.tables.iter().filter(|table| table.name.starts_with(name)).map(|table| table.rows).collect();
        if !rows.is_empty() {
            choices.push((name, Some(rows.iter().sum())));
        }
    }
    let own = serving.config.shaping.resources.keys().map(|name| (name.as_str(), None));
    let choice =
        |(name, count): (&str, Option<u64>)| Choice { name: name.into(), count: count.map(about).unwrap_or_default() };
    choices.into_iter().chain(own).map(choice).collect()
}

fn models(manifest: &Manifest) -> Vec<Choice> {
    manifest.models.iter().map(|model| Choice { name: model.name.clone(), count: about(model.items) }).collect()
}

fn about(count: u64) -> String {
    format!("about {}", words::number(count))
}

/// The form's fields, in its order; a name may come several times.
type Fields = Vec<(String, String)>;

pub async fn plan(
    State(shared): State<Shared>,
    caller: Caller,
    Form(fields): Form<Fields>,
) -> Result<Response, ApiError> {
    let request = request(&fields, &shared.config, &caller)?;
    let plan = Plans::make(&shared, request);
    Ok(see(&format!("/plans/{}", plan.id)))
}

/// What somebody filled in, by the names that presets and the API have.
fn request(fields: &Fields, config: &Config, caller: &Caller) -> Result<SyncRequest, Problem> {
    let all = |name: &str| -> Vec<&str> {
        fields
            .iter()
            .filter(|(field, text)| field == name && !text.trim().is_empty())
            .map(|(_, text)| text.trim())
            .collect()
    };
    let one = |name: &str| all(name).first().copied();
    let (direction, other) = way_of(one("with").unwrap_or_default())?;
    let listed =
        |name: &str| one(name).map(|text| text.split([',', ' ']).filter(|one| !one.is_empty()).collect::<Vec<_>>());
    let is_checked = |name: &str| one(name).is_some();
    let number = |text: &str| text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from);
    let mut settings = Map::new();
    if let Some(model) = one("itemModel") {
        // One form asks for items, the other for all the rest.
        let item = json!({
            "model": model, "ids": listed("itemIds").unwrap_or_default(), "withAssets": is_checked("itemAssets"),
            "withLinks": number(one("itemLinks").unwrap_or("0")),
        });
        settings.insert("item".into(), item);
        return SyncRequest::asked(direction, other, settings, config, caller.in_words());
    }
    for name in ["models", "resources"] {
        let chosen = all(name);
        if !chosen.is_empty() {
            settings.insert(name.into(), chosen.into());
        }
    }
    // All folders or all files, unless some are named.
    settings.extend(one("assetsOnly").map(|kind| (kind.to_owned(), true.into())));
    for name in ["folders", "files"] {
        let names =
            one(name).map(|text| text.split(',').map(str::trim).filter(|one| !one.is_empty()).collect::<Vec<_>>());
        settings.extend(names.map(|names| (name.to_owned(), names.into())));
    }
    for name in ["preset", "state", "modifiedSince", "filter", "onConflict", "maxFileSize"] {
        settings.extend(one(name).map(|text| (name.to_owned(), text.into())));
    }
    settings.extend(one("batchSize").map(|text| ("batchSize".to_owned(), number(text))));
    for name in ["mirror", "acceptSchemaChanges", "withAssets", "skipLargeFiles"] {
        if is_checked(name) {
            settings.insert(name.into(), true.into());
        }
    }
    SyncRequest::asked(direction, other, settings, config, caller.in_words())
}

#[derive(Template)]
#[template(path = "plan.html")]
struct PlanPage {
    shell: Shell,
    problem: Option<String>,
    is_making: bool,
    found: String,
    summary: Option<String>,
    made: String,
    rows: Vec<Row>,
    schema: Vec<Schema>,
    run: Option<RunIt>,
    changes: Vec<Item>,
    more: u64,
}

struct Row {
    name: String,
    cells: [String; 7],
}

struct Schema {
    kind: &'static str,
    text: String,
}

struct RunIt {
    path: String,
    title: String,
    button: String,
    /// Its name is asked for.
    protected: Option<String>,
}

struct Item {
    mark: Mark,
    name: String,
    size: String,
    conflict: Option<String>,
    fields: Vec<Field>,
}

struct Field {
    name: String,
    text: Option<String>,
    old: String,
    new: String,
}

fn find(shared: &Shared, id: &str) -> Result<Arc<Plan>, ApiError> {
    shared.kept_plans.find(id).ok_or_else(|| {
        ApiError::not_found(
            "this plan is not kept any more (the latest twenty are, while the server runs): make a new one",
        )
    })
}

pub async fn show_plan(
    State(shared): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let plan = find(&shared, &id)?;
    let progress = plan.progress().clone();
    let shell = Shell::new(&caller, "/sync", title(&shared, &plan.request));
    Ok(page(&PlanPage::of(&shared, &plan, progress, shell)))
}

fn title(serving: &Serving, request: &SyncRequest) -> String {
    let (local, other) = (&serving.config.local, &request.other);
    match request.direction {
        Direction::Push => format!("Plan: push {local} to {other}"),
        Direction::Pull => format!("Plan: pull {other} to {local}"),
    }
}

impl PlanPage {
    fn of(serving: &Serving, plan: &Plan, progress: Progress, shell: Shell) -> Self {
        let Progress { changes, changes_total, made, made_at, .. } = progress;
        let forecast = made.as_ref().and_then(|made| made.as_ref().ok());
        let counts = forecast.map(|forecast| forecast.counts);
        let breaks = forecast.is_some_and(|forecast| forecast.schema.iter().any(|change| change.breaking));
        let is_refused = breaks && !plan.request.accept_schema_changes;
        let refusal = is_refused.then(|| {
            "Definitions of models would change so that values on the target break: it is refused unless that is accepted."
                .to_owned()
        });
        let run = counts.filter(|counts| counts.changes() && !is_refused && shell.manages).map(|_| RunIt {
            path: format!("/plans/{}/run", plan.id),
            title: format!("Run it: {} {}", plan.request.direction, plan.request.other),
            button: format!("Write to {}", plan.target),
            protected: serving.is_protected(&plan.target).then(|| plan.target.clone()),
        });
        let rows = forecast.into_iter().flat_map(|forecast| &forecast.resources).flat_map(|(resource, models)| {
            models.iter().map(move |(model, planned)| Row {
                name: if resource == model { model.clone() } else { format!("{resource} {model}") },
                cells: cells(planned),
            })
        });
        Self {
            is_making: made.is_none(),
            found: words::number(changes_total),
            summary: counts.map(|counts| summary(&counts)),
            made: words::time(&made_at),
            rows: rows.collect(),
            schema: forecast
                .into_iter()
                .flat_map(|forecast| &forecast.schema)
                .map(|change| Schema { kind: if change.breaking { "bad" } else { "" }, text: change.to_string() })
                .collect(),
            run,
            more: changes_total.saturating_sub(changes.len() as u64),
            changes: changes.into_iter().map(Item::of).collect(),
            problem: made.and_then(Result::err).or(refusal),
            shell,
        }
    }
}

fn cells(planned: &Planned) -> [String; 7] {
    let Planned { create, update, delete, unchanged, conflicts, held, bytes } = *planned;
    let [create, update, delete, unchanged, conflicts, held] =
        [create, update, delete, unchanged, conflicts, held].map(words::number);
    [create, update, delete, unchanged, conflicts, held, words::bytes(bytes)]
}

fn summary(counts: &Planned) -> String {
    if !counts.changes() {
        return "There is nothing to do.".into();
    }
    format!(
        "Create {}, update {} and delete {} items: {}.",
        words::number(counts.create),
        words::number(counts.update),
        words::number(counts.delete),
        words::bytes(counts.bytes)
    )
}

impl Item {
    fn of(change: Change) -> Self {
        let kind = match change.change {
            "create" => "good",
            "delete" => "bad",
            "keep" | "hold" => "warn",
            _ => "",
        };
        let name = match change.resource == change.model {
            true => format!("{} {}", change.model, change.identity),
            false => format!("{} {} {}", change.resource, change.model, change.identity),
        };
        Self {
            mark: Mark::new(change.change, kind),
            name,
            size: if change.bytes > 0 { words::bytes(change.bytes) } else { String::new() },
            conflict: change.conflict,
            fields: change.fields.unwrap_or_default().into_iter().map(Field::of).collect(),
        }
    }
}

impl Field {
    fn of(change: FieldChange) -> Self {
        let value = |value: Option<Value>| match value {
            None => "(not there)".to_owned(),
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
        };
        Self {
            name: match change.locale {
                Some(locale) => format!("{} ({locale})", change.field),
                None => change.field,
            },
            text: change.text,
            old: value(change.old),
            new: value(change.new),
        }
    }
}

#[derive(Deserialize)]
pub struct Confirmed {
    #[serde(flatten)]
    means: Means,
    exactly: Option<String>,
}

pub async fn run(
    State(shared): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    Form(confirmed): Form<Confirmed>,
) -> Result<Response, ApiError> {
    let plan = find(&shared, &id)?;
    confirmed.means.check(&plan.target, &shared.config, "write to it")?;
    let forecast = plan.progress().made.clone().and_then(Result::ok);
    let Some(forecast) = forecast else {
        return Err(Problem::refused("this plan is not made yet, or could not be: nothing was written").into());
    };
    let Serving { config, directory, queue, .. } = &*shared;
    let by = caller.in_words();
    let run = match confirmed.exactly {
        Some(_) => {
            let made = plan.progress().made_at.clone();
            let file = PlanFile { made, spec: forecast.spec.clone() };
            let accepts = plan.request.accept_schema_changes;
            producer::apply(file, accepts, IfBusy::Wait, by, config, directory, queue).await?
        }
        None => {
            let request = SyncRequest { started_by: by, ..plan.request.clone() };
            producer::submit(&request, config, directory, queue).await?
        }
    };
    Ok(see(&format!("/runs/{run}")))
}
