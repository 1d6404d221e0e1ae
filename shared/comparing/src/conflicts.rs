//! Documents that were changed on both sides since these agreed last: which version stays, by the rules of the run.

use std::collections::HashMap;

use protocol::api::{Difference, Entry};
use protocol::canonical::{Document, Value};
use protocol::collection::Collection;
use protocol::conflicts::{ConflictRules, OnConflict};

use crate::{CompareError, Compared, Ends, documents};

/// Both versions of so many are read at a time (I8).
const AT_ONCE: usize = 50;

/// A conflict that was decided.
#[derive(Debug)]
pub struct Decided {
    pub compared: Compared,
    pub stays: Stays,
    /// Both versions, in words.
    pub message: String,
}

/// Which version stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stays {
    Source,
    Target,
    Neither,
}

/// Takes the conflicts out of what was compared and decides them. One that the source wins goes on as what differs.
pub async fn decide(
    ends: Ends<'_>,
    collection: &Collection,
    compared: Vec<Compared>,
    rules: &ConflictRules,
) -> Result<(Vec<Compared>, Vec<Decided>), CompareError> {
    let is_conflict = |compared: &Compared| matches!(compared.difference, Difference::Conflict(_));
    let (mut conflicts, rest): (Vec<_>, Vec<_>) = compared.into_iter().partition(is_conflict);
    let mut decided = Vec::with_capacity(conflicts.len());
    while !conflicts.is_empty() {
        let group: Vec<Compared> = conflicts.drain(..conflicts.len().min(AT_ONCE)).collect();
        let identities: Vec<String> = group.iter().map(|compared| compared.entry.identity.clone()).collect();
        let here = documents(ends.source, collection, identities.clone(), None).await?.documents;
        let there = documents(ends.target, collection, identities, None).await?.documents;
        let (here, there) = (saved(&here), saved(&there));
        for compared in group {
            let identity = &compared.entry.identity;
            let (source, target) = (here.get(identity).copied(), there.get(identity).copied());
            let stays = match rules.of(collection, identity) {
                OnConflict::Source => Stays::Source,
                OnConflict::Target => Stays::Target,
                OnConflict::Newest if source > target => Stays::Source,
                OnConflict::Newest => Stays::Target,
                OnConflict::Hold => Stays::Neither,
            };
            let Difference::Conflict(hash) = compared.difference else { continue };
            let message = format!(
                "changed on both sides since they were the same: on the source {} ({}), on the target {} ({hash}). {}",
                at(source),
                compared.entry.hash,
                at(target),
                match stays {
                    Stays::Source => "The source's version goes over the target's",
                    Stays::Target => "The target's version stays",
                    Stays::Neither => "Neither is touched: make them the same, or say --on-conflict source or target",
                }
            );
            let compared = Compared { difference: Difference::Differs(hash), ..compared };
            decided.push(Decided { compared, stays, message });
        }
    }
    Ok((rest, decided))
}

/// When documents say they were saved, in Unix seconds.
fn saved(entries: &[Entry]) -> HashMap<String, i64> {
    let saved = |entry: &Entry| match Document::parse(entry.document.as_deref()?).ok()?.get("_modified") {
        Some(Value::Integer(saved)) => Some((entry.identity.clone(), *saved)),
        _ => None,
    };
    entries.iter().filter_map(saved).collect()
}

fn at(saved: Option<i64>) -> String {
    let time = saved.and_then(|seconds| chrono::DateTime::from_timestamp(seconds, 0));
    time.map_or_else(
        || "at an unknown time".into(),
        |time| format!("at {}", time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)),
    )
}
