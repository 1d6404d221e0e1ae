//! Finds a setting by its path of keys.

use super::expression::{Entry, Key, Located, Setting};
use crate::php::{PhpKey, PhpValue};

pub(super) enum Lookup<'e> {
    Missing,
    Found(&'e Located),
    /// The first keys of the path, this many, lead to something that is no array.
    Blocked {
        by: &'e Located,
        keys: usize,
    },
    /// It may be set, by code that was not run.
    Hidden {
        line: usize,
    },
}

/// Later entries win, and a later one whose key is computed may be any.
pub(super) fn find<'e>(entries: &'e [Entry], path: &[&str]) -> Lookup<'e> {
    let mut entries = entries;
    for (depth, name) in (1..).zip(path) {
        let wanted = PhpKey::from_text(name);
        let may_be_it = |entry: &&Entry| match &entry.key {
            Key::Named(key) => *key == wanted,
            Key::Computed => true,
        };
        let Some(entry) = entries.iter().rev().find(may_be_it) else { return Lookup::Missing };
        if entry.key == Key::Computed {
            return Lookup::Hidden { line: entry.value.line };
        }
        if depth == path.len() {
            return Lookup::Found(&entry.value);
        }
        match &entry.value.setting {
            Setting::Array(inner) => entries = inner,
            Setting::Value(PhpValue::Null) => return Lookup::Missing,
            _ => return Lookup::Blocked { by: &entry.value, keys: depth },
        }
    }
    Lookup::Missing
}
