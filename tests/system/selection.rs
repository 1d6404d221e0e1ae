//! Parts of an instance: what is chosen comes, as chosen, and nothing else.

use std::path::Path;

use instances::{edit_document, edit_item, read_document, read_item};
use serde_json::{Value, json};

use crate::support::{Count, Rig, embedded, let_the_second_pass, small};

/// Ids of the documents of which this holds, sorted.
fn ids_where(root: &Path, collection: &str, holds: impl Fn(&Value) -> bool) -> Vec<String> {
    let mut ids = instances::ids(root, collection).unwrap();
    ids.retain(|id| holds(&read_document(root, collection, id).unwrap().unwrap()));
    ids.sort();
    ids
}

fn all_ids(root: &Path, collection: &str) -> Vec<String> {
    ids_where(root, collection, |_| true)
}

const POSTS: &str = "content/collections/posts";
const TREE: &str = "content/collections/pagestree";

#[test]
fn a_filter_brings_what_matches_and_verifies_it() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let filter = r#"{"_state": 1, "$or": [{"rating": {"$gte": 4}}, {"tags": "t7"}]}"#;
    let is_meant =
        |post: &Value| post["_state"] == 1 && (post["rating"].as_i64().unwrap() >= 4 || post["tags"][1] == "t7");
    let meant = ids_where(&rig.source(), POSTS, is_meant);
    let arguments = ["push", "target", "--filter", filter, "--batch-size", "50"];
    let first = rig.run(&arguments).expect_code(0);
    assert_eq!(first.json()["verified"], true);
    assert_eq!(first.json()["resources"]["content"]["posts"]["created"], meant.len());
    assert_eq!(all_ids(&rig.target(), POSTS), meant);
    // Assets, definitions and locales are not what a filter is about; singletons and trees are.
    assert_eq!(Count::of(&rig.target()).assets, Count::of(&rig.source()).assets);
    assert_eq!((Count::of(&rig.target()).tree, Count::of(&rig.target()).singletons), (0, 0));

    let commits = rig.commits("target");
    let second = rig.run(&arguments).expect_code(0);
    assert_eq!((second.count("created"), second.count("updated")), (0, 0));
    assert_eq!(second.json()["resources"]["content"]["posts"]["unchanged"], meant.len());
    assert_eq!(rig.commits("target"), commits);

    // The document of the source decides, not the target's.
    let (leaves, stays) = (&meant[0], &meant[1]);
    edit_item(&rig.source(), "posts", leaves, |post| post["_state"] = json!(0)).unwrap();
    edit_item(&rig.source(), "posts", stays, |post| post["title"] = json!("New")).unwrap();
    edit_item(&rig.target(), "posts", stays, |post| post["_state"] = json!(0)).unwrap();
    let_the_second_pass();
    let third = rig.run(&arguments).expect_code(0);
    assert_eq!((third.count("created"), third.count("updated")), (0, 1));
    assert_eq!(read_item(&rig.target(), "posts", leaves).unwrap().unwrap()["_state"], 1);
    let there = read_item(&rig.target(), "posts", stays).unwrap().unwrap();
    assert_eq!((there["title"].as_str(), there["_state"].as_i64()), (Some("New"), Some(1)));
}

#[test]
fn a_filter_that_cannot_be_read_is_a_usage_error_that_names_the_operator() {
    let mut rig = Rig::new(&small());
    let wrong = rig.run(&["push", "target", "--filter", r#"{"sections": {"$elemMatch": {"n": 1}}}"#]);
    assert_eq!(wrong.code, 2, "{wrong:#?}");
    for word in ["$elemMatch", "at sections", "$exists"] {
        assert!(wrong.stdout.contains(word), "{wrong:#?}");
    }
    for (option, value, words) in [
        ("--modified-since", "some day", "7 days ago"),
        ("--state", "draft", "unpublished"),
        ("--max-file-size", "big", "10MiB"),
        ("--max-rate", "fast", "5MiB/s"),
        ("--preset", "nightly", "there are: none"),
        ("--jobs", "nowhere.json", "cannot be read"),
        ("--folders", "Nowhere", "Folder 0"),
    ] {
        let wrong = rig.run(&["push", "target", option, value]);
        assert_eq!(wrong.code, 2, "{option}: {wrong:#?}");
        assert!((wrong.stderr.clone() + &wrong.stdout).contains(words), "{option}: {wrong:#?}");
    }
    for options in [
        &["--models", "posts", "--max-file-size", "1MiB"][..],
        &["--models", "posts", "--folders"],
        &["--resources", "assets", "--filter", "{}"],
        &["--resources", "assets", "--with-assets"],
        &["--resources", "models", "--modified-since", "2026-01-01"],
        &["--all", "--models", "posts"],
    ] {
        let wrong = rig.run(&[&["push", "target"], options].concat());
        assert_eq!(wrong.code, 2, "{options:?}: {wrong:#?}");
    }
    assert_eq!(rig.commits("target"), 0);
}

#[test]
fn states_and_times_narrow_content_and_times_narrow_assets_too() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let unpublished = ids_where(&rig.source(), POSTS, |post| post["_state"] == 0);
    let push = rig.run(&[
        "push",
        "target",
        "--models",
        "posts",
        "--state",
        "unpublished",
        "--resources",
        "models,content,assets",
    ]);
    assert_eq!(push.expect_code(0).json()["resources"]["content"]["posts"]["created"], unpublished.len());
    assert_eq!(all_ids(&rig.target(), POSTS), unpublished);

    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let (post, asset) = (all_ids(&rig.source(), POSTS)[3].clone(), all_ids(&rig.source(), "assets")[2].clone());
    edit_item(&rig.source(), "posts", &post, |post| (post["title"], post["_modified"]) = (json!("x"), json!(now)))
        .unwrap();
    edit_document(&rig.source(), "assets", &asset, |row| (row["title"], row["_modified"]) = (json!("x"), json!(now)))
        .unwrap();
    let old = |root: &Path, id: &str| read_item(root, "posts", id).unwrap().unwrap()["_modified"].as_u64().unwrap();
    assert!(old(&rig.source(), &unpublished[0]) + 60 < now, "the instance was made just now");
    let since = (now - 30).to_string();
    let push = rig.run(&["push", "target", "--modified-since", &since]).expect_code(0);
    let resources = &push.json()["resources"];
    assert_eq!(
        resources["content"]["posts"],
        json!({"created": 1, "updated": 0, "unchanged": 0, "deleted": 0, "held": 0})
    );
    assert_eq!(resources["assets"]["assets"]["updated"], 1);
    assert_eq!(read_document(&rig.target(), "assets", &asset).unwrap().unwrap()["title"], "x");
}

#[test]
fn assets_are_narrowed_by_folder_file_and_size() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let folders = all_ids(&rig.source(), "assets/folders");
    let document = |id: &str| read_document(&rig.source(), "assets/folders", id).unwrap().unwrap();
    let child = folders.iter().find(|id| document(id)["_p"] != "").unwrap();
    let parent = document(child)["_p"].as_str().unwrap().to_owned();
    let name = document(child)["name"].as_str().unwrap().to_owned();
    let below: Vec<&String> = folders.iter().filter(|id| *id == child || document(id)["_p"] == **child).collect();
    let in_it = ids_where(&rig.source(), "assets", |asset| below.iter().any(|id| asset["folder"] == **id));
    rig.run(&["push", "target", "--resources", "assets", "--folders", &name]).expect_code(0);
    assert_eq!(all_ids(&rig.target(), "assets"), in_it);
    assert!(all_ids(&rig.target(), "assets/folders").contains(&parent), "a folder came without what it is in");
    assert!(all_ids(&rig.target(), "assets/folders").len() < folders.len());

    let one = all_ids(&rig.source(), "assets").into_iter().find(|id| !in_it.contains(id)).unwrap();
    rig.run(&["push", "target", "--resources", "assets", "--files", &one]).expect_code(0);
    assert_eq!(all_ids(&rig.target(), "assets").len(), in_it.len() + 1);

    rig.run(&["push", "target", "--resources", "assets", "--folders"]).expect_code(0);
    assert_eq!(all_ids(&rig.target(), "assets/folders"), folders);
    assert_eq!(all_ids(&rig.target(), "assets").len(), in_it.len() + 1, "files came with the folders alone");

    let small = ids_where(&rig.source(), "assets", |asset| asset["size"].as_u64().unwrap() <= 2048);
    rig.add_empty("other");
    rig.start_worker();
    rig.run(&["push", "other", "--resources", "assets", "--max-file-size", "2KiB"]).expect_code(0);
    assert_eq!(all_ids(&rig.root("other"), "assets"), small);
    assert!(!small.is_empty() && small.len() < all_ids(&rig.source(), "assets").len());
}

#[test]
fn a_job_file_and_a_preset_say_the_same_as_options() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let jobs = json!([
        {"name": "assets", "syncSettings": {"skipLargeFiles": false}},
        {"name": "content", "syncSettings": {"models": ["posts"], "filter": {"featured": true}, "batchSize": 100}},
        {"name": "content", "syncSettings": {"models": ["pagestree"], "locales": true}},
    ]);
    std::fs::write(rig.folder.path().join("jobs.json"), jobs.to_string()).unwrap();
    let push = rig.run(&["push", "target", "--jobs", "jobs.json"]).expect_code(0);
    let featured = ids_where(&rig.source(), POSTS, |post| post["featured"] == true);
    assert_eq!(all_ids(&rig.target(), POSTS), featured);
    assert_eq!(all_ids(&rig.target(), TREE), all_ids(&rig.source(), TREE));
    assert_eq!((Count::of(&rig.target()).authors, Count::of(&rig.target()).models), (0, 2));
    assert_eq!(push.json()["verified"], true);
    let beside = rig.run(&["push", "target", "--jobs", "jobs.json", "--models", "posts"]);
    assert_eq!(beside.code, 2);
    beside.says(&["--jobs"]);

    rig.add_empty("other");
    rig.start_worker();
    let config = rig.config();
    let preset = "[preset.featured]\nresources = ['assets', 'models', 'content']\nmodels = ['posts']\nbatch-size = 100\n\
                  filter = { featured = true }\n[preset.wrong]\nmodel = ['posts']\n";
    let text = std::fs::read_to_string(&config).unwrap() + preset;
    let with_presets = rig.folder.path().join("presets.toml");
    std::fs::write(&with_presets, text).unwrap();
    rig.run_with(&with_presets, &["push", "other", "--preset", "featured"]).expect_code(0);
    assert_eq!(all_ids(&rig.root("other"), POSTS), featured);
    let wrong = rig.run_with(&with_presets, &["push", "other", "--preset", "wrong"]);
    assert_eq!(wrong.code, 2);
    wrong.says(&["preset.wrong", "model"]);
}

#[test]
fn a_retry_keeps_to_what_was_chosen() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let arguments =
        ["push", "target", "--resources", "assets,models,content", "--files", "--filter", r#"{"rating": 5}"#];
    rig.run(&arguments).expect_code(0);
    let (posts, folders) = (all_ids(&rig.target(), POSTS), all_ids(&rig.target(), "assets/folders"));
    assert!(!posts.is_empty() && folders.is_empty());
    rig.run(&["retry", "last"]).expect_code(0);
    assert_eq!((all_ids(&rig.target(), POSTS), all_ids(&rig.target(), "assets/folders")), (posts, folders));
}

#[test]
fn the_assets_that_chosen_documents_embed_come_with_them_once() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let mut expected = Vec::new();
    for id in ids_where(&rig.source(), POSTS, |post| post["featured"] == true) {
        embedded(&read_document(&rig.source(), POSTS, &id).unwrap().unwrap(), &mut expected);
    }
    expected.sort();
    expected.dedup();
    let folder_of = |id: &String| {
        read_document(&rig.source(), "assets", id).unwrap().unwrap()["folder"].as_str().unwrap().to_owned()
    };
    let folders: Vec<String> = expected.iter().map(folder_of).filter(|folder| !folder.is_empty()).collect();
    let arguments = [
        "push",
        "target",
        "--models",
        "posts",
        "--filter",
        r#"{"featured": true}"#,
        "--with-assets",
        "--batch-size",
        "3",
    ];
    let push = rig.run(&arguments).expect_code(0);
    assert_eq!(all_ids(&rig.target(), "assets"), expected);
    let there = all_ids(&rig.target(), "assets/folders");
    assert!(folders.iter().all(|folder| there.contains(folder)), "{folders:?} in {there:?}");
    let resources = &push.json()["resources"];
    assert_eq!(resources["assets"]["assets"]["created"], expected.len(), "an asset counts twice");
    assert_eq!((push.json()["verified"].as_bool(), push.count("held")), (Some(true), 0));

    let commits = rig.commits("target");
    let again = rig.run(&arguments).expect_code(0);
    assert_eq!(again.json()["resources"]["assets"]["assets"]["unchanged"], expected.len());
    assert_eq!(rig.commits("target"), commits);

    // Beside other assets, those that come anyway are not counted twice.
    edit_document(&rig.source(), "assets", &expected[0], |asset| asset["title"] = json!("New")).unwrap();
    let small: Vec<&str> = ["--resources", "models,content,assets", "--max-file-size", "2KiB"].into();
    let both = rig.run(&[&arguments[..], &small].concat()).expect_code(0);
    let assets = &both.json()["resources"]["assets"]["assets"];
    let are_small = ids_where(&rig.source(), "assets", |asset| asset["size"].as_u64().unwrap() <= 2048);
    let total = are_small.iter().chain(&expected).collect::<std::collections::BTreeSet<_>>().len();
    let counted: u64 = ["created", "updated", "unchanged"].iter().map(|name| assets[name].as_u64().unwrap()).sum();
    assert_eq!((assets["updated"].as_u64(), counted), (Some(1), total as u64), "{assets}");
}
