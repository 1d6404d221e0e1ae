//! Names of a run's counters, and the notes kept with it: written by workers, read by whoever shows a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::api::HeldDocument;
use crate::collection::Collection;

/// Documents looked at so far: what a progress bar shows.
pub const ITEMS: &str = "items";
/// Bytes of documents and files written.
pub const BYTES: &str = "bytes";
/// Documents held, of all resources.
pub const HELD: &str = "held";
/// Jobs that a time limit left undone.
pub const LEFT: &str = "left";
/// Documents held and jobs left: above zero the run ends as `finished_held`.
pub const NOT_BROUGHT: &str = "not_brought";
/// Changes by editors that verify met and explained.
pub const EDITED: &str = "edited_meanwhile";

/// Documents that were changed on both sides since they agreed last, whatever became of them.
pub const CONFLICTS: &str = "conflicts";

/// How documents of one model, or of a whole run, came out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub created: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub deleted: u64,
    pub held: u64,
}

impl Counts {
    /// The counters to add to, for documents of one collection.
    pub fn counters(&self, collection: &Collection) -> impl Iterator<Item = (String, i64)> {
        let (resource, model) = collection.resource();
        self.counters_of(resource, model)
    }

    /// The same, by the names that are shown.
    pub fn counters_of(&self, resource: &str, model: &str) -> impl Iterator<Item = (String, i64)> + use<> {
        let prefix = format!("{resource}/{model}/");
        let each = [
            ("created", self.created),
            ("updated", self.updated),
            ("unchanged", self.unchanged),
            ("deleted", self.deleted),
            ("held", self.held),
        ];
        each.into_iter()
            .filter(|(_, count)| *count > 0)
            .map(move |(name, count)| (format!("{prefix}{name}"), count as i64))
    }

    pub fn add(&mut self, other: &Self) {
        self.created += other.created;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
        self.deleted += other.deleted;
        self.held += other.held;
    }

    fn field(&mut self, name: &str) -> Option<&mut u64> {
        Some(match name {
            "created" => &mut self.created,
            "updated" => &mut self.updated,
            "unchanged" => &mut self.unchanged,
            "deleted" => &mut self.deleted,
            "held" => &mut self.held,
            _ => return None,
        })
    }
}

/// Counts of a run by resource and model, read back from its counters.
pub fn by_resource(counters: &BTreeMap<String, i64>) -> BTreeMap<String, BTreeMap<String, Counts>> {
    let mut resources: BTreeMap<String, BTreeMap<String, Counts>> = BTreeMap::new();
    for (name, count) in counters {
        let mut parts = name.splitn(3, '/');
        let (Some(resource), Some(model), Some(field)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let counts = resources.entry(resource.into()).or_default().entry(model.into()).or_default();
        if let Some(value) = counts.field(field) {
            *value = u64::try_from(*count).unwrap_or(0);
        }
    }
    resources
}

/// Something about one document that people should see; kept with the run as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// Set aside; the rest went on.
    Held {
        resource: String,
        model: String,
        #[serde(flatten)]
        document: HeldDocument,
    },
    /// An editor changed it during the run; it was left alone.
    EditedMeanwhile { resource: String, model: String, identity: String, message: String },
    /// It was changed on both sides, and one of them was kept.
    Conflict { resource: String, model: String, identity: String, kept: Side, message: String },
    /// The target's agent did something by its own config, after the run.
    Action { name: String, error: Option<String> },
}

/// One end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Source,
    Target,
}

impl Note {
    pub fn conflict(collection: &Collection, identity: String, kept: Side, message: String) -> Self {
        let (resource, model) = collection.resource();
        Self::Conflict { resource: resource.into(), model: model.into(), identity, kept, message }
    }

    pub fn action(name: &str, error: Option<&str>) -> Self {
        Self::Action { name: name.into(), error: error.map(str::to_owned) }
    }

    pub fn held(collection: &Collection, document: HeldDocument) -> Self {
        let (resource, model) = collection.resource();
        Self::Held { resource: resource.into(), model: model.into(), document }
    }

    pub fn edited(collection: &Collection, identity: &str, message: &str) -> Self {
        let (resource, model) = collection.resource();
        Self::EditedMeanwhile {
            resource: resource.into(),
            model: model.into(),
            identity: identity.into(),
            message: message.into(),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a note is plain strings")
    }

    /// None for what this version does not know.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::api::HeldCause;

    #[test]
    fn counts_come_back_from_the_counters_they_were_added_to() {
        let posts = Collection::Items("posts".into());
        let counts = Counts { created: 3, held: 1, ..Counts::default() };
        let counters: BTreeMap<String, i64> = counts.counters(&posts).chain([("items".to_owned(), 4)]).collect();
        assert_eq!(by_resource(&counters)["content"]["posts"], counts);
        assert_eq!(by_resource(&counters).len(), 1);
    }

    #[test]
    fn notes_come_back() {
        let document = HeldDocument {
            identity: "a".into(),
            cause: HeldCause::MissingAsset,
            message: "asset b is not there".into(),
        };
        let note = Note::held(&Collection::Items("posts".into()), document);
        assert_eq!(Note::decode(&note.encode()).unwrap(), note);
        assert_eq!(Note::decode(b"?"), None);
    }
}
