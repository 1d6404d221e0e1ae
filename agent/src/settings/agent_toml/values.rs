//! One value of agent.toml: what it must be, and what is said when it is not.

use std::path::{Path, PathBuf};

use config::SecretTables;
use notifying::Entry;
use protocol::event;
use protocol::mirror::MaxDelete;
use protocol::sign::SyncKey;
use toml::{Table, Value};

use super::AgentTomlError;
use crate::keys::AcceptedKey;
use crate::settings::{Networks, Rate};

/// Found sound here; they are read again once it is known where the Cockpit is.
pub(super) fn entries(value: Value) -> Result<SecretTables, AgentTomlError> {
    let tables: Vec<Table> = value.try_into().map_err(|_| wrong("on", "tables: [[on]]"))?;
    Entry::read_all(&tables, &[event::RUN_CLOSED], Path::new("/"))?;
    Ok(SecretTables(tables))
}

pub(super) fn wrong(key: &str, expected: &'static str) -> AgentTomlError {
    AgentTomlError::WrongKind { key: key.into(), expected }
}

pub(super) fn truth(key: &str, value: &Value) -> Result<bool, AgentTomlError> {
    value.as_bool().ok_or_else(|| wrong(key, "true or false"))
}

pub(super) fn texts(key: &str, value: Value) -> Result<Vec<String>, AgentTomlError> {
    let Value::Array(items) = value else { return Err(wrong(key, "a list of strings")) };
    let text = |item: Value| match item {
        Value::String(text) => Ok(text),
        _ => Err(wrong(key, "a list of strings")),
    };
    items.into_iter().map(text).collect()
}

/// A relative path would depend on where the agent happens to be started.
pub(super) fn place(key: &str, value: Value) -> Result<PathBuf, AgentTomlError> {
    let whole = value.as_str().map(PathBuf::from).filter(|path| path.is_absolute());
    whole.ok_or_else(|| wrong(key, "a whole path (/mnt/uploads)"))
}

/// Keys alone are for everything; a table says what for and how long.
pub(super) fn keys(value: Value) -> Result<Vec<AcceptedKey>, AgentTomlError> {
    let expected = "a list of strings, or of tables with key or key_file, id, purpose, from and until";
    let Value::Array(items) = value else { return Err(wrong("keys", expected)) };
    let one = |item: Value| match item {
        Value::String(text) => Ok(AcceptedKey::from(SyncKey::new(text)?)),
        Value::Table(table) => limited_key(table),
        _ => Err(wrong("keys", expected)),
    };
    items.into_iter().map(one).collect()
}

fn limited_key(table: Table) -> Result<AcceptedKey, AgentTomlError> {
    let mut secret = None;
    let mut limits = Vec::new();
    for (name, value) in table {
        let is_known = ["key", "key_file", "id", "purpose", "from", "until"].contains(&name.as_str());
        let name = format!("keys.{name}");
        if !is_known {
            return Err(AgentTomlError::UnknownOfKeys(name));
        }
        let Value::String(text) = value else { return Err(wrong(&name, "a string")) };
        match name.as_str() {
            "keys.key" => secret = Some(text),
            "keys.key_file" => {
                secret = Some(config::secret_file(Path::new(&text)).map_err(AgentTomlError::SecretFile)?)
            }
            _ => limits.push((name, text)),
        }
    }
    let secret = secret.ok_or_else(|| wrong("keys", "tables with key or key_file"))?;
    let mut key = AcceptedKey::from(SyncKey::new(secret)?);
    for (name, text) in limits {
        let time = || {
            let time = crate::keys::time_ms(&text);
            time.map(Some).ok_or_else(|| wrong(&name, "a day (\"2026-12-31\") or a moment (\"2026-12-31T18:00:00Z\")"))
        };
        match name.as_str() {
            "keys.id" => key.id.clone_from(&text),
            "keys.purpose" => key.purpose = text.parse().map_err(|_| wrong(&name, "check, read or write"))?,
            "keys.from" => key.from_ms = time()?,
            _ => key.until_ms = time()?,
        }
    }
    Ok(key)
}

/// Which end of a sync it may be: source, target.
pub(super) fn directions(key: &str, value: Value) -> Result<(bool, bool), AgentTomlError> {
    let named = texts(key, value)?;
    let names = |one: &str| named.iter().any(|name| name == one);
    if named.is_empty() || named.iter().any(|name| name != "source" && name != "target") {
        return Err(wrong(key, "a list of \"source\", \"target\" or both"));
    }
    Ok((names("source"), names("target")))
}

pub(super) fn networks(key: &str, value: Value) -> Result<Networks, AgentTomlError> {
    Networks::parse(&texts(key, value)?).map_err(|cause| AgentTomlError::Network { key: key.into(), cause })
}

pub(super) fn somebody(allow: Networks) -> Result<Networks, AgentTomlError> {
    if allow.is_empty() { Err(AgentTomlError::NobodyAllowed) } else { Ok(allow) }
}

pub(super) fn rate(key: &str, value: &Value) -> Result<Rate, AgentTomlError> {
    value
        .as_str()
        .and_then(Rate::parse)
        .ok_or_else(|| wrong(key, "a number in a time: \"200/s\", \"30/m\" or \"1000/h\""))
}

pub(super) fn model_names(key: &str, value: Value) -> Result<Vec<String>, AgentTomlError> {
    let names = texts(key, value)?;
    let is_sound = |name: &str| {
        protocol::collection::is_model_name(name) || protocol::collection::Custom::new(name, "_id").is_some()
    };
    match names.iter().find(|name| !is_sound(name)) {
        Some(name) => Err(AgentTomlError::ModelName(key.into(), name.clone())),
        None => Ok(names),
    }
}

pub(super) fn max_delete(key: &str, value: &Value) -> Result<MaxDelete, AgentTomlError> {
    let parsed = match value {
        Value::Integer(count) => u64::try_from(*count).ok().map(MaxDelete::Documents),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    parsed.ok_or_else(|| wrong(key, "a number of documents (100) or a share (\"10%\")"))
}

pub(super) fn days(key: &str, value: &Value) -> Result<u64, AgentTomlError> {
    let days = value.as_integer().and_then(|days| u64::try_from(days).ok()).filter(|days| *days <= 3650);
    days.ok_or_else(|| wrong(key, "a number of days (7)"))
}

/// Bytes, or a number with its unit; 0 keeps nothing.
pub(super) fn size(key: &str, value: &Value) -> Result<u64, AgentTomlError> {
    let parsed = match value {
        Value::Integer(bytes) => u64::try_from(*bytes).ok(),
        Value::String(text) => {
            let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
            units
                .iter()
                .find_map(|(unit, bytes)| text.strip_suffix(unit)?.trim().parse::<u64>().ok()?.checked_mul(*bytes))
        }
        _ => None,
    };
    parsed.ok_or_else(|| wrong(key, "a size (\"1GiB\", \"500MiB\") or 0, which keeps nothing"))
}
