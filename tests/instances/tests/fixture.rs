//! Against the storage of a real Cockpit, where its archive is at hand: named by `COCKPIT_FIXTURE`, or beside the
//! project in `shared/fixtures`. Without it these tests say so and pass.
#![expect(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use instances::{Shape, compare, data_file, make, model_file, read_document, to_php_json};
use rusqlite::Connection;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

struct Fixture {
    directory: TempDir,
}

impl Fixture {
    fn unpack() -> Option<Self> {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/cockpit-small.tar.gz");
        let archive = std::env::var_os("COCKPIT_FIXTURE").map_or(beside, PathBuf::from);
        if !archive.exists() {
            eprintln!("skipped: no {}", archive.display());
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let status = Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(directory.path()).status().unwrap();
        assert!(status.success());
        Some(Self { directory })
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("cockpit-small")
    }
}

fn schema(root: &Path, file: &str) -> Vec<String> {
    let connection = Connection::open(data_file(root, file)).unwrap();
    let mut statement = connection.prepare("SELECT sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_real_instance_equals_itself() {
    let Some(fixture) = Fixture::unpack() else { return };
    let comparison = compare(&fixture.root(), &fixture.root()).unwrap();
    assert!(comparison.is_equal(), "{comparison}");
    assert!(comparison.compared > 80);
    let other = Fixture::unpack().unwrap();
    let id = "6b02ce5c686c82d24f3c2921";
    instances::edit_item(&other.root(), "posts", id, |post| post["extra"]["nested"]["a"]["b"] = Value::Bool(true))
        .unwrap();
    assert_eq!(compare(&fixture.root(), &other.root()).unwrap().differing, 1);
}

#[test]
fn our_tables_are_cockpits_tables() {
    let Some(fixture) = Fixture::unpack() else { return };
    let ours = tempfile::tempdir().unwrap();
    make(ours.path(), &Shape::small()).unwrap();
    for file in ["content.sqlite", "app.sqlite", "assets.sqlite", "app.memory.sqlite"] {
        assert_eq!(schema(ours.path(), file), schema(&fixture.root(), file), "{file}");
    }
    let theirs = schema(&fixture.root(), "system.sqlite");
    assert!(schema(ours.path(), "system.sqlite").iter().all(|table| theirs.contains(table)));
}

#[test]
fn our_json_is_byte_for_byte_cockpits() {
    let Some(fixture) = Fixture::unpack() else { return };
    let connection = Connection::open(data_file(&fixture.root(), "content.sqlite")).unwrap();
    for table in ["collections_posts", "collections_authors", "collections_pagestree", "singletons"] {
        let mut statement = connection.prepare(&format!("SELECT document FROM {table}")).unwrap();
        for text in statement.query_map([], |row| row.get::<_, String>(0)).unwrap() {
            let text = text.unwrap();
            assert_eq!(to_php_json(&serde_json::from_str(&text).unwrap()), text);
        }
    }
}

#[test]
fn our_model_files_are_byte_for_byte_cockpits() {
    let Some(fixture) = Fixture::unpack() else { return };
    let memory = Connection::open(data_file(&fixture.root(), "app.memory.sqlite")).unwrap();
    let cached: String =
        memory.query_row("SELECT keyval FROM redislite WHERE key = 'content.models'", [], |row| row.get(0)).unwrap();
    let models: Value = serde_json::from_str(&cached).unwrap();
    for (name, model) in models.as_object().unwrap() {
        let file = fixture.root().join(format!("storage/content/{name}.model.php"));
        assert_eq!(model_file(model), fs::read_to_string(file).unwrap());
    }
    let ours = tempfile::tempdir().unwrap();
    make(ours.path(), &Shape::small()).unwrap();
    for name in ["posts", "authors", "pagestree", "settings"] {
        let file = |root: &Path| fs::read_to_string(root.join(format!("storage/content/{name}.model.php"))).unwrap();
        let untimed = |text: String| text.replace("1795345966", "").replace("1795346012", "");
        assert_eq!(untimed(file(ours.path())), untimed(file(&fixture.root())), "{name}");
    }
}

#[test]
fn our_documents_have_the_keys_of_cockpits_in_their_order() {
    let Some(fixture) = Fixture::unpack() else { return };
    let ours = tempfile::tempdir().unwrap();
    let made = make(ours.path(), &Shape::small()).unwrap();
    let keys = |document: Value| document.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let pairs = [
        ("content/collections/posts", &made.posts[1], "6b02ce5c686c82d24f3c2921"),
        ("content/collections/authors", &made.authors[1], "6b02ce5c686c82d24f3c2917"),
        ("content/collections/pagestree", &made.tree[1], "6b02ce5c686c82d24f3c2955"),
        ("assets", &made.assets[1], "6b02ce5c686c82d24f3c2910"),
        ("assets", &made.assets[7], "6b02ce5c686c82d24f3c2914"),
        ("assets/folders", &made.folders[1], "6b02ce5c686c82d24f3c290e"),
        ("content/singletons", &"settings".to_owned(), "settings"),
    ];
    for (collection, our_id, their_id) in pairs {
        let our = read_document(ours.path(), collection, our_id).unwrap().unwrap();
        let their = read_document(&fixture.root(), collection, their_id).unwrap().unwrap();
        assert_eq!(keys(our), keys(their), "{collection}");
    }
}
