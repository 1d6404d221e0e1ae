//! Which documents of a collection a run is about.

use serde::{Deserialize, Serialize};

use crate::collection::Collection;
use crate::filter::Filter;

/// Narrows a collection. The default is everything.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// Only these identities; all when none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<String>>,
    /// Only documents for which this holds: asked of them as they are stored, before anything shapes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
}

impl Selection {
    pub fn only(identities: Vec<String>) -> Self {
        Self { only: Some(identities), ..Self::default() }
    }

    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

/// What a run takes of a collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Selected {
    pub collection: Collection,
    pub selection: Selection,
}
