//! The commit log of the target's agent: what was written, under which grant, in the order in which it happened.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use serde_json::Value;

/// A document: its collection and its identity.
pub type Identity = (String, String);

pub enum Entry {
    /// The grant that is open from here on: its token's hash and its run.
    Grant(Option<(String, String)>),
    Commit {
        token: String,
        run: String,
        identities: Vec<Identity>,
    },
}

pub struct Commits {
    path: PathBuf,
    read: u64,
    pub entries: Vec<Entry>,
    /// Every document that was written.
    pub written: HashSet<Identity>,
}

impl Commits {
    pub fn new(path: PathBuf) -> Self {
        Self { path, read: 0, entries: Vec::new(), written: HashSet::new() }
    }

    /// Reads what was added.
    pub fn update(&mut self) {
        let mut file = File::open(&self.path).unwrap();
        file.seek(SeekFrom::Start(self.read)).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.read += whole as u64;
        for line in text[..whole].lines() {
            let entry = entry(&serde_json::from_str(line).unwrap());
            if let Entry::Commit { identities, .. } = &entry {
                self.written.extend(identities.iter().cloned());
            }
            self.entries.push(entry);
        }
    }
}

fn entry(line: &Value) -> Entry {
    let text = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();
    if let Some(grant) = line.get("grant") {
        return Entry::Grant((!grant.is_null()).then(|| (text(grant, "token_hash"), text(grant, "run"))));
    }
    let identities = line["identities"].as_array().unwrap().iter();
    let identities = identities.map(|identity| (text(line, "collection"), identity.as_str().unwrap().to_owned()));
    Entry::Commit { token: text(line, "token_hash"), run: text(line, "run"), identities: identities.collect() }
}
