//! What happened, newest first; new events come in as they happen.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use queue::Event;
use serde_json::Value;

use super::words;
use super::{Shell, page};
use crate::access::Caller;
use crate::error::ApiError;
use crate::state::Shared;

/// Events that are shown.
const SHOWN: u64 = 100;
/// And characters of what each is about.
const ABOUT: usize = 200;

#[derive(Template)]
#[template(path = "events.html")]
struct Events {
    shell: Shell,
    events: Vec<Row>,
}

struct Row {
    seq: u64,
    time: String,
    name: String,
    ends: String,
    about: String,
    run: String,
    short: String,
}

pub async fn show(State(shared): State<Shared>, caller: Caller) -> Result<Response, ApiError> {
    let last = shared.queue.last_seq().await?;
    let replay = shared.queue.events_since(last.saturating_sub(SHOWN)).await?;
    let events = replay.events.iter().rev().map(Row::of).collect();
    Ok(page(&Events { shell: Shell::new(&caller, "/events", "Live events"), events }))
}

impl Row {
    fn of(event: &Event) -> Self {
        let text = |name: &str| event.body.get(name).and_then(Value::as_str).unwrap_or_default();
        let end = |name: &str| event.body.get(name).and_then(|end| end.get("name")).and_then(Value::as_str);
        let about = match (event.body.get("model").and_then(Value::as_str), event.body.get("items")) {
            (Some(model), Some(Value::Array(items))) => format!("{model}, {} items", items.len()),
            (Some(model), _) => model.to_owned(),
            _ => ["error", "message", "tried", "user", "by", "state"]
                .into_iter()
                .map(text)
                .find(|text| !text.is_empty())
                .unwrap_or_default()
                .to_owned(),
        };
        Self {
            seq: event.seq,
            time: words::time(text("time")),
            name: event.name.clone(),
            ends: match (end("source"), end("target")) {
                (Some(source), Some(target)) => format!("{source} to {target}"),
                _ => String::new(),
            },
            about: words::cut(about, ABOUT),
            short: words::short(&event.run).into(),
            run: event.run.clone(),
        }
    }
}
