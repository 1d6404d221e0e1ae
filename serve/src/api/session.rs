//! Who I am, coming in, going out.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::SET_COOKIE;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::Caller;
use crate::error::ApiError;
use crate::state::Shared;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogIn {
    token: String,
}

pub async fn show(caller: Caller) -> Json<Value> {
    Json(as_json(&caller))
}

fn as_json(caller: &Caller) -> Value {
    json!({ "user": caller.name, "role": caller.role.map(config::Role::name), "session": caller.session })
}

pub async fn log_in(
    State(shared): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    Json(given): Json<LogIn>,
) -> Result<impl IntoResponse, ApiError> {
    let (caller, cookie) = shared.access.log_in(&given.token, &caller, &headers).await?;
    Ok(([(SET_COOKIE, cookie)], Json(as_json(&caller))))
}

pub async fn log_out(State(shared): State<Shared>, headers: HeaderMap) -> Result<impl IntoResponse, ApiError> {
    let cookie = shared.access.log_out(&headers).await?;
    Ok(([(SET_COOKIE, cookie)], Json(json!({ "user": null }))))
}
