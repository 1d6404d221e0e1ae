//! `[preset.NAME]`: as job files have it, which are JSON.

use serde_json::{Map, Value};

pub fn settings(preset: toml::Table) -> Map<String, Value> {
    preset.into_iter().map(|(key, value)| (key, json(value))).collect()
}

/// Dates are texts, as they are written.
fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(integer) => integer.into(),
        toml::Value::Float(float) => float.into(),
        toml::Value::Boolean(boolean) => boolean.into(),
        toml::Value::Datetime(datetime) => datetime.to_string().into(),
        toml::Value::Array(elements) => elements.into_iter().map(json).collect(),
        toml::Value::Table(table) => Value::Object(settings(table)),
    }
}
