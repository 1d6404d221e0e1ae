//! `GET /api/events`: server-sent events.

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

use crate::error::ApiError;
use crate::feed::Wanted;
use crate::state::Shared;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// For those who cannot send a header: replays what came after this event.
    since: Option<u64>,
    run: Option<String>,
}

pub async fn follow(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Query(which): Query<Which>,
) -> Result<Response, ApiError> {
    let last = headers.get("last-event-id").map(|value| value.to_str().ok().and_then(|text| text.trim().parse().ok()));
    let after = match last {
        Some(None) => return Err(ApiError::usage("Last-Event-ID is the number of an event")),
        // A browser that comes back knows better than the address of its page.
        Some(Some(last)) => Some(last),
        None => which.since,
    };
    shared.feed.listen(Wanted { after, run: which.run }).await
}
