//! Names of the collections that are synced, and by what their documents are recognised on the other side.
//!
//! Locales, models, folders, assets and content are all collections: documents with an identity, a hash and an
//! order of rows. One job, one set of requests and one writer serve them all.

use serde::{Deserialize, Serialize};

use crate::canonical::{FieldName, Identity};

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
    /// A collection of an add-on, or of whoever keeps documents in Cockpit.
    Custom(Custom),
}

/// A collection that is none of Cockpit's own: its logical name, and the field by which its documents are recognised.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Custom {
    name: String,
    field: Option<FieldName>,
}

/// Parts a name from the field, where that is not `_id`: `shop/orders#number`.
const FIELD_MARK: char = '#';
/// The longest name of a table in Cockpit, and more than any file is called.
const LONGEST_NAME: usize = 64;
/// The first parts of names in which Cockpit keeps what is its own, and `app`, which is where it keeps what has no slash.
const RESERVED: [&str; 4] = ["system", "content", "assets", "app"];

impl Custom {
    /// None for what is not Cockpit's way to name a collection, and for what is Cockpit's own: users, roles, keys,
    /// revisions and logs are never synced, and content has its own way.
    pub fn new(name: &str, field: &str) -> Option<Self> {
        let is_sound = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        let first = name.split('/').next().unwrap_or_default();
        // SQLite and some file systems do not tell A from a.
        let is_reserved = RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(first));
        let table = name.split_once('/').map_or(name, |(_, table)| table);
        let is_sqlites = table.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("sqlite_"));
        if name.len() > LONGEST_NAME || !name.split('/').all(is_sound) || is_reserved || is_sqlites {
            return None;
        }
        let field = if field == "_id" { None } else { Some(FieldName::new(field)?) };
        // Each table has one name: Cockpit makes the others of it, too.
        let name =
            name.split_once('/').map_or(name.into(), |(file, table)| format!("{file}/{}", table.replace('/', "_")));
        Some(Self { name, field })
    }

    /// The logical name, as the add-on's code has it.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn parse(text: &str) -> Option<Self> {
        let (name, field) = text.split_once(FIELD_MARK).unwrap_or((text, "_id"));
        Self::new(name, field)
    }
}

impl Collection {
    /// The logical name, as Cockpit's own code has it; of a collection of an add-on, with the field by which its documents
    /// are recognised.
    pub fn name(&self) -> String {
        match self {
            Self::Locales => "system/locales".into(),
            Self::Models => "content/models".into(),
            Self::Folders => "assets/folders".into(),
            Self::Assets => "assets".into(),
            Self::Singletons => "content/singletons".into(),
            Self::Items(model) => format!("content/collections/{model}"),
            Self::Custom(Custom { name, field: None }) => name.clone(),
            Self::Custom(Custom { name, field: Some(field) }) => format!("{name}{FIELD_MARK}{field}"),
        }
    }

    /// By which field a document here is the same as one on the other side.
    pub fn identity(&self) -> Identity {
        match self {
            Self::Locales => Identity::I18n,
            Self::Models => Identity::Name,
            Self::Singletons => Identity::Model,
            Self::Custom(Custom { field: Some(field), .. }) => Identity::Field(*field),
            Self::Folders | Self::Assets | Self::Items(_) | Self::Custom(_) => Identity::Id,
        }
    }

    /// The resource it belongs to and, below it, the model: how counts are shown.
    pub fn resource(&self) -> (&str, &str) {
        match self {
            Self::Locales => ("locales", "locales"),
            Self::Models => ("models", "models"),
            Self::Folders => ("assets", "folders"),
            Self::Assets => ("assets", "assets"),
            Self::Singletons => ("content", "singletons"),
            Self::Items(model) => ("content", model),
            Self::Custom(Custom { name, .. }) => name.split_once('/').unwrap_or((name, name)),
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
                _ => match Custom::parse(other) {
                    Some(custom) => Self::Custom(custom),
                    None => return Err(UnknownCollection(name)),
                },
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_collection_comes_back_from_its_name() {
        for name in [
            "system/locales",
            "content/models",
            "assets/folders",
            "assets",
            "content/singletons",
            "content/collections/posts",
            "pages",
            "pages/menus",
            "lokalize/projects",
            "addon/a_b-c_d",
            "pages/options#key",
        ] {
            let collection = Collection::try_from(name.to_owned()).unwrap();
            assert_eq!(collection.name(), name);
        }
        assert_eq!(Collection::try_from("a/b/c".to_owned()).unwrap().name(), "a/b_c");
        let options = Collection::try_from("pages/options#key".to_owned()).unwrap();
        assert_eq!((options.identity().field(), options.resource()), ("key", ("pages", "options")));
        let pages = Collection::try_from("pages".to_owned()).unwrap();
        assert_eq!((pages.identity(), pages.resource()), (Identity::Id, ("pages", "pages")));
    }

    #[test]
    fn what_is_cockpits_own_is_no_collection_of_an_add_on() {
        for name in [
            "system/users",
            "system/roles",
            "system/api_keys",
            "System/Users",
            "system/revisions",
            "system/log",
            "system",
            "content/views",
            "content/collections/a b",
            "content",
            "CONTENT/collections/posts",
            "assets/other",
            "Assets",
            "app/assets",
            "APP/assets",
            "sqlite_master",
            "x/SQLITE_sequence",
            // Not even names, and not cut within a character.
            "sqlite\u{feff}",
            "abcde\u{feff}fgh",
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "a/../b",
            "a.b",
            "a`b",
            "a b",
            "a#",
            "a#b#c",
            "a#b.c",
            "a'b",
        ] {
            assert!(Collection::try_from(name.to_owned()).is_err(), "{name}");
        }
        assert!(Custom::new(&"a".repeat(65), "_id").is_none() && Custom::new("a", &"f".repeat(32)).is_none());
    }
}
