//! A plan that was made for *Run sync*: what would change, and the button that runs it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Form, Path, State};
use axum::response::Response;
use producer::{Change, FieldChange, PlanFile, Planned, Problem, SyncRequest};
use protocol::run::Direction;
use queue::IfBusy;
use serde::Deserialize;
use serde_json::Value;

use super::plans::{Plan, Progress};
use super::words::{self, Mark};
use super::{Shell, page, see};
use crate::access::Caller;
use crate::api::protection::Means;
use crate::error::ApiError;
use crate::state::{Serving, Shared};

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

pub async fn show(State(shared): State<Shared>, caller: Caller, Path(id): Path<String>) -> Result<Response, ApiError> {
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
