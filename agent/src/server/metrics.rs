//! What an agent counts, through the facade `metrics`: nothing, at no cost, unless the program records it.
//! Names and meanings: docs/metrics.md.

use std::time::Duration;

use metrics::{counter, histogram};
use protocol::api::ErrorCode;

use crate::routes::Route;

const REQUESTS: &str = "cockpit_sync_http_requests_total";
const SECONDS: &str = "cockpit_sync_http_request_seconds";
const FAILED_ATTEMPTS: &str = "cockpit_sync_failed_attempts_total";
const REFUSED: &str = "cockpit_sync_grants_refused_total";

/// Why somebody has no right to write (any more), as labels.
const REASONS: [(ErrorCode, &str); 4] = [
    (ErrorCode::GrantHeld, "held"),
    (ErrorCode::GrantLost, "lost"),
    (ErrorCode::GrantSuperseded, "superseded"),
    (ErrorCode::SyncLock, "sync_lock"),
];

/// What was wrong with attempts of those who have no key of ours, as labels.
const ATTEMPTS: [&str; 5] = ["malformed", "unknown_key", "bad_signature", "raw_key", "too_many"];

/// There from the start, at zero: a rate that begins with the first event would miss it.
pub(super) fn start() {
    for (_, reason) in REASONS {
        counter!(REFUSED, "reason" => reason).increment(0);
    }
    for reason in ATTEMPTS {
        counter!(FAILED_ATTEMPTS, "reason" => reason).increment(0);
    }
}

/// Paths that nobody serves have one name, or strangers could make up any number.
pub(super) fn label(path: &str) -> &'static str {
    match Route::find(path) {
        Some(route) => route.path,
        None if path == "check" => "check",
        None => "other",
    }
}

pub(super) fn answered(path: &str, status: u16, elapsed: Duration) {
    let path = label(path);
    counter!(REQUESTS, "path" => path, "status" => status.to_string()).increment(1);
    histogram!(SECONDS, "path" => path).record(elapsed.as_secs_f64());
}

/// `reason` is one of [`ATTEMPTS`].
pub(super) fn failed_attempt(reason: &'static str) {
    counter!(FAILED_ATTEMPTS, "reason" => reason).increment(1);
}

pub(super) fn refused(code: ErrorCode) {
    if let Some((_, reason)) = REASONS.iter().find(|(one, _)| *one == code) {
        counter!(REFUSED, "reason" => *reason).increment(1);
    }
}
