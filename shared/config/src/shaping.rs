//! `[transform]`, `[command]` and `[resource]`: how documents are changed on their way, and which other collections there are.
//!
//! What a filter of jq means is not known here: whoever loads a config has it checked.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::canonical::FieldName;
use protocol::collection::Custom;
use protocol::run::Direction;
use protocol::shaping::{Change, Mask, MaskWith, Merge, Step, fingerprint};
use serde::Deserialize;

/// What the config says of documents on their way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShapingRules {
    pub transforms: Vec<Transform>,
    pub commands: BTreeMap<String, CommandEntry>,
    pub resources: BTreeMap<String, ResourceEntry>,
}

/// One `[transform.RESOURCE]` or `[transform.RESOURCE.MODEL]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transform {
    /// "transform.content.posts".
    pub entry: String,
    pub resource: String,
    pub model: Option<String>,
    /// Only in this direction.
    pub on: Option<Direction>,
    /// In this order.
    pub changes: Vec<Change>,
}

/// One `[command.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandEntry {
    /// The program and its arguments; no shell.
    pub run: Vec<String>,
    #[serde(default = "ten_seconds")]
    time_limit_ms: u64,
}

/// One `[resource.NAME]`: collections of add-ons.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResourceEntry {
    /// Names as Cockpit's code has them, or patterns with `*`.
    pub collections: Option<Vec<String>>,
    /// The field by which documents are recognised.
    pub id: Option<String>,
    pub merge: Option<Merge>,
}

fn ten_seconds() -> u64 {
    10_000
}

impl CommandEntry {
    /// For one document.
    pub fn time_limit(&self) -> Duration {
        Duration::from_millis(self.time_limit_ms)
    }
}

/// Resources that exist without the config.
const RESOURCES: [&str; 8] = ["locales", "models", "folders", "assets", "content", "pages", "lokalize", "layout"];
/// Of these, those that add-ons bring: where their collections are can be said in the config.
pub const ADDON_RESOURCES: [&str; 3] = ["pages", "lokalize", "layout"];

/// The settings of a transform, without the tables of its models.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TransformEntry {
    on: Option<Direction>,
    before: Option<String>,
    command: Option<String>,
    #[serde(default)]
    masks: Vec<MaskEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MaskEntry {
    #[serde(default = "everything")]
    field: String,
    with: MaskName,
    from: Option<String>,
    to: Option<String>,
}

fn everything() -> String {
    "**".into()
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum MaskName {
    Drop,
    Null,
    Hash,
    FakeEmail,
    ReplaceHost,
}

impl ShapingRules {
    /// From the tables of the config; the error says in words what is wrong.
    pub(crate) fn check(
        transforms: BTreeMap<String, toml::Table>,
        commands: BTreeMap<String, CommandEntry>,
        resources: BTreeMap<String, ResourceEntry>,
    ) -> Result<Self, String> {
        for (name, command) in &commands {
            if command.run.is_empty() || command.run[0].is_empty() {
                return Err(format!("[command.{name}]: run = [\"PROGRAM\", \"ARGUMENT\", ...] is wanted"));
            }
            if !(1..=600_000).contains(&command.time_limit_ms) {
                return Err(format!("[command.{name}]: time_limit_ms must lie between 1 and 600000"));
            }
        }
        for (name, resource) in &resources {
            resource.check(name)?;
        }
        let mut rules = Self { transforms: Vec::new(), commands, resources };
        for (resource, table) in transforms {
            if !RESOURCES.contains(&resource.as_str()) && !rules.resources.contains_key(&resource) {
                return Err(format!(
                    "[transform.{resource}]: there is no such resource; there are {} and those of [resource.NAME]",
                    RESOURCES.join(", ")
                ));
            }
            let (models, settings): (toml::Table, toml::Table) =
                table.into_iter().partition(|(_, value)| value.is_table());
            rules.add(&resource, None, settings)?;
            for (model, table) in models {
                if let toml::Value::Table(settings) = table {
                    rules.add(&resource, Some(&model), settings)?;
                }
            }
        }
        Ok(rules)
    }

    fn add(&mut self, resource: &str, model: Option<&str>, settings: toml::Table) -> Result<(), String> {
        if settings.is_empty() && model.is_none() {
            return Ok(());
        }
        let entry = model.map_or(format!("transform.{resource}"), |model| format!("transform.{resource}.{model}"));
        let wrong = |problem: String| format!("[{entry}]: {problem}");
        let settings: TransformEntry =
            settings.try_into().map_err(|error: toml::de::Error| wrong(error.message().into()))?;
        let mut changes: Vec<Change> = settings.before.map(Change::Jq).into_iter().collect();
        if let Some(name) = settings.command {
            let command = self.commands.get(&name).ok_or_else(|| wrong(format!("there is no [command.{name}]")))?;
            changes.push(Change::Command { fingerprint: fingerprint(&command.run), name });
        }
        for mask in settings.masks {
            changes.push(Change::Mask(mask.check().map_err(wrong)?));
        }
        if changes.is_empty() {
            return Err(wrong("before, command or masks is wanted".into()));
        }
        let (resource, model) = (resource.to_owned(), model.map(str::to_owned));
        self.transforms.push(Transform { entry, resource, model, on: settings.on, changes });
        Ok(())
    }
}

impl Transform {
    /// What it does, as a run takes it along. `only`: of the document with this identity.
    pub fn steps(&self, only: Option<&str>) -> impl Iterator<Item = Step> {
        let only = only.map(str::to_owned);
        let step =
            move |change: &Change| Step { entry: self.entry.clone(), only: only.clone(), change: change.clone() };
        self.changes.iter().map(step)
    }
}

impl MaskEntry {
    fn check(self) -> Result<Mask, String> {
        let with = match (self.with, self.from, self.to) {
            (MaskName::ReplaceHost, Some(from), Some(to)) => MaskWith::ReplaceHost { from, to },
            (MaskName::ReplaceHost, ..) => return Err("with = \"replace-host\" needs from and to".into()),
            (_, None, None) => match self.with {
                MaskName::Drop => MaskWith::Drop,
                MaskName::Null => MaskWith::Null,
                MaskName::Hash => MaskWith::Hash,
                MaskName::FakeEmail | MaskName::ReplaceHost => MaskWith::FakeEmail,
            },
            _ => return Err("from and to belong to with = \"replace-host\"".into()),
        };
        Ok(Mask { field: self.field, with })
    }
}

impl ResourceEntry {
    fn check(&self, name: &str) -> Result<(), String> {
        let wrong = |problem: &str| Err(format!("[resource.{name}]: {problem}"));
        let is_sound = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if !is_sound(name) || name.len() > FieldName::LONGEST {
            return wrong("names take letters, digits, '-' and '_', 31 at most");
        }
        if RESOURCES.contains(&name) && !ADDON_RESOURCES.contains(&name) {
            return wrong("this resource is Cockpit's own: nothing can be said of it here");
        }
        if !ADDON_RESOURCES.contains(&name) && self.collections.is_none() {
            return wrong("collections = [\"ADDON/NAME\", ...] is wanted");
        }
        if self.collections.as_ref().is_some_and(Vec::is_empty) {
            return wrong("collections is empty");
        }
        for pattern in self.collections.iter().flatten() {
            if Custom::new(&pattern.replace('*', "x"), "_id").is_none() {
                return wrong(&format!(
                    "{pattern:?} is not the name of an add-on's collection (or Cockpit's own, which is never synced like that)"
                ));
            }
        }
        if self.id.as_deref().is_some_and(|id| !is_sound(id) || id.len() > FieldName::LONGEST) {
            return wrong("id names a field: letters, digits, '-' and '_', at most 31");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::{Config, Environment};

    fn parse(text: &str) -> Result<ShapingRules, String> {
        let text = format!("local = 'a'\n[instance.a]\npath = 'x'\n{text}");
        let config = Config::parse(&text, "/etc/cs/cockpit-sync.toml".into(), &Environment::of([]));
        config.map(|config| config.shaping).map_err(|error| error.to_string())
    }

    #[test]
    fn transforms_are_read_per_resource_and_per_model() {
        let rules = parse(
            "[command.tidy]\nrun = ['php', 'tidy.php']\n\
             [transform.content]\nbefore = 'del(._internalNotes)'\n\
             [transform.content.posts]\non = 'pull'\ncommand = 'tidy'\n\
             masks = [{ field = 'email', with = 'fake-email' }, { with = 'replace-host', from = 'a', to = 'b' }]\n",
        )
        .unwrap();
        let entries: Vec<&str> = rules.transforms.iter().map(|transform| transform.entry.as_str()).collect();
        assert_eq!(entries, ["transform.content", "transform.content.posts"]);
        let posts = &rules.transforms[1];
        assert_eq!((posts.model.as_deref(), posts.on), (Some("posts"), Some(Direction::Pull)));
        assert!(matches!(&posts.changes[0], Change::Command { name, .. } if name == "tidy"));
        assert_eq!(posts.changes[1], Change::Mask(Mask { field: "email".into(), with: MaskWith::FakeEmail }));
        assert!(matches!(&posts.changes[2], Change::Mask(Mask { field, .. }) if field == "**"));
    }

    #[test]
    fn resources_of_add_ons_are_read() {
        let rules = parse("[resource.shop]\ncollections = ['shop/*']\nid = 'sku'\nmerge = 'missing-keys'").unwrap();
        let shop = &rules.resources["shop"];
        assert_eq!((shop.id.as_deref(), shop.merge), (Some("sku"), Some(Merge::MissingKeys)));
        assert_eq!(parse("[resource.lokalize]\nmerge = 'replace'").unwrap().resources["lokalize"].collections, None);
    }

    #[test]
    fn each_mistake_is_named() {
        for (text, words) in [
            ("[transform.contents]\nbefore = '.'", "no such resource"),
            ("[transform.content]\nafter = '.'", "after"),
            ("[transform.content.posts]\n", "is wanted"),
            ("[transform.content]\ncommand = 'x'", "no [command.x]"),
            ("[transform.content]\nmasks = [{ field = 'a', with = 'shuffle' }]", "shuffle"),
            ("[transform.content]\nmasks = [{ field = 'a', with = 'replace-host' }]", "from and to"),
            ("[transform.content]\nmasks = [{ field = 'a', with = 'drop', from = 'x' }]", "replace-host"),
            ("[transform.content]\non = 'mirror'\nbefore = '.'", "mirror"),
            ("[command.x]\nrun = []", "PROGRAM"),
            ("[resource.content]\nid = 'x'", "Cockpit's own"),
            ("[resource.shop]\nid = 'x'", "collections"),
            ("[resource.shop]\ncollections = ['system/users']", "never synced"),
            ("[resource.shop]\ncollections = ['content/*']", "never synced"),
            ("[resource.shop]\ncollections = ['a']\nid = 'a.b'", "names a field"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
