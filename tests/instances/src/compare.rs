//! Says whether two instances hold the same, by its own reading of both.

mod copies;
mod documents;
mod files;
mod models;
mod report;
mod values;

use anyhow::Result;
use std::path::Path;

pub use report::{Comparison, Difference, Found};

/// What does not count as a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Keys at the top of documents and models.
    pub ignored: Vec<String>,
    /// Copies of assets inside documents of `a` count as if `a` had refreshed them from its own assets, and by what
    /// makes the asset (`_id path _hash title description altText fp _data`). Otherwise copies count as stored.
    pub refreshed_copies: bool,
}

impl Default for Rules {
    /// Documents are copied whole; only `_modified` is set at sync.
    fn default() -> Self {
        Self { ignored: vec!["_modified".to_owned()], refreshed_copies: false }
    }
}

impl Rules {
    /// Content only: who made and changed a document, and when, does not count.
    pub fn content() -> Self {
        let ignored = ["_modified", "_mby", "_created", "_cby"].map(str::to_owned).to_vec();
        Self { ignored, refreshed_copies: true }
    }
}

/// Compares everything that a sync of all resources copies: content, singletons, assets with their files, folders,
/// locales, models, and the documents of known add-ons where an instance has them.
pub fn compare(a: &Path, b: &Path) -> Result<Comparison> {
    compare_by(a, b, &Rules::default())
}

pub fn compare_by(a: &Path, b: &Path, rules: &Rules) -> Result<Comparison> {
    let mut comparison = Comparison::default();
    documents::compare(a, b, rules, &mut comparison)?;
    files::compare(a, b, &mut comparison)?;
    models::compare(a, b, rules, &mut comparison)?;
    Ok(comparison)
}
