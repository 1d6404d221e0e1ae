//! Names of the collections that are synced, and by what their documents are recognised on the other side.
//!
//! Locales, models, folders, assets and content are all collections: documents with an identity, a hash and an
//! order of rows. One job, one set of requests and one writer serve them all.

use serde::{Deserialize, Serialize};

use crate::canonical::Identity;

/// A collection of documents in an instance, by Cockpit's logical name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Collection {
    /// `system/locales`, recognised by their `i18n` code: ids differ between instances.
    Locales,
    /// The model definitions: not a table but files `storage/content/*.model.php`; a document is the model as JSON.
    Models,
    /// `assets/folders`.
    Folders,
    /// `assets`: the rows; their files travel beside them, first.
    Assets,
    /// `content/singletons`: one document per singleton model, recognised by `_model`.
    Singletons,
    /// `content/collections/NAME`: the items of a collection or tree model.
    Items(String),
}

impl Collection {
    /// The logical name, as Cockpit's own code has it.
    pub fn name(&self) -> String {
        match self {
            Self::Locales => "system/locales".into(),
            Self::Models => "content/models".into(),
            Self::Folders => "assets/folders".into(),
            Self::Assets => "assets".into(),
            Self::Singletons => "content/singletons".into(),
            Self::Items(model) => format!("content/collections/{model}"),
        }
    }

    /// By which field a document here is the same as one on the other side.
    pub fn identity(&self) -> Identity {
        match self {
            Self::Locales => Identity::I18n,
            Self::Models => Identity::Name,
            Self::Singletons => Identity::Model,
            Self::Folders | Self::Assets | Self::Items(_) => Identity::Id,
        }
    }

    /// The resource it belongs to and, below it, the model: how counts are shown.
    pub fn resource(&self) -> (&'static str, &str) {
        match self {
            Self::Locales => ("locales", "locales"),
            Self::Models => ("models", "models"),
            Self::Folders => ("assets", "folders"),
            Self::Assets => ("assets", "assets"),
            Self::Singletons => ("content", "singletons"),
            Self::Items(model) => ("content", model),
        }
    }
}

/// A model name as Cockpit makes them: ASCII letters and digits only.
pub fn is_model_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 52 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// What is not a collection that can be synced.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a collection that can be synced")]
pub struct UnknownCollection(String);

impl TryFrom<String> for Collection {
    type Error = UnknownCollection;

    fn try_from(name: String) -> Result<Self, UnknownCollection> {
        Ok(match name.as_str() {
            "system/locales" => Self::Locales,
            "content/models" => Self::Models,
            "assets/folders" => Self::Folders,
            "assets" => Self::Assets,
            "content/singletons" => Self::Singletons,
            other => match other.strip_prefix("content/collections/") {
                Some(model) if is_model_name(model) => Self::Items(model.into()),
                _ => return Err(UnknownCollection(name)),
            },
        })
    }
}

impl From<Collection> for String {
    fn from(collection: Collection) -> Self {
        collection.name()
    }
}

impl std::fmt::Display for Collection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}
