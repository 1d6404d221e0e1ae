//! Instances of a test, and what is in them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use instances::{Shape, Stored, count, ids, insert_document, read_document};
use serde_json::{Value, json};

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

/// All that an instance holds, to be compared with what becomes of it.
pub fn stored(root: &Path) -> Stored {
    Stored::of(root).unwrap()
}

/// Every byte of every document, file and model is what it was.
#[track_caller]
pub fn assert_as_before(before: &Stored, root: &Path) {
    assert_eq!(before.differences(&stored(root)), BTreeSet::new());
}

/// An id that no instance has.
pub fn new_id(number: usize) -> String {
    format!("f{number:023x}")
}

/// A copy of the first document there is, under another id.
pub fn add_document(root: &Path, collection: &str, number: usize) -> String {
    let first = ids(root, collection).unwrap().remove(0);
    let mut document = read_document(root, collection, &first).unwrap().unwrap();
    document["_id"] = json!(new_id(number));
    insert_document(root, collection, &document).unwrap();
    new_id(number)
}

/// An asset with a file of its own.
pub fn add_asset(root: &Path, number: usize) -> (String, PathBuf) {
    let first = ids(root, "assets").unwrap().remove(0);
    let mut asset = read_document(root, "assets", &first).unwrap().unwrap();
    let uploads = instances::uploads(root);
    let old = uploads.join(&asset["path"].as_str().unwrap()[1..]);
    let path = format!("/2026/only-here_uid_{number:013x}.png");
    std::fs::create_dir_all(uploads.join("2026")).unwrap();
    std::fs::copy(old, uploads.join(&path[1..])).unwrap();
    asset["_id"] = json!(new_id(number));
    asset["path"] = json!(path);
    insert_document(root, "assets", &asset).unwrap();
    (new_id(number), uploads.join(&path[1..]))
}

/// Embedded assets of a document: objects with an id and a path.
pub fn embedded(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let (Some(id), true) = (value["_id"].as_str(), value["path"].is_string()) {
                found.push(id.to_owned());
            }
            fields.values().for_each(|inner| embedded(inner, found));
        }
        Value::Array(elements) => elements.iter().for_each(|inner| embedded(inner, found)),
        _ => {}
    }
}
