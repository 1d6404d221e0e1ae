//! Mirrors: what only the target has is deleted, and nothing else; what is doubtful is not touched at all (I6).

use instances::{Shape, change, delete_document, delete_item, ids, insert_document, read_item};
use serde_json::json;

use crate::support::{
    Output, Rig, add_asset, add_document, assert_as_before, documents_in, let_the_second_pass, new_id, small, stored,
};

mod faults;
mod guards;
mod meanwhile;
mod scope;

const POSTS: &str = "content/collections/posts";
const MIRROR: &[&str] = &["push", "target", "--batch-size", "50", "--mirror"];

fn mirror(rig: &mut Rig) -> Output {
    rig.run(MIRROR)
}

fn mirror_with(rig: &mut Rig, more: &[&str]) -> Output {
    rig.run(&[MIRROR, more].concat())
}

/// Two instances that hold the same, and a worker.
fn equal_instances() -> Rig {
    let mut rig = Rig::new(&Shape { singletons: 2, ..small() });
    rig.start_worker();
    rig.push().expect_code(0);
    let_the_second_pass();
    rig
}

#[test]
fn a_mirror_deletes_what_only_the_target_has_and_a_second_writes_nothing() {
    let mut rig = equal_instances();
    let target = rig.target();
    for number in 0..5 {
        add_document(&target, POSTS, number);
    }
    add_document(&target, "content/collections/authors", 10);
    // A node with two below it, and a folder in a folder with an asset in it.
    let parent = add_document(&target, "content/collections/pagestree", 20);
    for (number, below) in [(21, &parent), (22, &new_id(21))] {
        let node = json!({"title": "below", "_state": 1, "_pid": below, "_o": 0, "_id": new_id(number)});
        insert_document(&target, "content/collections/pagestree", &node).unwrap();
    }
    for (number, parent) in [(30, String::new()), (31, new_id(30))] {
        let folder = json!({"name": "only here", "_p": parent, "icon": "", "_by": "", "_id": new_id(number)});
        insert_document(&target, "assets/folders", &folder).unwrap();
    }
    let (asset, file) = add_asset(&target, 40);
    instances::edit_document(&target, "assets", &asset, |asset| asset["folder"] = json!(new_id(31))).unwrap();
    delete_document(&rig.source(), "content/singletons", "settings2").unwrap();
    delete_item(&rig.source(), "posts", &ids(&rig.source(), POSTS).unwrap()[7].clone()).unwrap();

    let first = mirror(&mut rig).expect_code(0);
    assert_eq!((first.json()["state"].as_str(), first.json()["verified"].as_bool()), (Some("finished"), Some(true)));
    assert_eq!((first.count("created"), first.count("updated"), first.count("held")), (0, 0, 0));
    let resources = &first.json()["resources"];
    let deleted = |resource: &str, model: &str| resources[resource][model]["deleted"].as_u64().unwrap();
    assert_eq!((deleted("content", "posts"), deleted("content", "authors")), (6, 1));
    assert_eq!((deleted("content", "pagestree"), deleted("content", "singletons")), (3, 1));
    assert_eq!((deleted("assets", "assets"), deleted("assets", "folders")), (1, 2));
    assert!(!file.exists());
    rig.assert_equal();
    let events = rig.run(&["events", "--since", "0", "--items"]).json_lines();
    let named = events.iter().filter(|event| event["event"] == "sync.item.deleted");
    assert_eq!(named.count() as u64, first.count("deleted"));

    let commits = rig.commits("target");
    let second = mirror(&mut rig).expect_code(0);
    assert_eq!((second.count("deleted"), second.count("unchanged")), (0, documents_in(&rig.source())));
    assert_eq!(rig.commits("target"), commits, "a mirror with nothing to do committed something");
}

#[test]
fn a_plan_names_what_a_mirror_would_delete_and_apply_deletes_it() {
    let mut rig = equal_instances();
    let extra = add_document(&rig.target(), POSTS, 1);
    change(&rig.source(), 1.0, 8).unwrap();
    let before = stored(&rig.target());
    let plan = rig.run(&["plan", "push", "target", "--mirror", "-o", "plan.json"]).expect_code(0).json();
    assert_as_before(&before, &rig.target());
    let changes = plan["changes"].as_array().unwrap();
    let named: Vec<_> = changes.iter().filter(|one| one["change"] == "delete").map(|one| &one["identity"]).collect();
    assert_eq!((named, plan["counts"]["delete"].as_u64()), (vec![&json!(extra)], Some(1)));

    let config = rig.config_with("protected", &[]);
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[instance.target]\n", "[instance.target]\nprotect = true\n")).unwrap();
    rig.run_with(&config, &["apply", "plan.json"]).expect_code(4).says(&["--yes-i-mean target"]);
    let applied = rig.run_with(&config, &["apply", "plan.json", "--yes-i-mean", "target"]).expect_code(0);
    assert_eq!((applied.count("deleted"), applied.count("updated")), (1, 6));
    rig.assert_equal();
}

#[test]
fn a_pull_mirrors_too() {
    let mut rig = equal_instances();
    let id = add_document(&rig.source(), POSTS, 1);
    let pull = rig.run(&["pull", "target", "--mirror"]).expect_code(0);
    assert_eq!(pull.count("deleted"), 1);
    assert!(read_item(&rig.source(), "posts", &id).unwrap().is_none());
    rig.assert_equal();
}
