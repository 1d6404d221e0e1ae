//! Undo as a run of its own: what a push overwrote comes back, byte by byte, whoever dies on the way.

use std::path::Path;

use instances::{Copies, Shape, change, delete_item, edit_document, edit_item, read_item, replace_asset_file};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Process, Rig, assert_as_before, cockpit_sync, let_the_second_pass, small, stored, wait_until};

/// Source and target hold the same ids; posts, files and models differ, some are on one side only.
fn different_sides() -> Rig {
    let mut rig = Rig::without_instances();
    let shape = Shape { posts: 300, ..small() };
    let made = instances::make(&rig.source(), &shape).unwrap();
    instances::make(&rig.target(), &shape).unwrap();
    change(&rig.source(), 50.0, 7).unwrap();
    for asset in &made.assets[..3] {
        replace_asset_file(&rig.source(), asset, b"the source's own picture", Copies::Rewritten).unwrap();
    }
    let model = rig.source().join("storage/content/authors.model.php");
    let text = std::fs::read_to_string(&model).unwrap().replace("'label' => '", "'label' => 'New ");
    std::fs::write(&model, text).unwrap();
    for id in &made.posts[..40] {
        delete_item(&rig.target(), "posts", id).unwrap();
    }
    let_the_second_pass();
    rig.start_agent("source");
    rig.start_agent("target");
    rig
}

fn id_of(run: &Value) -> String {
    run["run"].as_str().unwrap().to_owned()
}

#[test]
fn undo_gives_the_target_back_what_a_push_overwrote_and_undo_of_undo_the_push() {
    let mut rig = different_sides();
    rig.start_worker();
    let before = stored(&rig.target());
    let push = rig.push().expect_code(0);
    assert!(push.count("created") >= 40 && push.count("updated") > 100);
    rig.assert_target_has_all();
    let run = id_of(&push.json());

    let after = stored(&rig.target());
    let plan = rig.run(&["undo", &run, "--plan"]).expect_code(0).json();
    assert_eq!(plan["collections"]["content/collections/posts"]["remove"], 40);
    assert_eq!(plan["conflicts"], json!([]));
    assert_as_before(&after, &rig.target());

    let undo = rig.run(&["undo", &run]).expect_code(0);
    assert_eq!(undo.json()["direction"], "undo");
    assert_eq!((undo.json()["verified"].as_bool(), undo.count("held")), (Some(true), 0));
    assert!(undo.count("updated") > 100 && undo.count("deleted") >= 40, "{undo:?}");
    assert_as_before(&before, &rig.target());
    // What is undone has nothing left to undo, and what it did is a run as any other.
    rig.run(&["undo", &run]).expect_code(4).says(&["nothing to undo"]);
    let receipt = rig.run(&["show", &id_of(&undo.json()), "--receipt"]).expect_code(0).json();
    assert_eq!((&receipt["about"]["direction"], &receipt["about"]["options"]["undo"]), (&json!("undo"), &json!(run)));

    let again = rig.run(&["undo", &id_of(&undo.json())]).expect_code(0);
    assert_eq!((again.count("updated"), again.count("created")), (undo.count("updated"), undo.count("deleted")));
    rig.assert_target_has_all();
    let push = rig.push().expect_code(0);
    assert_eq!((push.count("created"), push.count("updated")), (0, 0));
}

#[test]
fn what_was_edited_since_is_held_by_name_and_stays() {
    let mut rig = different_sides();
    rig.start_worker();
    let ids = instances::ids(&rig.source(), "content/collections/posts").unwrap();
    let push = rig.push().expect_code(0);
    for id in &ids[..2] {
        edit_item(&rig.target(), "posts", id, |post| post["title"] = json!("The editor's")).unwrap();
    }
    let undo = rig.run(&["undo", &id_of(&push.json())]).expect_code(3);
    assert_eq!(undo.json()["state"], "finished_held");
    let shown = rig.run(&["show", &id_of(&undo.json()), "--held"]).expect_code(0).json();
    let held: Vec<&str> =
        shown["notes"].as_array().unwrap().iter().filter_map(|note| note["identity"].as_str()).collect();
    for id in &ids[..2] {
        assert!(held.contains(&id.as_str()), "{held:?}");
        assert_eq!(read_item(&rig.target(), "posts", id).unwrap().unwrap()["title"], "The editor's");
    }
    assert_eq!(read_item(&rig.target(), "posts", &ids[3]).unwrap(), None);
}

#[test]
fn an_undo_survives_killed_workers_and_a_killed_agent() {
    let mut rig = different_sides();
    let first = rig.start_worker();
    let before = stored(&rig.target());
    let push = rig.push().expect_code(0);
    let whole = push.count("updated") + push.count("created");
    rig.worker(first).signal(Signal::SIGTERM);
    wait_until("the first worker is gone", || rig.worker(first).ended().is_some());

    let proxy = rig.proxy("target");
    let doomed = rig.start_worker_through(&proxy, &["--concurrency", "1"]);
    let gate = proxy.hold("undo", 3);
    let undo = rig.spawn(&["undo", &id_of(&push.json())]);
    gate.wait_for(1);
    rig.worker(doomed).kill();
    // What it had sent lands all the same, and nobody learns of it.
    gate.open();
    let others = rig.proxy("target");
    let second = others.hold("undo", 2);
    rig.start_worker_through(&others, &["--concurrency", "1"]);
    second.wait_for(1);
    rig.agent("target").kill();
    second.open();
    rig.start_agent("target");
    let undo = undo.wait().expect_code(0);
    assert_eq!(undo.json()["verified"], true);
    assert!(undo.count("updated") + undo.count("deleted") >= whole, "{undo:?}");
    assert_as_before(&before, &rig.target());
}

#[test]
fn a_protected_target_is_undone_only_by_its_name_and_a_run_that_redis_forgot_by_its_agent() {
    let mut rig = different_sides();
    rig.start_worker();
    let before = stored(&rig.target());
    let run = id_of(&rig.push().expect_code(0).json());
    let after = stored(&rig.target());
    let text = std::fs::read_to_string(rig.config()).unwrap();
    let protected = rig.folder.path().join("protected.toml");
    std::fs::write(&protected, text.replace("[instance.target]\n", "[instance.target]\nprotect = true\n")).unwrap();
    rig.redis.flush_all();
    rig.run_with(&protected, &["undo", &run]).expect_code(6);
    rig.run_with(&protected, &["undo", &run, "--target", "target"]).expect_code(4).says(&["--yes-i-mean target"]);
    rig.run_with(&protected, &["undo", &run, "--target", "target", "--yes-i-mean", "source"]).expect_code(4);
    assert_as_before(&after, &rig.target());
    rig.run_with(&protected, &["undo", &run, "--target", "target", "--plan"]).expect_code(0);
    rig.run_with(&protected, &["undo", &run, "--target", "target", "--yes-i-mean", "target"]).expect_code(0);
    assert_as_before(&before, &rig.target());
}

#[test]
fn undo_of_a_pull_needs_no_more_than_two_paths() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("here");
    let shape = Shape { posts: 60, ..small() };
    instances::make(&root, &shape).unwrap();
    instances::make(&folder.path().join("there"), &shape).unwrap();
    change(&folder.path().join("there"), 30.0, 3).unwrap();
    let_the_second_pass();
    let config =
        "local = 'staging'\n[instance.staging]\npath = 'here'\n[instance.production]\npath = 'there'\npull = true\n";
    std::fs::write(folder.path().join("cockpit-sync.toml"), config).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = cockpit_sync();
        command.arg("--json").args(arguments).current_dir(folder.path());
        Process::start(&mut command, folder.path(), arguments[0]).wait()
    };
    let before = stored(&root);
    assert!(run(&["pull", "production"]).expect_code(0).count("updated") > 10);
    let undo = run(&["undo", "last"]).expect_code(0);
    assert_eq!(undo.json()["target"], "staging");
    assert_as_before(&before, &root);
}

#[test]
fn what_cannot_be_kept_is_said_before_the_run_starts_and_undo_says_why_not() {
    let mut rig = different_sides();
    let agent = rig.folder.path().join("agent.toml");
    std::fs::write(&agent, "[agent]\nundo_size = '1KiB'\n").unwrap();
    rig.agent("target").kill();
    rig.start_agent_with("target", &["--config", agent.to_str().unwrap()]);
    rig.start_worker();
    let push = rig.push().expect_code(0);
    assert!(push.stderr.contains("undo_size"), "{}", push.stderr);
    rig.run(&["undo", &id_of(&push.json())]).expect_code(4).says(&["cannot be undone", "undo_size"]);
}

#[test]
fn models_that_are_rows_of_the_database_come_back_as_they_were_and_so_does_what_add_ons_keep() {
    let mut rig = Rig::without_instances();
    let shape = Shape { posts: 60, models_in_database: true, ..small() };
    instances::make(&rig.source(), &shape).unwrap();
    instances::make(&rig.target(), &shape).unwrap();
    let changed = |root: &Path, collection: &str, id: &str, label: &str| {
        edit_document(root, collection, id, |document| document["label"] = json!(label)).unwrap();
    };
    let models = instances::ids(&rig.source(), "content/models").unwrap();
    changed(&rig.source(), "content/models", &models[0], "Changed here");
    let mut new = instances::read_document(&rig.source(), "content/models", &models[0]).unwrap().unwrap();
    (new["name"], new["_id"]) = (json!("news"), json!(format!("{:024x}", 9)));
    instances::insert_document(&rig.source(), "content/models", &new).unwrap();
    for (number, roots) in [(1, [rig.source(), rig.target()].as_slice()), (2, &[rig.source()])] {
        let page = json!({"label": "as it was", "data": {"n": 1e20}, "_modified": 5, "_id": format!("{number:024x}")});
        for root in roots {
            instances::insert_document(root, "pages", &page).unwrap();
        }
    }
    changed(&rig.source(), "pages", &format!("{:024x}", 1), "changed");
    let_the_second_pass();
    rig.start_agent("source");
    rig.start_agent("target");
    rig.start_worker();
    let before = stored(&rig.target());
    let push = rig.push().expect_code(0);
    let resources = push.json()["resources"].clone();
    let pages = &resources["pages"]["pages"];
    assert_eq!((&pages["created"], &pages["updated"]), (&json!(1), &json!(1)), "{resources:#}");
    assert!(before.differences(&stored(&rig.target())).contains("content.sqlite models"), "{resources:#}");
    let undo = rig.run(&["undo", &id_of(&push.json())]).expect_code(0);
    assert_eq!(undo.json()["verified"], true);
    assert_as_before(&before, &rig.target());
    let again = rig.run(&["undo", "last"]).expect_code(0);
    assert_eq!(again.json()["verified"], true);
    rig.assert_target_has_all();
    assert_eq!(rig.run(&["push", "target"]).expect_code(0).count("created"), 0);
}
