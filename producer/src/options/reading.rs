//! Values as presets and job files have them: numbers and texts, as people write them.

use std::time::Duration;

use protocol::filter::Filter;
use protocol::mirror::{MaxDelete, NoMaxDelete};
use protocol::pace::Rate;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

use super::{State, values};

/// A filter as JSON, or as a text with JSON.
pub(super) fn filter<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Filter>, D::Error> {
    let text = match Value::deserialize(deserializer)? {
        Value::Null => return Ok(None),
        Value::String(text) => text,
        other => other.to_string(),
    };
    Filter::parse(&text).map(Some).map_err(D::Error::custom)
}

/// One state or several.
pub(super) fn states<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<State>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    let names = match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(name) => vec![name],
        OneOrMany::Many(names) => names,
    };
    let states: Result<Vec<State>, String> = names.iter().map(|name| name.parse()).collect();
    states.map(Some).map_err(D::Error::custom)
}

/// A number or a text, read as people write such values.
fn written<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, D::Error> {
    let text = match Value::deserialize(deserializer)? {
        Value::Null => return Ok(None),
        Value::String(text) => text,
        other => other.to_string(),
    };
    read(&text).map(Some).map_err(D::Error::custom)
}

pub(super) fn since<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    written(deserializer, values::since)
}

pub(super) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    written(deserializer, values::size)
}

pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    written(deserializer, values::duration)
}

pub(super) fn max_delete<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<MaxDelete>, D::Error> {
    written(deserializer, |text| text.parse().map_err(|error: NoMaxDelete| error.to_string()))
}

pub(super) fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Rate>, D::Error> {
    written(deserializer, values::rate)
}
