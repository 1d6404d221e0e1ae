//! What is made is what Cockpit would have made, and can be made again.
#![expect(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use instances::{Batch, Made, Shape, copy_limit, data_file, make, make_empty, place, uploads, with_sync_key};
use rusqlite::Connection;
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn made(shape: &Shape) -> (TempDir, Made) {
    let root = tempfile::tempdir().unwrap();
    let made = make(root.path(), shape).unwrap();
    (root, made)
}

/// A reader of its own: not the functions under test.
fn texts(root: &Path, collection: &str) -> Vec<String> {
    let place = place(collection);
    let connection = Connection::open(data_file(root, &place.file)).unwrap();
    let mut statement = connection.prepare(&format!("SELECT document FROM {} ORDER BY id", place.table)).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn documents(root: &Path, collection: &str) -> Vec<Value> {
    texts(root, collection).iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

const COLLECTIONS: [&str; 8] = [
    "content/collections/posts",
    "content/collections/authors",
    "content/collections/pagestree",
    "content/singletons",
    "assets",
    "assets/folders",
    "system/locales",
    "system/users",
];

#[test]
fn a_second_connection_reads_everything_that_was_made() {
    let shape = Shape::small();
    let (root, made) = made(&shape);
    let counts: Vec<usize> = COLLECTIONS.iter().map(|collection| documents(root.path(), collection).len()).collect();
    assert_eq!(counts, [60, 8, 15, 1, 12, 4, 2, 1]);
    let posts = documents(root.path(), "content/collections/posts");
    let ids: Vec<&str> = posts.iter().map(|post| post["_id"].as_str().unwrap()).collect();
    assert_eq!(ids, made.posts);
    assert!(
        ids.iter().all(|id| id.len() == 24 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
    );
    for model in ["posts", "authors", "pagestree", "settings"] {
        assert!(root.path().join(format!("storage/content/{model}.model.php")).exists());
    }
}

#[test]
fn posts_hold_every_kind_of_value_and_every_state() {
    let (root, _) = made(&Shape::small());
    let all = texts(root.path(), "content/collections/posts").join("\n");
    let expected = ["\\u2028", "a\\/b", "9007199254740993", "1.0e+20", "1.0e-7", "🚀", "größer", "\"seo\":[]", "{}"];
    for part in expected {
        assert!(all.contains(part), "{part}");
    }
    let posts = documents(root.path(), "content/collections/posts");
    for state in [1, 0, -1] {
        assert!(posts.iter().any(|post| post["_state"] == state), "{state}");
    }
    assert!(posts.iter().any(|post| post["image"]["_hash"].is_string()));
    assert!(posts.iter().any(|post| post["sections"][0]["image"]["_hash"].is_string()));
    assert!(posts.iter().any(|post| post["excerpt_de"].is_null()));
}

#[test]
fn every_asset_has_its_file_and_every_copy_is_its_asset() {
    let (root, _) = made(&Shape::small());
    let assets = documents(root.path(), "assets");
    for asset in &assets {
        let file = uploads(root.path()).join(asset["path"].as_str().unwrap().trim_start_matches('/'));
        assert_eq!(asset["size"], fs::read(file).unwrap().len());
    }
    for post in documents(root.path(), "content/collections/posts") {
        if let Some(id) = post["image"]["_id"].as_str() {
            assert_eq!(Some(&post["image"]), assets.iter().find(|asset| asset["_id"] == id));
        }
    }
}

#[test]
fn links_and_parents_lead_somewhere() {
    let (root, made) = made(&Shape::small());
    for post in documents(root.path(), "content/collections/posts") {
        assert!(made.authors.iter().any(|id| post["author"]["_id"] == *id));
    }
    let tree = documents(root.path(), "content/collections/pagestree");
    for node in &tree {
        let parent = &node["_pid"];
        assert!(parent.is_null() || tree.iter().any(|other| other["_id"] == *parent));
        let before = tree.iter().filter(|other| other["_pid"] == *parent && other["_o"].as_i64() < node["_o"].as_i64());
        assert_eq!(node["_o"], before.count());
    }
    assert!(tree.iter().any(|node| !node["_pid"].is_null()));
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_other_ones() {
    let (first, ids) = made(&Shape::small());
    let (second, same_ids) = made(&Shape::small());
    let (other, other_ids) = made(&Shape { seed: 2, ..Shape::small() });
    assert_eq!(ids, same_ids);
    assert_ne!(ids.posts, other_ids.posts);
    for collection in COLLECTIONS {
        assert_eq!(texts(first.path(), collection), texts(second.path(), collection), "{collection}");
        assert_ne!(texts(first.path(), collection), texts(other.path(), collection), "{collection}");
    }
    assert!(instances::compare(first.path(), second.path()).unwrap().is_equal());
}

#[test]
fn files_are_as_sqlite_leaves_them_for_cockpit() {
    let (root, _) = made(&Shape::small());
    for file in ["content.sqlite", "app.sqlite", "assets.sqlite", "system.sqlite", "app.memory.sqlite"] {
        let path = data_file(root.path(), file);
        assert!(!path.with_extension("sqlite-wal").exists(), "{file}");
        let connection = Connection::open(&path).unwrap();
        let pragma =
            |name| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, PragmaText>(0)).unwrap().0;
        assert_eq!(
            (pragma("page_size"), pragma("journal_mode"), pragma("auto_vacuum")),
            ("4096".into(), "wal".into(), "0".into())
        );
    }
}

/// A pragma's value as text, whatever its type.
struct PragmaText(String);
impl rusqlite::types::FromSql for PragmaText {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        Ok(Self(match value {
            rusqlite::types::ValueRef::Integer(number) => number.to_string(),
            other => other.as_str()?.to_owned(),
        }))
    }
}

#[test]
fn a_post_of_the_usual_shape_has_about_1800_bytes() {
    let (root, _) = made(&Shape { posts: 600, ..Shape::default() });
    let posts = texts(root.path(), "content/collections/posts");
    let average = posts.iter().map(String::len).sum::<usize>() / posts.len();
    assert!((1_650..1_950).contains(&average), "{average}");
}

#[test]
fn an_empty_instance_has_a_user_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    make_empty(root.path()).unwrap();
    with_sync_key(root.path(), "a'key").unwrap();
    assert_eq!(documents(root.path(), "system/users").len(), 1);
    assert_eq!(instances::count(root.path(), "system/locales").unwrap(), 0);
    assert!(!data_file(root.path(), "content.sqlite").exists());
    assert_eq!(fs::read_dir(root.path().join("storage/content")).unwrap().count(), 0);
    assert!(fs::read_to_string(root.path().join("config/config.php")).unwrap().contains(r"'syncKey' => 'a\'key'"));
    assert!(make_empty(root.path()).is_err(), "an instance must not be made over another");
}

#[test]
fn copying_the_physical_way_copies_every_row_in_the_transactions_asked_for() {
    let (root, _) = made(&Shape::small());
    let to = tempfile::tempdir().unwrap();
    let copied = copy_limit(root.path(), to.path(), Batch { rows: 25, bytes: usize::MAX }, "FULL").unwrap();
    assert_eq!((copied.rows, copied.transactions), (60, 3));
    let target = Connection::open(to.path().join("content.sqlite")).unwrap();
    let count: i64 = target.query_row("SELECT count(*) FROM collections_posts", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 60);
    let by_bytes = tempfile::tempdir().unwrap();
    let one_each = copy_limit(root.path(), by_bytes.path(), Batch { rows: 25, bytes: 1 }, "OFF").unwrap();
    assert_eq!(one_each.transactions, 60);
}
