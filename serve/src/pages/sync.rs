//! *Run sync*: choose what is brought, and have its plan made.

use askama::Template;
use axum::extract::{Form, Query, State};
use axum::response::Response;
use producer::Problem;
use protocol::api::Manifest;
use protocol::run::Direction;
use serde::Deserialize;

use super::plans::Plans;
use super::words;
use super::{Shell, page, see};
use crate::access::Caller;
use crate::error::ApiError;
use crate::state::{Serving, Shared};
use form::{Fields, Filled};

mod form;

#[derive(Template)]
#[template(path = "sync.html")]
struct Sync {
    shell: Shell,
    /// Directions with the other instance, as the config allows them.
    ways: Vec<Choice>,
    /// Of the config.
    presets: Vec<Choice>,
    problem: Option<String>,
    form: Option<Choosing>,
}

struct Choosing {
    with: String,
    title: String,
    filled: Filled,
    resources: Vec<Choice>,
    models: Vec<Choice>,
    states: Vec<Choice>,
    assets_only: Vec<Choice>,
}

/// One of several.
struct Choice {
    value: String,
    text: String,
    is_chosen: bool,
}

impl Choice {
    fn new(value: impl Into<String>, text: impl Into<String>) -> Self {
        Self { value: value.into(), text: text.into(), is_chosen: false }
    }
}

/// Marks those that are chosen.
fn choose(mut choices: Vec<Choice>, chosen: &[String]) -> Vec<Choice> {
    choices.iter_mut().for_each(|choice| choice.is_chosen = chosen.contains(&choice.value));
    choices
}

/// And adds those that are not there, so that they are not chosen in silence.
fn choose_all(mut choices: Vec<Choice>, chosen: &[String]) -> Vec<Choice> {
    let missing = chosen.iter().filter(|name| choices.iter().all(|choice| choice.value != **name));
    let missing: Vec<Choice> = missing.map(|name| Choice::new(name, "not there")).collect();
    choices.extend(missing);
    choose(choices, chosen)
}

#[derive(Deserialize)]
pub struct Wanted {
    with: Option<String>,
    /// Fills the form.
    preset: Option<String>,
}

pub async fn show(State(shared): State<Shared>, caller: Caller, Query(wanted): Query<Wanted>) -> Response {
    let ways = ways(&shared);
    let with = wanted.with.or_else(|| ways.first().map(|way| way.value.clone())).unwrap_or_default();
    let preset = wanted.preset.filter(|name| !name.is_empty());
    let presets = shared.config.presets.keys().map(|name| Choice::new(name, name)).collect();
    let mut sync = Sync {
        shell: Shell::new(&caller, "/sync", "Run sync"),
        ways: choose(ways, std::slice::from_ref(&with)),
        presets: choose(presets, preset.as_slice()),
        problem: None,
        form: None,
    };
    match choosing(&shared, with, preset.as_deref()).await {
        Ok(form) => sync.form = Some(form).filter(|_| sync.shell.manages),
        Err(problem) => sync.problem = Some(problem.message),
    }
    page(&sync)
}

fn ways(serving: &Serving) -> Vec<Choice> {
    let local = &serving.config.local;
    let mut ways = Vec::new();
    for (name, instance) in serving.config.instances.iter().filter(|(name, _)| *name != local) {
        if instance.push {
            ways.push(Choice::new(format!("push:{name}"), format!("push {local} to {name}")));
        }
        if instance.pull {
            ways.push(Choice::new(format!("pull:{name}"), format!("pull {name} to {local}")));
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

async fn choosing(serving: &Serving, with: String, preset: Option<&str>) -> Result<Choosing, Problem> {
    let filled = Filled::by(preset, &serving.config)?;
    let (direction, other) = way_of(&with)?;
    let local = serving.config.local.as_str();
    let (source, title) = match direction {
        Direction::Push => (local, format!("Push {local} to {other}")),
        Direction::Pull => (other, format!("Pull {other} to {local}")),
    };
    let manifest = serving.directory.client(source, None)?.manifest().await?;
    Ok(Choosing {
        title,
        resources: choose_all(resources(serving, &manifest), &filled.resources),
        models: choose_all(models(&manifest), &filled.models),
        states: choose_all(states(), &filled.states),
        assets_only: choose(assets_only(), &[filled.assets_only.to_owned()]),
        filled,
        with,
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
    let choice = |(name, count): (&str, Option<u64>)| Choice::new(name, count.map(about).unwrap_or_default());
    choices.into_iter().chain(own).map(choice).collect()
}

fn models(manifest: &Manifest) -> Vec<Choice> {
    manifest.models.iter().map(|model| Choice::new(&model.name, about(model.items))).collect()
}

fn states() -> Vec<Choice> {
    ["published", "unpublished", "archived"].map(|state| Choice::new(state, "")).into()
}

fn assets_only() -> Vec<Choice> {
    let kinds = [("", "folders and files"), ("folders", "only the folders"), ("files", "only the files")];
    kinds.map(|(value, text)| Choice::new(value, text)).into()
}

fn about(count: u64) -> String {
    format!("about {}", words::number(count))
}

pub async fn plan(
    State(shared): State<Shared>,
    caller: Caller,
    Form(fields): Form<Fields>,
) -> Result<Response, ApiError> {
    let request = form::request(&fields, &shared.config, caller.in_words())?;
    let plan = Plans::make(&shared, request);
    Ok(see(&format!("/plans/{}", plan.id)))
}
