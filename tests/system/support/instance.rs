//! Instances of a test, and what is in them.

use std::path::Path;

use instances::{Shape, count};

/// Everything there is, little of it; with small batches still many jobs.
pub fn small() -> Shape {
    Shape { posts: 600, body_bytes: 200, authors: 30, assets: 12, folders: 4, tree_nodes: 20, ..Shape::default() }
}

/// Documents of an instance by what holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    pub posts: u64,
    pub authors: u64,
    pub tree: u64,
    pub singletons: u64,
    pub assets: u64,
    pub folders: u64,
    pub locales: u64,
    pub models: u64,
}

impl Count {
    pub fn of(root: &Path) -> Self {
        let rows = |collection: &str| count(root, collection).unwrap() as u64;
        let models = std::fs::read_dir(root.join("storage/content")).unwrap();
        let is_model = |name: &str| name.ends_with(".model.php");
        Self {
            posts: rows("content/collections/posts"),
            authors: rows("content/collections/authors"),
            tree: rows("content/collections/pagestree"),
            singletons: rows("content/singletons"),
            assets: rows("assets"),
            folders: rows("assets/folders"),
            locales: rows("system/locales"),
            models: models.filter(|entry| is_model(&entry.as_ref().unwrap().file_name().to_string_lossy())).count()
                as u64,
        }
    }

    pub fn all(&self) -> u64 {
        self.posts
            + self.authors
            + self.tree
            + self.singletons
            + self.assets
            + self.folders
            + self.locales
            + self.models
    }
}

/// How many documents an instance holds, definitions of models included.
pub fn documents_in(root: &Path) -> u64 {
    Count::of(root).all()
}
