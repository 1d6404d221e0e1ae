//! What a run would change in the definitions of models that the target has, and how many of its items that touches:
//! told before any data moves.
//!
//! A change is breaking when values that are there would not be shown any more, or not be valid. A model that only one side
//! has is no change of a schema.

use std::collections::BTreeMap;

use protocol::api::{ListRequest, Manifest};
use protocol::client::AgentClient;
use protocol::collection::Collection;
use protocol::filter::Filter;
use protocol::run::RunSpec;
use protocol::selection::Selection;
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::Problem;
use crate::preflight::Ends;
use crate::survey::Survey;

mod fields;

use fields::{FieldChange, Touches, compare};

/// One change of one model.
#[derive(Debug, Clone, Serialize)]
pub struct SchemaChange {
    pub model: String,
    /// `title`, `social.network`; none: the model itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    pub change: &'static str,
    pub breaking: bool,
    /// Items of the target whose values it is about.
    pub items: u64,
    pub message: String,
}

impl std::fmt::Display for SchemaChange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let field = self.field.as_ref().map(|field| format!(".{field}")).unwrap_or_default();
        let kind = if self.breaking { "breaking" } else { "harmless" };
        let Self { model, message, items, .. } = self;
        write!(formatter, "{model}{field}: {message} ({kind}, {items} items of the target have it)")
    }
}

/// Everything that would change, by model and in the order of the fields.
pub(crate) async fn schema_changes(spec: &RunSpec, ends: &Ends, survey: &Survey) -> Result<Vec<SchemaChange>, Problem> {
    let brings_models = spec.resources.iter().any(|name| name == "models");
    let different = different_models(&ends.source.1, &ends.target.1, spec.models.as_deref());
    if !brings_models || different.is_empty() {
        return Ok(Vec::new());
    }
    let mut changes = Vec::new();
    let (new, old) =
        tokio::try_join!(definitions(&survey.source, &different), definitions(&survey.target, &different))?;
    for (model, new) in &new {
        let Some(old) = old.get(model) else { continue };
        let collection = match old["type"].as_str() {
            Some("singleton") => Collection::Singletons,
            _ => Collection::Items(model.clone()),
        };
        for change in compare(old, new, &ends.target.1.locales) {
            let FieldChange { field, change, breaking, message, touches } = change;
            let items = count(&survey.target, &collection, model, touches).await?;
            changes.push(SchemaChange { model: model.clone(), field, change, breaking, items, message });
        }
    }
    Ok(changes)
}

/// Refuses a run that would break something on the target, unless that was accepted; what is harmless is told.
pub(crate) async fn check_schema(spec: &RunSpec, ends: &Ends, survey: &Survey) -> Result<(), Problem> {
    let changes = schema_changes(spec, ends, survey).await?;
    let breaking: Vec<String> =
        changes.iter().filter(|change| change.breaking).map(|change| format!("  {change}")).collect();
    if !breaking.is_empty() && !spec.accept_schema_changes {
        return Err(Problem::refused(format!(
            "the models of {} would change so that values on {} break:\n{}\nNothing was written. See it all with \
             `cockpit-sync plan`; to do it nonetheless: --accept-schema-changes",
            spec.source.name,
            spec.target.name,
            breaking.join("\n")
        )));
    }
    for change in changes {
        tracing::warn!("schema: {change}");
    }
    Ok(())
}

/// Models that both sides have, with other definitions.
fn different_models(source: &Manifest, target: &Manifest, only: Option<&[String]>) -> Vec<String> {
    let differs = |model: &&protocol::api::ModelInfo| {
        only.is_none_or(|only| only.contains(&model.name))
            && target.models.iter().any(|other| other.name == model.name && other.hash != model.hash)
    };
    source.models.iter().filter(differs).map(|model| model.name.clone()).collect()
}

async fn definitions(agent: &AgentClient, names: &[String]) -> Result<BTreeMap<String, Value>, Problem> {
    let found = comparing::documents(agent, &Collection::Models, names.to_vec(), None).await?;
    let read = |entry: protocol::api::Entry| {
        // What cannot be read is held when it is written; there is nothing to compare.
        let definition = serde_json::from_slice(&entry.document?).ok()?;
        Some((entry.identity, definition))
    };
    Ok(found.documents.into_iter().filter_map(read).collect())
}

/// How many items of the target a change touches.
async fn count(agent: &AgentClient, collection: &Collection, model: &str, touches: Touches) -> Result<u64, Problem> {
    let filter = match touches {
        Touches::Everything => None,
        Touches::WithValue(fields) => {
            let any: Vec<Value> = fields.iter().map(|field| json!({ field: { "$ne": null } })).collect();
            Some(json!({ "$or": any }))
        }
        Touches::WithoutValue(field) => Some(json!({ field: { "$in": [null, ""] } })),
    };
    let filter = filter.map(|filter| Filter::parse(&filter.to_string())).transpose();
    let filter = filter.map_err(|error| Problem::usage(error.to_string()))?;
    let only = (*collection == Collection::Singletons).then(|| vec![model.to_owned()]);
    let selection = Selection { only, filter };
    let mut items = 0;
    let mut next = Some(0);
    while let Some(from_row) = next {
        let (collection, selection) = (collection.clone(), selection.clone());
        let request = ListRequest { collection, selection, from_row, to_row: None, documents: false };
        let listing = agent.call(&request).await?;
        items += listing.entries.len() as u64;
        next = listing.next_row;
    }
    Ok(items)
}
