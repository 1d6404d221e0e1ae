//! Single items, and what they refer to: resolved at the source before anything is enqueued.

use std::collections::{BTreeMap, BTreeSet};

use protocol::api::{Manifest, ModelKind};
use protocol::canonical::Document;
use protocol::client::AgentClient;
use protocol::collection::Collection;
use protocol::selection::{Selected, Selection};

use crate::error::Problem;

/// More is no single item any more.
const MOST: usize = 5_000;

/// Items of one model, and how much of what they refer to comes along.
#[derive(Debug, Clone, PartialEq)]
pub struct Items {
    pub model: String,
    /// None for a singleton.
    pub ids: Vec<String>,
    /// The assets that these, and what they link to, embed, with their folders.
    pub with_assets: bool,
    /// Items they link to, the items those link to, and so on, so many times.
    pub with_links: u8,
}

impl Items {
    /// What that is at the source: what is linked to before what links to it. Whatever is referred to and is not there is
    /// named, all of it at once.
    pub async fn resolve(
        &self,
        manifest: &Manifest,
        source: &AgentClient,
        target: &AgentClient,
    ) -> Result<Vec<Selected>, Problem> {
        let mut search = Search { items: self, manifest, source, chosen: BTreeMap::new(), dangling: BTreeSet::new() };
        search.begin()?;
        search.follow(target).await?;
        if search.dangling.is_empty() {
            return Ok(search.selections());
        }
        let dangling: Vec<String> = search.dangling.into_iter().collect();
        Err(Problem::usage(format!(
            "{} of what was asked for is not at the source; nothing was pushed:\n  {}",
            dangling.len(),
            dangling.join("\n  ")
        )))
    }
}

struct Search<'a> {
    items: &'a Items,
    manifest: &'a Manifest,
    source: &'a AgentClient,
    /// Identities by collection, and how many links they are away from the items that were asked for.
    chosen: BTreeMap<Collection, BTreeMap<String, u8>>,
    dangling: BTreeSet<String>,
}

/// What a document refers to, and from where.
type Wanted = BTreeMap<(Collection, String), String>;

impl Search<'_> {
    /// The items that were asked for.
    fn begin(&mut self) -> Result<(), Problem> {
        let model = &self.items.model;
        let Some(collection) = self.collection_of(model) else {
            let known: Vec<&str> = self.manifest.models.iter().map(|info| info.name.as_str()).collect();
            return Err(Problem::usage(format!("there is no model {model:?}; there are: {}", known.join(", "))));
        };
        let identities = match (&collection, self.items.ids.as_slice()) {
            (Collection::Singletons, []) => vec![model.clone()],
            (Collection::Singletons, _) => {
                return Err(Problem::usage(format!("{model} is a singleton: leave the id out")));
            }
            (_, []) => return Err(Problem::usage(format!("name the items of {model} by their ids"))),
            (_, ids) => ids.to_vec(),
        };
        self.chosen.insert(collection, identities.into_iter().map(|identity| (identity, 0)).collect());
        Ok(())
    }

    fn collection_of(&self, model: &str) -> Option<Collection> {
        let info = self.manifest.models.iter().find(|info| info.name == model)?;
        Some(match info.kind {
            ModelKind::Singleton => Collection::Singletons,
            ModelKind::Collection | ModelKind::Tree => Collection::Items(info.name.clone()),
        })
    }

    /// Level by level: what was met already is not followed again, so cycles end.
    async fn follow(&mut self, target: &AgentClient) -> Result<(), Problem> {
        let mut level: Wanted = self
            .chosen
            .iter()
            .flat_map(|(collection, identities)| {
                identities.keys().map(|identity| ((collection.clone(), identity.clone()), "asked for".to_owned()))
            })
            .collect();
        for depth in 0..=self.items.with_links {
            let mut links = Wanted::new();
            let mut assets = Wanted::new();
            while !level.is_empty() {
                let mut parents = Wanted::new();
                for (collection, identity, document) in self.fetch(&level).await? {
                    let document = Document::parse(&document)
                        .map_err(|error| Problem::usage(format!("{collection} {identity} cannot be read: {error}")))?;
                    let from = |field: &str| format!("{field} of {} {identity}", collection.resource().1);
                    if depth < self.items.with_links {
                        for link in document.content_links() {
                            match self.collection_of(link.model) {
                                Some(Collection::Singletons) => {
                                    links.insert((Collection::Singletons, link.model.into()), from(link.field));
                                }
                                Some(linked) => {
                                    links.insert((linked, link.id.into()), from(link.field));
                                }
                                None => {
                                    let at = from(link.field);
                                    self.dangling
                                        .insert(format!("{} {} ({at}; there is no such model)", link.model, link.id));
                                }
                            }
                        }
                    }
                    if self.items.with_assets {
                        for copy in document.embedded_assets() {
                            assets.insert((Collection::Assets, copy.id.to_owned()), from(copy.field));
                        }
                    }
                    if let (Collection::Items(_), Some(parent)) = (&collection, document.text("_pid")) {
                        parents.insert((collection.clone(), parent.to_owned()), from("_pid"));
                    }
                }
                // A tree item lands only below its parent: what the target lacks of those comes along.
                level = self.lacking(parents, target).await?;
                self.choose(&mut level, depth)?;
            }
            self.add_assets(assets).await?;
            level = links;
            self.choose(&mut level, depth + 1)?;
        }
        Ok(())
    }

    /// Keeps what was not met yet.
    fn choose(&mut self, wanted: &mut Wanted, depth: u8) -> Result<(), Problem> {
        wanted.retain(|(collection, identity), _| {
            let of_collection = self.chosen.entry(collection.clone()).or_default();
            let is_new = !of_collection.contains_key(identity);
            of_collection.entry(identity.clone()).or_insert(depth);
            is_new
        });
        if self.chosen.values().map(BTreeMap::len).sum::<usize>() > MOST {
            return Err(Problem::usage(format!(
                "these items refer to more than {MOST} others: ask for less (--with-links), or push their models"
            )));
        }
        Ok(())
    }

    /// The documents at the source. Those that are not there dangle.
    async fn fetch(&mut self, wanted: &Wanted) -> Result<Vec<(Collection, String, Vec<u8>)>, Problem> {
        let mut found = Vec::new();
        for (collection, identities) in by_collection(wanted) {
            let answer = comparing::documents(self.source, &collection, identities, None).await?;
            for missing in answer.missing {
                let from = &wanted[&(collection.clone(), missing.clone())];
                self.dangling.insert(format!("{} {missing} ({from})", collection.resource().1));
            }
            for entry in answer.documents {
                found.push((collection.clone(), entry.identity, entry.document.unwrap_or_default()));
            }
        }
        Ok(found)
    }

    async fn lacking(&self, wanted: Wanted, target: &AgentClient) -> Result<Wanted, Problem> {
        let mut lacking = BTreeSet::new();
        for (collection, identities) in by_collection(&wanted) {
            let answer = comparing::documents(target, &collection, identities, None).await?;
            lacking.extend(answer.missing.into_iter().map(|missing| (collection.clone(), missing)));
        }
        Ok(wanted.into_iter().filter(|(key, _)| lacking.contains(key)).collect())
    }

    /// Assets, and the folders they are in up to the top.
    async fn add_assets(&mut self, mut assets: Wanted) -> Result<(), Problem> {
        self.choose(&mut assets, 0)?;
        let mut within = Wanted::new();
        for (_, identity, asset) in self.fetch(&assets).await? {
            within.extend(around(&asset, "folder", &identity));
        }
        self.choose(&mut within, 0)?;
        while !within.is_empty() {
            let folders = within.keys().map(|(_, identity)| identity.clone()).collect();
            within.clear();
            // A folder that is gone leaves its assets at the top, as in Cockpit.
            for folder in comparing::documents(self.source, &Collection::Folders, folders, None).await?.documents {
                within.extend(around(folder.document.as_deref().unwrap_or_default(), "_p", &folder.identity));
            }
            self.choose(&mut within, 0)?;
        }
        Ok(())
    }

    /// The farthest first.
    fn selections(self) -> Vec<Selected> {
        let mut collections: Vec<(u8, Selected)> = Vec::new();
        for (collection, identities) in self.chosen.into_iter().filter(|(_, identities)| !identities.is_empty()) {
            let mut identities: Vec<(String, u8)> = identities.into_iter().collect();
            identities.sort_by(|(one, near), (other, far)| far.cmp(near).then_with(|| one.cmp(other)));
            // What was asked for comes last, whatever else links to its model.
            let nearest = identities.last().map_or(0, |(_, depth)| *depth);
            let selection = Selection::only(identities.into_iter().map(|(identity, _)| identity).collect());
            collections.push((nearest, Selected { collection, selection }));
        }
        collections.sort_by_key(|(nearest, _)| std::cmp::Reverse(*nearest));
        collections.into_iter().map(|(_, selected)| selected).collect()
    }
}

fn by_collection(wanted: &Wanted) -> BTreeMap<Collection, Vec<String>> {
    let mut identities: BTreeMap<Collection, Vec<String>> = BTreeMap::new();
    for (collection, identity) in wanted.keys() {
        identities.entry(collection.clone()).or_default().push(identity.clone());
    }
    identities
}

/// The folder that something is in.
fn around(document: &[u8], field: &str, identity: &str) -> Option<((Collection, String), String)> {
    let document = Document::parse(document).ok()?;
    let folder = document.text(field).filter(|folder| !folder.is_empty())?;
    Some(((Collection::Folders, folder.to_owned()), format!("{field} of {identity}")))
}
