//! Reading what was recorded, and adding to it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/wire").join(name)
}

/// Name, bytes and meaning of each line.
pub fn recorded(name: &str) -> Vec<(String, Vec<u8>, Value)> {
    let text = std::fs::read_to_string(file(name)).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let mut parts = line.splitn(3, ' ');
            let mut part = || parts.next().unwrap();
            (part().to_owned(), hex::decode(part()).unwrap(), serde_json::from_str(part()).unwrap())
        })
        .collect()
}

/// Adds samples that are not recorded, where that is asked for; each must be.
pub fn are_recorded(name: &str, samples: Vec<(String, Vec<u8>, Value)>) {
    let known: BTreeSet<String> = recorded(name).into_iter().map(|(name, ..)| name).collect();
    let missing: Vec<_> = samples.into_iter().filter(|(name, ..)| !known.contains(name)).collect();
    if std::env::var_os("RECORD_WIRE").is_some() {
        let lines = missing.iter().map(|(name, bytes, meaning)| format!("{name} {} {meaning}\n", hex::encode(bytes)));
        let text = std::fs::read_to_string(file(name)).unwrap_or_default() + &lines.collect::<String>();
        return std::fs::write(file(name), text).unwrap();
    }
    let names: Vec<_> = missing.iter().map(|(name, ..)| name).collect();
    assert!(missing.is_empty(), "not recorded: {names:?} (RECORD_WIRE=1 adds them to {name})");
}

/// Everything that was said is still said so. There may be more: fields that were added since.
pub fn still_means(now: &Value, then: &Value) -> bool {
    match (now, then) {
        (Value::Object(now), Value::Object(then)) => {
            then.iter().all(|(name, value)| now.get(name).is_some_and(|now| still_means(now, value)))
        }
        (Value::Array(now), Value::Array(then)) => {
            now.len() == then.len() && now.iter().zip(then).all(|(now, then)| still_means(now, then))
        }
        _ => now == then,
    }
}

/// What is recorded, and how whoever gets it reads it.
pub struct Sample {
    pub name: String,
    pub bytes: Vec<u8>,
    pub read: fn(&[u8]) -> Result<Value, String>,
}

impl Sample {
    /// MessagePack: what a process of today writes for what these words say.
    pub fn packed<T: Serialize + DeserializeOwned>(name: &str, says: Value) -> Self {
        let value: T = serde_json::from_value(says).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name: name.into(), bytes: rmp_serde::to_vec_named(&value).unwrap(), read: unpack::<T> }
    }
}

fn unpack<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<Value, String> {
    let value: T = cockpit_sync_protocol::msgpack::read(bytes).map_err(|error| error.to_string())?;
    Ok(serde_json::to_value(&value).unwrap())
}

/// Each of them is in that file, and every line of it is still read to what it meant.
pub fn are_read_as_recorded(file: &str, samples: &[Sample]) {
    let written = |sample: &Sample| (sample.name.clone(), sample.bytes.clone(), (sample.read)(&sample.bytes).unwrap());
    are_recorded(file, samples.iter().map(written).collect());
    for (name, bytes, meaning) in recorded(file) {
        let sample = samples.iter().find(|sample| sample.name == name);
        let sample = sample.unwrap_or_else(|| panic!("{name} is recorded, and nobody knows how to read it"));
        let now = (sample.read)(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(still_means(&now, &meaning), "{name} meant {meaning} and means {now}");
    }
}

#[test]
fn what_means_something_else_now_is_noticed() {
    assert!(still_means(&json!({ "a": [1], "new": 2 }), &json!({ "a": [1] })));
    for then in [json!({ "a": [2] }), json!({ "a": [] }), json!({ "b": null }), json!([])] {
        assert!(!still_means(&json!({ "a": [1] }), &then), "{then}");
    }
}
