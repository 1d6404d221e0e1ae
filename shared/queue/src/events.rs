//! Events: what happened, in order, replayable.

use serde_json::{Map, Value};

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Counts up by one with every event of the deployment.
    pub seq: u64,
    /// The producer's word for it.
    pub name: String,
    pub run: String,
    /// The whole event.
    pub body: Map<String, Value>,
    /// The text as published.
    pub json: String,
}

/// Events after a given one.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    pub events: Vec<Event>,
    /// Some events in between are gone from the log.
    pub trimmed: bool,
}
