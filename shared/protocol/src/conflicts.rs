//! What becomes of documents that were changed on both sides since these agreed last.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::collection::Collection;

/// Which version stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// As without a conflict.
    #[default]
    Source,
    Target,
    /// The one that was saved last, by its own `_modified`; the target's where that cannot be told.
    Newest,
    /// Neither is touched: the document is held.
    Hold,
}

impl std::str::FromStr for OnConflict {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "source" => Self::Source,
            "target" => Self::Target,
            "newest" => Self::Newest,
            "hold" => Self::Hold,
            _ => return Err(format!("{text:?} is none of source, target, newest and hold")),
        })
    }
}

/// For each model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictRules {
    /// Where nothing else is said.
    #[serde(default)]
    pub default: OnConflict,
    /// By model; also `assets`, `folders`, `locales`.
    #[serde(default)]
    pub models: BTreeMap<String, OnConflict>,
}

impl ConflictRules {
    pub fn of(&self, collection: &Collection, identity: &str) -> OnConflict {
        let name = match collection {
            Collection::Singletons | Collection::Models => identity,
            _ => collection.resource().1,
        };
        self.models.get(name).copied().unwrap_or(self.default)
    }

    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}
