//! Single items, with what they refer to.

use std::path::Path;

use instances::{edit_item, read_document, read_item};
use serde_json::{Value, json};

use crate::support::{Rig, embedded, small, wait_until};

const POSTS: &str = "content/collections/posts";
const AUTHORS: &str = "content/collections/authors";
const TREE: &str = "content/collections/pagestree";

fn ids(root: &Path, collection: &str) -> Vec<String> {
    let mut ids = instances::ids(root, collection).unwrap();
    ids.sort();
    ids
}

fn document(root: &Path, collection: &str, id: &str) -> Value {
    read_document(root, collection, id).unwrap().unwrap()
}

/// A target that has the definitions, and nothing else.
fn rig_with_models() -> Rig {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.run(&["push", "target", "--resources", "locales,models"]).expect_code(0);
    rig
}

fn post_with_picture(rig: &Rig) -> String {
    let has_picture = |id: &&String| !document(&rig.source(), POSTS, id)["image"].is_null();
    ids(&rig.source(), POSTS).iter().find(has_picture).unwrap().clone()
}

#[test]
fn an_item_comes_with_its_assets_and_their_folders_and_nothing_else() {
    let mut rig = rig_with_models();
    let id = post_with_picture(&rig);
    let without = rig.run(&["item", "push", "target", "posts", &id]);
    assert_eq!((without.code, without.count("held")), (3, 1), "a post came without its picture: {without:#?}");

    let push = rig.run(&["item", "push", "target", "posts", &id, "--with-assets"]).expect_code(0);
    assert_eq!(push.json()["verified"], true);
    assert_eq!(ids(&rig.target(), POSTS), std::slice::from_ref(&id));
    let mut assets = Vec::new();
    embedded(&document(&rig.source(), POSTS, &id), &mut assets);
    assets.sort();
    assets.dedup();
    assert_eq!(ids(&rig.target(), "assets"), assets);
    for asset in &assets {
        let row = document(&rig.source(), "assets", asset);
        let path = row["path"].as_str().unwrap().trim_start_matches('/');
        assert!(rig.target().join("storage/uploads").join(path).exists(), "{path} did not come");
        let folder = row["folder"].as_str().unwrap();
        assert!(folder.is_empty() || ids(&rig.target(), "assets/folders").contains(&folder.to_owned()));
    }
    let events = rig.run(&["events", "--since", "0"]).json_lines();
    let pushed = events.iter().filter(|event| event["event"] == "sync.item.pushed");
    assert!(pushed.clone().any(|event| event["items"] == json!([id])), "{events:#?}");

    let again = rig.run(&["item", "push", "target", "posts", &id, "--with-assets"]).expect_code(0);
    assert_eq!((again.count("created"), again.count("updated")), (0, 0));
    edit_item(&rig.source(), "posts", &id, |post| post["title"] = json!("New")).unwrap();
    let again = rig.run(&["item", "push", "target", "posts", &id]).expect_code(0);
    assert_eq!((again.count("created"), again.count("updated")), (0, 1));
    assert_eq!(read_item(&rig.target(), "posts", &id).unwrap().unwrap()["title"], "New");
}

#[test]
fn links_are_followed_as_deep_as_asked_and_cycles_end() {
    let mut rig = rig_with_models();
    let posts = ids(&rig.source(), POSTS);
    let authors = ids(&rig.source(), AUTHORS);
    let link = |model: &str, id: &str| json!({"_model": model, "_id": id});
    // a -> b -> c -> a, and c -> an author.
    let [a, b, c] = [&posts[0], &posts[1], &posts[2]];
    for (from, to, author) in [(a, b, Value::Null), (b, c, Value::Null), (c, a, link("authors", &authors[0]))] {
        edit_item(&rig.source(), "posts", from, |post| {
            post["related"] = json!([link("posts", to)]);
            (post["author"], post["image"], post["sections"]) = (author, Value::Null, json!([]));
        })
        .unwrap();
    }
    let sorted = |ids: &[&String]| {
        let mut ids: Vec<String> = ids.iter().map(|id| (*id).clone()).collect();
        ids.sort();
        ids
    };
    rig.run(&["item", "push", "target", "posts", a, "--with-links", "1"]).expect_code(0);
    assert_eq!(ids(&rig.target(), POSTS), sorted(&[a, b]));
    let all = rig.run(&["item", "push", "target", "posts", a, "--with-links", "9", "--with-assets"]).expect_code(0);
    assert_eq!(ids(&rig.target(), POSTS), sorted(&[a, b, c]));
    assert_eq!(ids(&rig.target(), AUTHORS), authors[..1]);
    assert_eq!(all.json()["resources"]["content"]["posts"]["unchanged"], 2);
    let stages = all.json()["stages"].clone();
    let stage = |name: &str| stages.as_array().unwrap().iter().position(|stage| stage["name"] == name);
    assert!(stage("links") < stage("content"), "{stages}");
}

#[test]
fn whatever_is_referred_to_and_is_not_there_is_named_at_once() {
    let mut rig = rig_with_models();
    let id = post_with_picture(&rig);
    edit_item(&rig.source(), "posts", &id, |post| {
        post["author"] = json!({"_model": "authors", "_id": "no-such-author"});
        post["related"] = json!([{"_model": "posts", "_id": "no-such-post"}, {"_model": "gone", "_id": "x"}]);
        post["image"]["_id"] = json!("no-such-asset");
    })
    .unwrap();
    let commits = rig.commits("target");
    let push = rig.run(&["item", "push", "target", "posts", &id, "also-missing", "--with-assets", "--with-links", "1"]);
    assert_eq!(push.code, 2, "{push:#?}");
    push.says(&["no-such-author", "no-such-post", "no-such-asset", "gone", "also-missing", "author of posts"]);
    assert_eq!(rig.commits("target"), commits);
    for (arguments, words) in [
        (&["item", "push", "target", "nothing", "x"][..], "posts"),
        (&["item", "push", "target", "posts"], "ids"),
        (&["item", "push", "target", "settings", "x"], "singleton"),
    ] {
        let wrong = rig.run(arguments);
        assert_eq!(wrong.code, 2, "{wrong:#?}");
        wrong.says(&[words]);
    }
}

#[test]
fn tree_items_come_below_their_parents_and_singletons_by_their_model() {
    let mut rig = rig_with_models();
    let source = rig.source();
    let parent_of = |id: &str| document(&source, TREE, id)["_pid"].as_str().map(str::to_owned);
    let tree = ids(&source, TREE);
    let deep = tree.iter().find(|id| parent_of(id).is_some_and(|parent| parent_of(&parent).is_some())).unwrap();
    let mut expected = vec![deep.clone()];
    while let Some(parent) = parent_of(expected.last().unwrap()) {
        expected.push(parent);
    }
    expected.sort();
    rig.run(&["item", "push", "target", "pagestree", deep]).expect_code(0);
    assert_eq!(ids(&rig.target(), TREE), expected);
    rig.run(&["item", "push", "target", "settings", "--with-assets"]).expect_code(0);
    assert_eq!(instances::ids(&rig.target(), "content/singletons").unwrap().len(), 1);

    let other = ids(&source, AUTHORS)[0].clone();
    edit_item(&rig.target(), "pagestree", deep, |page| page["title"] = json!("There")).unwrap();
    let missing = rig.run(&["item", "pull", "target", "authors", &other]);
    assert_eq!(missing.code, 2, "{missing:#?}");
    rig.run(&["item", "pull", "target", "pagestree", deep]).expect_code(0);
    assert_eq!(document(&source, TREE, deep)["title"], "There");
}

#[test]
fn an_item_goes_before_a_long_push() {
    let mut rig = rig_with_models();
    let author = ids(&rig.source(), AUTHORS)[0].clone();
    let mut push = rig.spawn(&["push", "target", "--batch-size", "5", "--pause-between-batches", "300ms"]);
    wait_until("the push has begun to bring content", || ids(&rig.target(), POSTS).len() > 10);
    let item = rig.run(&["item", "push", "target", "authors", &author]).expect_code(0);
    assert!(item.json()["state"] == "finished" && push.ended().is_none(), "{item:#?}");
    rig.run(&["cancel", "target"]);
    push.wait();
}

#[test]
fn the_same_item_pushed_twice_while_it_waits_is_one_run() {
    let mut rig = rig_with_models();
    rig.worker(0).kill();
    let posts = ids(&rig.source(), POSTS);
    let mut push = |arguments: &[&str]| {
        let all = [&["item", "push", "target", "posts", posts[1].as_str(), "--detach"], arguments].concat();
        rig.run(&all).expect_code(0).json()["run"].clone()
    };
    let holder = push(&[&posts[3]]);
    let first = push(&[]);
    assert_ne!(first, holder);
    assert_eq!(push(&[]), first);
    assert_ne!(push(&["--with-assets"]), first);
    assert_ne!(push(&[&posts[2]]), first);
}
