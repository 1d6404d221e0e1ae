//! Pages, lokalize, layout and the resources of the config: which collections of add-ons they are at the source.
//!
//! Cockpit's add-ons keep their documents in ordinary collections. Their names are only defaults, and what is not there is
//! no error: it is absent.

use std::collections::BTreeSet;

use config::{Config, ResourceEntry};
use protocol::api::{Manifest, TableInfo};
use protocol::collection::{Collection, Custom};
use protocol::filter::Filter;
use protocol::selection::{Selected, Selection};
use protocol::shaping::{Merge, matches};

use crate::choice::Choice;
use crate::error::Problem;
use crate::request::Resource;

/// What is chosen of add-ons.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddonChoice {
    /// Of pages; all when none.
    pub parts: Option<BTreeSet<PagesPart>>,
    /// Of lokalize, by name, key or id; all when none.
    pub projects: Option<Vec<String>>,
    /// Of lokalize; as the config says when none.
    pub missing_keys_only: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PagesPart {
    Pages,
    Menus,
    Settings,
}

impl PagesPart {
    /// By how the collection is called.
    fn of(table: &str) -> Self {
        match table.rsplit('/').next().unwrap_or_default() {
            "menus" => Self::Menus,
            "options" | "settings" => Self::Settings,
            _ => Self::Pages,
        }
    }
}

/// A collection of an add-on that the source has.
pub(crate) struct Addon {
    pub collection: Collection,
    /// As a person names it.
    pub resource: Resource,
    pub merge: Merge,
    pub rows: u64,
    /// Not among the parts that are chosen.
    pub left_out: bool,
}

/// All resources that are meant, those of the config included.
pub(crate) fn chosen_resources(choice: &Choice, config: &Config) -> Vec<Resource> {
    let mut chosen = choice.chosen_resources();
    if choice.resources.is_none() && choice.models.is_none() {
        let own = config.shaping.resources.keys().filter_map(|name| name.parse().ok());
        chosen.extend(own.filter(|resource| matches!(resource, Resource::Own(_))));
    }
    chosen
}

/// The collections of add-ons that are meant and that the source has.
pub(crate) fn addons(choice: &Choice, config: &Config, name: &str, source: &Manifest) -> Result<Vec<Addon>, Problem> {
    let chosen = chosen_resources(choice, config);
    check_narrowing(&choice.addons, &chosen)?;
    let mut addons: Vec<Addon> = Vec::new();
    for resource in chosen {
        let entry = config.shaping.resources.get(resource.name());
        let patterns: Vec<String> = match (entry.and_then(|entry| entry.collections.as_ref()), resource) {
            (Some(patterns), _) => patterns.clone(),
            (None, Resource::Pages) => ["pages", "pages/menus", "pages/options"].map(str::to_owned).to_vec(),
            (None, Resource::Lokalize) => vec!["lokalize/projects".to_owned()],
            (None, Resource::Layout) => vec!["layout/components".to_owned()],
            (None, Resource::Own(_)) => return Err(unknown(&resource, config)),
            (None, Resource::Locales | Resource::Models | Resource::Assets | Resource::Content) => continue,
        };
        for pattern in &patterns {
            let found: Vec<&TableInfo> =
                source.tables.iter().filter(|table| matches(&table_name(pattern), &table.name)).collect();
            if found.is_empty() && choice.resources.is_some() {
                tracing::warn!("{name} has no {pattern}: nothing of it is brought");
            }
            for table in found {
                let Some(collection) = collection(table, entry) else { continue };
                if addons.iter().any(|addon| same_table(&addon.collection, &collection)) {
                    continue;
                }
                let left_out = resource == Resource::Pages
                    && choice.addons.parts.as_ref().is_some_and(|parts| !parts.contains(&PagesPart::of(&table.name)));
                let mut merge = entry.and_then(|entry| entry.merge).unwrap_or_default();
                if let (Resource::Lokalize, Some(missing_only)) = (resource, choice.addons.missing_keys_only) {
                    merge = if missing_only { Merge::MissingKeys } else { Merge::Replace };
                }
                addons.push(Addon { collection, resource, merge, rows: table.rows, left_out });
            }
        }
    }
    Ok(addons)
}

/// What of these collections is narrowed.
pub(crate) fn select(addons: &[Addon], choice: &AddonChoice, selections: &mut Vec<Selected>) -> Result<(), Problem> {
    for addon in addons {
        let selection = match &choice.projects {
            _ if addon.left_out => Selection::only(Vec::new()),
            Some(projects) if addon.resource == Resource::Lokalize => {
                let one_of = serde_json::json!({ "$in": projects });
                let text = serde_json::json!({ "$or": [{ "name": one_of }, { "key": one_of }, { "_id": one_of }] });
                let filter = Filter::parse(&text.to_string()).map_err(|error| Problem::usage(error.to_string()))?;
                Selection { filter: Some(filter), ..Selection::default() }
            }
            _ => continue,
        };
        if !selections.iter().any(|selected| selected.collection == addon.collection) {
            selections.push(Selected { collection: addon.collection.clone(), selection });
        }
    }
    Ok(())
}

fn check_narrowing(choice: &AddonChoice, chosen: &[Resource]) -> Result<(), Problem> {
    let needs = |option: &str, resource: Resource| {
        Problem::usage(format!("{option} narrows {0}: add {0} to --resources", resource.name()))
    };
    if choice.parts.is_some() && !chosen.contains(&Resource::Pages) {
        return Err(needs("--pages, --menus or --settings", Resource::Pages));
    }
    let narrows_lokalize = choice.projects.is_some() || choice.missing_keys_only.is_some();
    if narrows_lokalize && !chosen.contains(&Resource::Lokalize) {
        return Err(needs("--projects, --missing-keys-only or --override", Resource::Lokalize));
    }
    Ok(())
}

fn collection(table: &TableInfo, entry: Option<&ResourceEntry>) -> Option<Collection> {
    let field = match entry.and_then(|entry| entry.id.as_deref()) {
        Some(field) => field,
        None if table.keyed => "key",
        None => "_id",
    };
    Custom::new(&table.name, field).map(Collection::Custom)
}

/// As tables are named: of the slashes only the first one stays.
fn table_name(pattern: &str) -> String {
    match pattern.split_once('/') {
        Some((file, table)) => format!("{file}/{}", table.replace('/', "_")),
        None => pattern.to_owned(),
    }
}

fn same_table(one: &Collection, other: &Collection) -> bool {
    matches!((one, other), (Collection::Custom(one), Collection::Custom(other)) if one.name() == other.name())
}

fn unknown(resource: &Resource, config: &Config) -> Problem {
    let all = Resource::ALL.into_iter().chain(Resource::ADDONS);
    let mut known: Vec<String> = all.map(|resource| resource.name().to_owned()).collect();
    known.extend(config.shaping.resources.keys().filter(|name| !known.contains(name)).cloned().collect::<Vec<_>>());
    Problem::usage(format!("{:?} is no resource; there are {}", resource.name(), known.join(", ")))
}
