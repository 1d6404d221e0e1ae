//! A run's trace across processes, as the W3C header `traceparent`. The program that records traces installs how; without
//! that nothing happens, at no cost. What a header says is never trusted for anything but where a span is drawn.

use std::sync::OnceLock;

use tracing::Span;

/// The header, and the field of runs and jobs.
pub const HEADER: &str = "traceparent";
/// The target of all spans of traces: logs leave it out.
pub const TARGET: &str = "cockpit_sync_trace";

/// How traces are recorded.
pub struct Recording {
    /// The `traceparent` of the current span.
    pub current: fn() -> Option<String>,
    /// Makes a span a child of the one that a `traceparent` names.
    pub follow: fn(&Span, &str),
    /// Links a span to the one that a `traceparent` names.
    pub link: fn(&Span, &str),
}

static RECORDING: OnceLock<Recording> = OnceLock::new();

/// Once per process; the first one stays.
pub fn install(recording: Recording) {
    let _the_first_stays = RECORDING.set(recording);
}

/// The `traceparent` of what this task does now, if it is recorded.
pub fn current() -> Option<String> {
    (RECORDING.get()?.current)()
}

/// Joins the trace of whoever asked for this.
pub fn follow(span: &Span, traceparent: Option<&str>) {
    if let (Some(recording), Some(traceparent)) = (RECORDING.get(), traceparent) {
        (recording.follow)(span, traceparent);
    }
}

/// Points to where it all began.
pub fn link(span: &Span, traceparent: Option<&str>) {
    if let (Some(recording), Some(traceparent)) = (RECORDING.get(), traceparent) {
        (recording.link)(span, traceparent);
    }
}
