//! What a run is to bring, and what that is at the source: from names to selections of collections.

use std::collections::{BTreeMap, BTreeSet};

use protocol::api::{ListRequest, Manifest, ModelInfo, ModelKind};
use protocol::canonical::Document;
use protocol::client::AgentClient;
use protocol::collection::Collection;
use protocol::filter::Filter;
use protocol::selection::{Selected, Selection};

use crate::addons::AddonChoice;
use crate::error::Problem;
use crate::items::Items;
use crate::request::Resource;

/// What somebody chooses. What is none or empty is not narrowed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choice {
    pub models: Option<Vec<String>>,
    pub resources: Option<BTreeSet<Resource>>,
    pub content: Vec<ContentFilter>,
    pub assets: AssetChoice,
    /// Also the assets that the chosen documents embed.
    pub with_assets: bool,
    pub addons: AddonChoice,
    /// Single items: then nothing else is brought than these, and what they refer to.
    pub items: Option<Items>,
    /// What an earlier run found out already.
    pub selections: Vec<Selected>,
    /// Nothing is brought but what selections name.
    pub only_selected: bool,
}

/// Which documents of some models are meant.
#[derive(Debug, Clone, PartialEq)]
pub struct ContentFilter {
    /// None: of all models that are chosen.
    pub models: Option<Vec<String>>,
    pub filter: Filter,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AssetChoice {
    pub folders: bool,
    pub files: bool,
    /// Only these folders and what is below them, by name, path or id.
    pub in_folders: Option<Vec<String>>,
    pub filter: Option<Filter>,
}

impl Default for AssetChoice {
    fn default() -> Self {
        Self { folders: true, files: true, in_folders: None, filter: None }
    }
}

impl Choice {
    pub fn items(items: Items) -> Self {
        let resources = Some(BTreeSet::from([Resource::Assets, Resource::Content]));
        Self { items: Some(items), resources, only_selected: true, ..Self::default() }
    }

    /// `--models` takes locales but no assets along, unless resources are named too.
    pub fn chosen_resources(&self) -> Vec<Resource> {
        match (&self.resources, &self.models) {
            (Some(resources), _) => resources.iter().copied().collect(),
            (None, Some(_)) => vec![Resource::Locales, Resource::Models, Resource::Content],
            (None, None) => Resource::ALL.into_iter().chain(Resource::ADDONS).collect(),
        }
    }

    pub fn wants(&self, resource: Resource) -> bool {
        self.chosen_resources().contains(&resource)
    }

    /// What collections are narrowed to. Asks the source where folders or items are named. What is left out altogether has a
    /// selection of nothing.
    pub async fn selections(
        &self,
        manifest: &Manifest,
        source: &AgentClient,
        target: &AgentClient,
    ) -> Result<Vec<Selected>, Problem> {
        if let Some(items) = &self.items {
            return items.resolve(manifest, source, target).await;
        }
        let mut selections = self.selections.clone();
        let is_chosen = |model: &&ModelInfo| self.models.as_ref().is_none_or(|models| models.contains(&model.name));
        for model in manifest.models.iter().filter(is_chosen) {
            let collection = match model.kind {
                ModelKind::Singleton => Collection::Singletons,
                ModelKind::Collection | ModelKind::Tree => Collection::Items(model.name.clone()),
            };
            let is_meant =
                |content: &&ContentFilter| content.models.as_ref().is_none_or(|models| models.contains(&model.name));
            let Some(content) = self.content.iter().find(is_meant) else { continue };
            let filter = match (model.kind, &content.models) {
                (ModelKind::Singleton, Some(_)) => of_model(&model.name, &content.filter)?,
                _ => content.filter.clone(),
            };
            narrow(&mut selections, collection, filter)?;
        }
        if self.wants(Resource::Assets) {
            let mut filters: Vec<Filter> = self.assets.filter.iter().cloned().collect();
            let nothing_of = |collection| Selected { collection, selection: Selection::only(Vec::new()) };
            if !self.assets.folders {
                selections.push(nothing_of(Collection::Folders));
            }
            if !self.assets.files {
                selections.push(nothing_of(Collection::Assets));
            }
            if let Some(names) = &self.assets.in_folders {
                let chosen = Folders::of(source).await?.chosen(names)?;
                filters.push(in_folders(&chosen.below)?);
                let selection = Selection::only(chosen.with_ancestors);
                selections.push(Selected { collection: Collection::Folders, selection });
            }
            if let Some(filter) = Filter::all(&filters).map_err(too_long)? {
                let selection = Selection { filter: Some(filter), ..Selection::default() };
                selections.push(Selected { collection: Collection::Assets, selection });
            }
        }
        Ok(selections)
    }
}

/// All singletons are one collection: a filter on some of them leaves the others as they are.
fn of_model(model: &str, filter: &Filter) -> Result<Filter, Problem> {
    let text = format!("{{\"$or\":[{{\"_model\":{{\"$ne\":{model:?}}}}},{}]}}", filter.text());
    Filter::parse(&text).map_err(too_long)
}

fn in_folders(ids: &[String]) -> Result<Filter, Problem> {
    Filter::parse(&serde_json::json!({ "folder": { "$in": ids } }).to_string()).map_err(too_long)
}

fn too_long(error: protocol::filter::FilterError) -> Problem {
    Problem::usage(error.to_string())
}

/// Adds a filter to what a collection is narrowed to already.
fn narrow(selections: &mut Vec<Selected>, collection: Collection, filter: Filter) -> Result<(), Problem> {
    match selections.iter_mut().find(|selected| selected.collection == collection) {
        Some(Selected { selection, .. }) => {
            let mut filters: Vec<Filter> = selection.filter.iter().cloned().collect();
            if !filters.contains(&filter) {
                filters.push(filter);
            }
            selection.filter = Filter::all(&filters).map_err(too_long)?;
        }
        None => {
            let selection = Selection { filter: Some(filter), ..Selection::default() };
            selections.push(Selected { collection, selection });
        }
    }
    Ok(())
}

/// The folders of the source's assets, by id.
struct Folders(BTreeMap<String, Folder>);

struct Folder {
    name: String,
    parent: String,
}

struct ChosenFolders {
    /// These and everything below them.
    below: Vec<String>,
    /// And what they are in: a folder whose parent is missing is shown nowhere.
    with_ancestors: Vec<String>,
}

impl Folders {
    async fn of(source: &AgentClient) -> Result<Self, Problem> {
        let mut folders = BTreeMap::new();
        let mut next = Some(0);
        while let Some(from_row) = next {
            let collection = Collection::Folders;
            let selection = Selection::default();
            let request = ListRequest { collection, selection, from_row, to_row: None, documents: true };
            let page = source.call(&request).await?;
            for entry in page.entries {
                let Ok(document) = Document::parse(entry.document.as_deref().unwrap_or_default()) else { continue };
                let text = |key| document.text(key).unwrap_or_default().to_owned();
                folders.insert(entry.identity, Folder { name: text("name"), parent: text("_p") });
            }
            next = page.next_row;
        }
        Ok(Self(folders))
    }

    fn chosen(&self, names: &[String]) -> Result<ChosenFolders, Problem> {
        let mut below = BTreeSet::new();
        for name in names {
            let found: Vec<&String> = self.0.keys().filter(|id| *id == name || self.is_called(id, name)).collect();
            if found.is_empty() {
                let known: Vec<String> = self.0.keys().map(|id| self.path(id)).collect();
                let there_are = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(Problem::usage(format!("no folder is called {name:?}; there are: {there_are}")));
            }
            below.extend(found.into_iter().cloned());
        }
        while let Some(more) = self.0.iter().find(|(id, folder)| !below.contains(*id) && below.contains(&folder.parent))
        {
            below.insert(more.0.clone());
        }
        let mut with_ancestors = below.clone();
        for id in &below {
            with_ancestors.extend(self.ancestors(id));
        }
        Ok(ChosenFolders { below: below.into_iter().collect(), with_ancestors: with_ancestors.into_iter().collect() })
    }

    /// By its name, or the names of the folders it is in as well: "2024/Photos".
    fn is_called(&self, id: &str, name: &str) -> bool {
        self.0[id].name == name || self.path(id) == name.trim_matches('/')
    }

    fn path(&self, id: &str) -> String {
        let mut names: Vec<&str> = self.ancestors(id).iter().map(|id| self.0[id].name.as_str()).collect();
        names.reverse();
        names.push(&self.0[id].name);
        names.join("/")
    }

    /// From the inside out. A folder that is in itself, somehow, is met once.
    fn ancestors(&self, id: &str) -> Vec<String> {
        let mut ancestors: Vec<String> = Vec::new();
        let mut parent = self.0.get(id).map(|folder| &folder.parent);
        while let Some(id) = parent.filter(|id| self.0.contains_key(*id) && !ancestors.contains(id)) {
            ancestors.push(id.clone());
            parent = self.0.get(id).map(|folder| &folder.parent);
        }
        ancestors
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn folders(of: &[(&str, &str, &str)]) -> Folders {
        let folder = |name: &str, parent: &str| Folder { name: name.into(), parent: parent.into() };
        Folders(of.iter().map(|(id, name, parent)| ((*id).to_owned(), folder(name, parent))).collect())
    }

    #[test]
    fn a_folder_brings_what_is_below_it_and_what_it_is_in() {
        let tree = folders(&[
            ("1", "2024", ""),
            ("2", "Photos", "1"),
            ("3", "Raw", "2"),
            ("4", "Photos", ""),
            ("5", "x", "5"),
        ]);
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let chosen = tree.chosen(&ids(&["2024/Photos"])).unwrap();
        assert_eq!((chosen.below, chosen.with_ancestors), (ids(&["2", "3"]), ids(&["1", "2", "3"])));
        assert_eq!(tree.chosen(&ids(&["Photos"])).unwrap().below, ids(&["2", "3", "4"]));
        assert_eq!(tree.chosen(&ids(&["5"])).unwrap().with_ancestors, ids(&["5"]));
        let Err(problem) = tree.chosen(&ids(&["Fotos"])) else { panic!("there is no such folder") };
        assert!(problem.message.contains("2024/Photos"), "{problem}");
    }
}
