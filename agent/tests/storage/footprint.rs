//! What the agent leaves in Cockpit's files: documents and files, as if Cockpit had written them, and nothing else.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use protocol::collection::Collection;

use crate::support::*;

/// Everything in a database's schema, and how the file is made.
fn schema(path: &Path) -> (Vec<(String, String)>, Vec<String>) {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT name, ifnull(sql, '') FROM sqlite_master ORDER BY name").unwrap();
    let entries = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let entries = entries.collect::<rusqlite::Result<Vec<(String, String)>>>().unwrap();
    let pragma = |name: &str| {
        connection
            .query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, rusqlite::types::Value>(0))
            .map(|value| format!("{name}={value:?}"))
            .unwrap()
    };
    (entries, ["page_size", "auto_vacuum", "user_version", "journal_mode", "application_id"].map(pragma).to_vec())
}

fn data_files(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root.join("storage/data")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".sqlite"));
    names.sort();
    names
}

#[test]
fn nothing_is_added_to_files_that_are_there() {
    let source = Instance::of(&instances::Shape { posts: 80, seed: 7, ..instances::Shape::small() });
    let target = Instance::small();
    let files = data_files(&target.root);
    let before: Vec<_> = files.iter().map(|name| schema(&instances::data_file(&target.root, name))).collect();
    let token = target.grant();
    target.pull_all(&source, &token);
    for collection in collections() {
        target.summary(&collection);
    }
    assert_eq!(data_files(&target.root), files);
    let after: Vec<_> = files.iter().map(|name| schema(&instances::data_file(&target.root, name))).collect();
    assert_eq!(after, before);
}

#[test]
fn a_target_without_files_gets_them_exactly_as_cockpit_makes_them() {
    let source = Instance::small();
    let target = Instance::empty();
    for name in ["content.sqlite", "app.sqlite", "assets.sqlite", "system.sqlite"] {
        // A new Cockpit may have them already, or not.
        let _ = std::fs::remove_file(instances::data_file(&target.root, name));
    }
    let token = target.grant();
    target.pull_all(&source, &token);
    target.storage.close();
    for name in ["content.sqlite", "app.sqlite", "assets.sqlite"] {
        let (theirs, ours) =
            (schema(&instances::data_file(&source.root, name)), schema(&instances::data_file(&target.root, name)));
        assert_eq!(ours, theirs, "{name}");
    }
    let (entries, pragmas) = schema(&instances::data_file(&target.root, "content.sqlite"));
    let posts = entries.iter().find(|(name, _)| name == "collections_posts").unwrap();
    assert_eq!(posts.1, "CREATE TABLE `collections_posts` ( id INTEGER PRIMARY KEY AUTOINCREMENT, document TEXT )");
    assert!(pragmas.contains(&"page_size=Integer(4096)".into()), "{pragmas:?}");
    assert!(pragmas.contains(&"journal_mode=Text(\"wal\")".into()), "{pragmas:?}");
    let connection = rusqlite::Connection::open(instances::data_file(&target.root, "content.sqlite")).unwrap();
    let kind: String =
        connection.query_row("SELECT typeof(document) FROM collections_posts LIMIT 1", [], |row| row.get(0)).unwrap();
    assert_eq!(kind, "text");
}

#[test]
fn reading_creates_nothing() {
    let target = Instance::empty();
    let files = data_files(&target.root);
    for collection in collections() {
        target.list(&collection);
        target.summary(&collection);
        target.diff(&collection, &[]);
    }
    assert_eq!(data_files(&target.root), files);
}

#[test]
fn what_is_created_has_owner_group_and_mode_of_its_neighbours() {
    let source = Instance::small();
    let target = Instance::empty();
    let is_root = nix::unistd::geteuid().is_root();
    let (user, group) =
        if is_root { (4321, 4322) } else { (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()) };
    let storage = target.root.join("storage");
    if is_root {
        for path in ["", "data", "content", "uploads", "tmp"] {
            std::os::unix::fs::chown(storage.join(path), Some(user), Some(group)).unwrap();
        }
    }
    std::fs::set_permissions(storage.join("uploads"), PermissionsExt::from_mode(0o2775)).unwrap();
    let _ = std::fs::remove_file(storage.join("data/content.sqlite"));
    let neighbour = storage.join("data/neighbour.sqlite");
    for entry in std::fs::read_dir(storage.join("data")).unwrap() {
        std::fs::set_permissions(entry.unwrap().path(), PermissionsExt::from_mode(0o660)).unwrap();
    }
    std::fs::write(&neighbour, "").unwrap();
    std::fs::set_permissions(&neighbour, PermissionsExt::from_mode(0o660)).unwrap();
    let token = target.grant();
    target.pull_all(&source, &token);
    let facts = |path: &Path| {
        let metadata = std::fs::metadata(path).unwrap();
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
    };
    assert_eq!(facts(&storage.join("data/content.sqlite")), (user, group, 0o660));
    let wal = storage.join("data/content.sqlite-wal");
    if wal.exists() {
        assert_eq!((facts(&wal).0, facts(&wal).1), (user, group));
    }
    let model = facts(&storage.join("content/posts.model.php"));
    assert_eq!((model.0, model.1), (user, group));
    let asset = instances::read_document(&target.root, "assets", &source.made().assets[0]).unwrap().unwrap();
    let file = instances::uploads(&target.root).join(&asset["path"].as_str().unwrap()[1..]);
    assert_eq!(facts(file.parent().unwrap()), (user, group, 0o2775));
    assert_eq!(facts(&file), (user, group, 0o664));
    assert!(target.list(&Collection::Assets).complete);
}
