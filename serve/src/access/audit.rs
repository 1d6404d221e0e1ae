//! What is worth a line beside what runs do: who came in, and who was sent away. As events, so that it can be replayed.

use axum::http::Method;
use protocol::event;
use queue::Queue;
use serde_json::{Value, json};

use super::Caller;

/// Somebody without the permission tried.
pub async fn denied(queue: &Queue, caller: &Caller, method: &Method, path: &str) {
    let tried = json!({ "tried": format!("{method} {path}") });
    tell(queue, event::ACCESS_DENIED, caller, tried).await;
}

pub async fn logged_in(queue: &Queue, caller: &Caller) {
    tell(queue, event::ACCESS_LOGIN, caller, json!({})).await;
}

pub async fn login_failed(queue: &Queue, caller: &Caller) {
    tell(queue, event::ACCESS_LOGIN_FAILED, caller, json!({})).await;
}

/// What cannot be told keeps nobody from being refused.
async fn tell(queue: &Queue, name: &str, caller: &Caller, more: Value) {
    tracing::info!(event = name, user = caller.name, address = %caller.address, %more, "access");
    let mut about = more.as_object().cloned().unwrap_or_default();
    about.insert("user".into(), caller.name.clone().into());
    about.insert("address".into(), caller.address.to_string().into());
    if let Err(error) = queue.announce(name, &about).await {
        tracing::warn!(%error, "{name} could not be published");
    }
}
