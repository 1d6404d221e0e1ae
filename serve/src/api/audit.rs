//! `GET /api/audit`: what agents wrote down: who wrote what, and what was refused.

use axum::Json;
use axum::extract::{Query, State};
use protocol::audit::Entry;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::state::Shared;

/// Entries, unless asked otherwise; and the most there are.
const LIMIT: usize = 100;
const MOST: u32 = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// The agent of this instance is asked. Else: the copies in Redis, of all.
    instance: Option<String>,
    /// Only those of this run.
    run: Option<String>,
    limit: Option<usize>,
}

/// The latest first.
pub async fn show(State(shared): State<Shared>, Query(which): Query<Which>) -> Result<Json<Value>, ApiError> {
    let most = usize::try_from(MOST).unwrap_or(usize::MAX);
    let limit = super::limit(which.limit, LIMIT, most)?;
    let mut entries: Vec<Value> = match &which.instance {
        Some(name) if !shared.config.instances.contains_key(name) => {
            return Err(ApiError::not_found(format!("no instance is called {name:?} in the config")));
        }
        Some(name) => {
            let oldest_first = producer::audit(&shared.directory, name, MOST).await?;
            oldest_first.iter().rev().map(|entry| as_copied(entry, name)).collect()
        }
        None => {
            let copies = shared.queue.audit(most).await?;
            copies.iter().filter_map(|copy| serde_json::from_str(copy).ok()).collect()
        }
    };
    entries.retain(|entry| which.run.is_none() || entry["run"].as_str() == which.run.as_deref());
    entries.truncate(limit);
    Ok(Json(json!({ "entries": entries })))
}

/// As workers copy it: without its place in the chain, with the name of the instance.
fn as_copied(entry: &Entry, name: &str) -> Value {
    let mut value = json!(entry);
    value["name"] = name.into();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("previous");
    }
    value
}
