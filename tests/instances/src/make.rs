//! Makes an instance: the directories, files and tables of an installed Cockpit with content of a given shape.

mod assets;
mod authors;
mod models;
mod posts;
mod system;
mod tree;
mod words;

use crate::ids::Ids;
use crate::php::array_literal;
use crate::storage;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// What an instance holds. The same shape gives the same bytes of every document and file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    pub posts: usize,
    /// Length of a post's `body`; the whole document is about 1,000 bytes longer on average.
    pub body_bytes: usize,
    pub authors: usize,
    pub assets: usize,
    /// Bytes of each asset's file; none: as the kind of file has it, 20 kB at most.
    pub asset_bytes: Option<usize>,
    pub folders: usize,
    /// `settings`, `settings2`, ...
    pub singletons: usize,
    pub tree_nodes: usize,
    /// Besides the default locale.
    pub locales: Vec<String>,
    /// Whether models are rows of `content/models`, as Cockpit has them where its config says so.
    pub models_in_database: bool,
    /// Whether the memory file holds the models and locales, as after the first request in production mode.
    pub cached: bool,
    pub seed: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            posts: 20_000,
            body_bytes: 800,
            authors: 500,
            assets: 200,
            asset_bytes: None,
            folders: 12,
            singletons: 1,
            tree_nodes: 200,
            locales: vec!["de".to_owned()],
            models_in_database: false,
            cached: true,
            seed: 1,
        }
    }
}

impl Shape {
    /// Everything there is, little of it: for tests that are not about size.
    pub fn small() -> Self {
        Self { posts: 60, authors: 8, assets: 12, folders: 4, tree_nodes: 15, ..Self::default() }
    }
}

/// What was made: the ids, in the order of the rows, and the names of the singletons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub posts: Vec<String>,
    pub authors: Vec<String>,
    pub assets: Vec<String>,
    pub folders: Vec<String>,
    pub tree: Vec<String>,
    pub singletons: Vec<String>,
}

/// What the parts of an instance share while it is made.
struct Making<'a> {
    root: &'a Path,
    shape: &'a Shape,
    ids: Ids,
    user: String,
}

impl Making<'_> {
    fn insert(&self, collection: &str, documents: impl Iterator<Item = String>) -> Result<()> {
        let place = storage::place(collection);
        let mut connection = storage::open(self.root, &place.file)?;
        storage::insert_all(&mut connection, &place.table, documents)
    }
}

/// Makes an instance of this shape in `root`, which must not hold one yet.
pub fn make(root: &Path, shape: &Shape) -> Result<Made> {
    let mut making = install(root, shape)?;
    system::write_locales(&mut making)?;
    let folders = assets::write_folders(&mut making)?;
    let assets = assets::write_assets(&mut making, &folders)?;
    let singletons = models::singleton_names(shape.singletons);
    models::write_models(&mut making, &singletons)?;
    let authors = authors::write_authors(&mut making, &assets)?;
    let posts = posts::write_posts(&mut making, &authors, &assets)?;
    let tree = tree::write_tree(&mut making, &posts)?;
    models::write_singletons(&mut making, &singletons, &assets)?;
    let assets = assets.iter().map(assets::id_of).collect();
    Ok(Made { posts, authors, assets, folders, tree, singletons })
}

/// An instance as the installer leaves it: a user, no models, no content, no locale rows.
pub fn make_empty(root: &Path) -> Result<()> {
    install(root, &Shape::small())?;
    Ok(())
}

fn install<'a>(root: &'a Path, shape: &'a Shape) -> Result<Making<'a>> {
    anyhow::ensure!(!storage::data_file(root, "system.sqlite").exists(), "{} holds an instance", root.display());
    let directories =
        ["config", "storage/cache", "storage/content", "storage/data", "storage/tmp/thumbs", "storage/uploads"];
    for directory in directories {
        let path = root.join(directory);
        fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
    }
    fs::write(storage::data_file(root, ".htaccess"), "deny from all")?;
    let mut ids = Ids::new(shape.seed);
    let user = ids.next();
    let making = Making { root, shape, ids, user };
    system::write_user(&making)?;
    system::write_memory(root)?;
    Ok(making)
}

/// Writes a config/config.php that keeps models in the database.
pub fn with_models_in_database(root: &Path) -> Result<()> {
    let settings: Value = json!({"content": {"models": {"storage": "database"}}});
    fs::create_dir_all(root.join("config"))?;
    fs::write(root.join("config/config.php"), format!("<?php\n\nreturn {};\n", array_literal(&settings)))?;
    Ok(())
}

/// Writes config/config.php with the sync key, where Cockpit's Sync add-on looks for it.
pub fn with_sync_key(root: &Path, sync_key: &str) -> Result<()> {
    let settings: Value = json!({"sync": {"syncKey": sync_key}});
    fs::create_dir_all(root.join("config"))?;
    fs::write(root.join("config/config.php"), format!("<?php\n\nreturn {};\n", array_literal(&settings)))?;
    Ok(())
}
