//! `POST /api/hooks/{hook}`: a CMS says that something was saved.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::hooks;
use crate::state::Shared;

#[derive(Deserialize)]
pub struct Call {
    model: String,
    /// The item's id, or the item itself.
    #[serde(default)]
    item: Value,
}

impl Call {
    fn id(&self) -> Result<Option<String>, ApiError> {
        let id = match &self.item {
            Value::Object(item) => item.get("_id").unwrap_or(&Value::Null),
            item => item,
        };
        match id {
            Value::String(id) if !id.is_empty() && id.len() <= 256 => Ok(Some(id.clone())),
            Value::Null => Ok(None),
            _ => Err(ApiError::usage("item is an id, or an item with an _id; of a singleton it may be left out")),
        }
    }
}

pub async fn called(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    Json(call): Json<Call>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let hook = hooks::hook(&shared.config.hooks, &name)?;
    let item = call.id()?;
    if hook.models.as_ref().is_some_and(|models| !models.contains(&call.model)) {
        return Ok((StatusCode::OK, Json(json!({ "ignored": format!("[hook.{name}] has no {}", call.model) }))));
    }
    let is_new = hooks::saved(&shared, &name, call.model, item).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "target": hook.target, "waits_already": !is_new }))))
}
