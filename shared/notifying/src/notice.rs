//! One event on its way to one entry.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// What an action is given.
#[derive(Debug, Clone)]
pub struct Notice {
    /// The same whenever the same event is brought to the same entry, so that a receiver can tell what it has already.
    pub id: String,
    pub event: Map<String, Value>,
    /// The event as it was published.
    pub json: String,
}

impl Notice {
    /// `None` when the text is no JSON object.
    pub fn new(entry: &str, json: String) -> Option<Self> {
        let event = serde_json::from_str(&json).ok()?;
        let mut digest = Sha256::new_with_prefix(entry);
        digest.update([0]);
        digest.update(&json);
        Some(Self { id: hex::encode(&digest.finalize()[..16]), event, json })
    }

    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.event.get(field).and_then(Value::as_str)
    }

    /// Of source and target, which events give with name and address.
    pub(crate) fn name(&self, field: &str) -> Option<&str> {
        let value = self.event.get(field)?;
        value.get("name").unwrap_or(value).as_str()
    }

    /// The event in one line: "push staging -> production: finished_held, 3 held".
    pub(crate) fn summary(&self) -> String {
        let event = self.text("event").unwrap_or("event");
        let mut line = match (self.text("direction"), self.name("source"), self.name("target")) {
            (Some(direction), Some(source), Some(target)) => format!("{direction} {source} -> {target}: "),
            (_, _, Some(target)) => format!("{event}: {target}"),
            _ => self.text("schedule").map_or_else(|| event.to_owned(), |schedule| format!("{event}: {schedule}")),
        };
        if line.ends_with(": ") {
            line += if event.ends_with(".finished") || event.ends_with(".failed") || event.ends_with(".cancelled") {
                self.text("state").unwrap_or(event)
            } else {
                event
            };
        }
        let held = self.event.get("counts").and_then(|counts| counts.get("held")).and_then(Value::as_u64).unwrap_or(0);
        if held > 0 {
            line += &format!(", {held} held");
        }
        for field in ["error", "by"] {
            if let Some(text) = self.text(field) {
                line += &format!(", {}{text}", if field == "by" { "by " } else { "" });
            }
        }
        line
    }
}
