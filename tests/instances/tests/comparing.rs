//! A comparison is worth something only if it finds each kind of difference.
#![expect(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use instances::{
    Comparison, Copies, Found, Made, Rules, Shape, change, collection_of, compare, compare_by, corrupt_row,
    delete_document, delete_item, duplicate_id, edit_document, edit_item, insert_document, insert_raw, make,
    make_empty, read_document, read_item, replace_asset_file, uploads,
};
use serde_json::json;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// Two equal instances.
struct Twins {
    a: TempDir,
    b: TempDir,
    made: Made,
}

impl Twins {
    fn new() -> Self {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let made = make(a.path(), &Shape::small()).unwrap();
        make(b.path(), &Shape::small()).unwrap();
        Self { a, b, made }
    }

    fn a(&self) -> &Path {
        self.a.path()
    }

    fn b(&self) -> &Path {
        self.b.path()
    }

    fn compare(&self) -> Comparison {
        compare(self.a(), self.b()).unwrap()
    }

    /// The only difference, as printed.
    fn only_difference(&self) -> String {
        let comparison = self.compare();
        assert_eq!(comparison.total(), 1, "{comparison}");
        comparison.differences[0].to_string()
    }
}

#[test]
fn equal_instances_are_equal() {
    let twins = Twins::new();
    let comparison = twins.compare();
    assert!(comparison.is_equal(), "{comparison}");
    // 60 posts, 8 authors, 15 nodes, 1 singleton, 12 assets, 4 folders, 2 locales, 12 files, 4 models
    assert_eq!(comparison.compared, 118);
}

#[test]
fn an_edited_item_differs_and_the_answer_says_where() {
    let twins = Twins::new();
    let id = &twins.made.posts[5];
    edit_item(twins.b(), "posts", id, |post| post["seo"]["title"] = json!("another")).unwrap();
    let difference = twins.only_difference();
    assert_eq!(difference, format!("content/collections/posts {id}: seo.title: \"SEO 5\" != \"another\""));
}

#[test]
fn the_time_of_a_change_alone_is_no_difference() {
    let twins = Twins::new();
    edit_item(twins.b(), "posts", &twins.made.posts[0], |_| {}).unwrap();
    assert!(twins.compare().is_equal());
    edit_item(twins.b(), "posts", &twins.made.posts[0], |post| post["_mby"] = json!("somebody")).unwrap();
    assert!(!twins.compare().is_equal());
    assert!(compare_by(twins.a(), twins.b(), &Rules::content()).unwrap().is_equal());
}

#[test]
fn items_on_one_side_only_are_told_apart() {
    let twins = Twins::new();
    assert_eq!(delete_item(twins.b(), "pagestree", &twins.made.tree[3]).unwrap(), 1);
    assert!(twins.only_difference().ends_with("only in a"));
    assert!(!twins.compare().b_has_all_of_a());

    let other = Twins::new();
    insert_raw(other.b(), &collection_of("authors"), r#"{"name":"new","_id":"n"}"#).unwrap();
    assert_eq!(other.only_difference(), "content/collections/authors n: only in b");
    assert!(other.compare().b_has_all_of_a());
    insert_document(other.b(), "lokalize/projects", &json!({"name": "site", "_id": "p"})).unwrap();
    assert_eq!(other.compare().only_in_b, 2);
}

#[test]
fn singletons_are_compared_by_model_and_locales_by_name() {
    let twins = Twins::new();
    edit_document(twins.b(), "content/singletons", "settings", |document| document["_id"] = json!("other")).unwrap();
    let de = instances::ids(twins.b(), "system/locales").unwrap()[1].clone();
    edit_document(twins.b(), "system/locales", &de, |locale| locale["_id"] = json!("other")).unwrap();
    assert!(twins.compare().is_equal());
    edit_document(twins.b(), "content/singletons", "settings", |document| document["siteName_de"] = json!("x"))
        .unwrap();
    assert!(twins.only_difference().starts_with("content/singletons settings: siteName_de"));
    edit_document(twins.b(), "system/locales", "other", |locale| locale["enabled"] = json!(false)).unwrap();
    assert_eq!(twins.compare().differing, 2);
}

#[test]
fn assets_folders_and_files_are_compared() {
    let twins = Twins::new();
    edit_document(twins.b(), "assets/folders", &twins.made.folders[0], |folder| folder["name"] = json!("x")).unwrap();
    assert!(twins.only_difference().starts_with("assets/folders"));
    edit_document(twins.b(), "assets", &twins.made.assets[0], |asset| asset["title"] = json!("x")).unwrap();
    assert_eq!(twins.compare().differing, 2);
    fs::write(uploads(twins.b()).join("left-over.bin"), "x").unwrap();
    assert_eq!(twins.compare().only_in_b, 1);
}

#[test]
fn a_file_that_is_missing_or_wrong_is_found() {
    let twins = Twins::new();
    let asset = read_document(twins.b(), "assets", &twins.made.assets[1]).unwrap().unwrap();
    let file = uploads(twins.b()).join(asset["path"].as_str().unwrap().trim_start_matches('/'));
    fs::write(&file, "something else").unwrap();
    let wrong = twins.compare();
    assert_eq!((wrong.differing, wrong.broken), (1, 1), "{wrong}");
    fs::remove_file(&file).unwrap();
    let missing = twins.compare();
    assert_eq!((missing.only_in_a, missing.broken), (1, 1), "{missing}");
}

#[test]
fn models_are_compared_as_values() {
    let twins = Twins::new();
    let file = twins.b().join("storage/content/posts.model.php");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\n    0 => [", "\n[").replace("'_modified' => 1", "'_modified' => 2")).unwrap();
    assert!(twins.compare().is_equal(), "{}", twins.compare());
    fs::write(&file, text.replace("'label' => 'Posts'", "'label' => 'posts'")).unwrap();
    assert!(twins.only_difference().starts_with("models posts"));
    fs::remove_file(&file).unwrap();
    assert_eq!(twins.only_difference(), "models posts: only in a");
}

#[test]
fn a_model_that_php_cannot_read_is_broken_on_both_sides() {
    if std::process::Command::new("php").arg("-v").output().is_err() {
        eprintln!("skipped: there is no php, and models are compared as text");
        return;
    }
    let twins = Twins::new();
    fs::write(twins.a().join("storage/content/posts.model.php"), "<?php return [").unwrap();
    assert!(!compare(twins.a(), twins.a()).unwrap().is_equal());
}

#[test]
fn rows_that_cannot_be_read_and_doubled_ids_are_named() {
    let twins = Twins::new();
    let row = corrupt_row(twins.b(), &collection_of("authors"), &twins.made.authors[2]).unwrap();
    let comparison = twins.compare();
    assert_eq!((comparison.only_in_a, comparison.broken), (1, 1), "{comparison}");
    assert!(
        comparison.differences.iter().any(|d| d.name == format!("row {row}") && matches!(d.found, Found::Broken(_)))
    );

    let other = Twins::new();
    let id = &other.made.posts[1];
    duplicate_id(other.b(), &collection_of("posts"), id, |post| post["title"] = json!("second")).unwrap();
    let doubled = other.compare();
    assert!(doubled.is_equal(), "the first row counts: {doubled}");
    assert_eq!(doubled.notes.len(), 1);
    assert_eq!(delete_item(other.b(), "posts", id).unwrap(), 2);
}

#[test]
fn a_share_of_the_posts_changes_and_the_same_seed_changes_the_same() {
    let twins = Twins::new();
    let ids = change(twins.a(), 10.0, 7).unwrap();
    assert_eq!(ids.len(), 6);
    assert_eq!(twins.compare().differing, 6);
    assert!(ids.iter().all(|id| twins.compare().differences.iter().any(|difference| difference.name == *id)));
    assert_eq!(change(twins.b(), 10.0, 7).unwrap(), ids);
    assert!(twins.compare().is_equal());
}

#[test]
fn a_replaced_file_reaches_the_copies_or_leaves_them_stale() {
    let twins = Twins::new();
    let post = read_item(twins.a(), "posts", &twins.made.posts[0]).unwrap().unwrap();
    let id = post["image"]["_id"].as_str().unwrap();
    let replaced = replace_asset_file(twins.a(), id, b"new content", Copies::Rewritten).unwrap();
    assert!(!replaced.old_file.exists() && replaced.new_file.exists());
    let fresh = read_item(twins.a(), "posts", &twins.made.posts[0]).unwrap().unwrap();
    assert_eq!(fresh["image"]["_hash"], replaced.hash);
    assert_eq!(compare(twins.a(), twins.a()).unwrap().broken, 0);

    replace_asset_file(twins.b(), id, b"new content", Copies::LeftStale).unwrap();
    assert!(twins.compare().differing > 1, "stale copies in b are differences");
    assert!(!compare_by(twins.a(), twins.b(), &Rules::content()).unwrap().is_equal());
    let reversed = compare_by(twins.b(), twins.a(), &Rules::content()).unwrap();
    assert!(reversed.is_equal(), "stale copies in the source count as refreshed: {reversed}");
}

#[test]
fn an_empty_instance_lacks_everything() {
    let twins = Twins::new();
    let empty = tempfile::tempdir().unwrap();
    make_empty(empty.path()).unwrap();
    let comparison = compare(twins.a(), empty.path()).unwrap();
    assert_eq!((comparison.only_in_a, comparison.compared), (118, 118), "{comparison}");
    assert_eq!(delete_document(twins.b(), "assets", &twins.made.assets[0]).unwrap(), 1);
}
