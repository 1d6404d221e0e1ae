//! `plan` says what a run would do and writes nothing; `apply` does exactly that, or nothing.

use std::collections::BTreeMap;

use instances::{Copies, change, edit_item, ids, insert_document, read_item, replace_asset_file};
use serde_json::{Value, json};

use crate::support::{Rig, documents_in, small, wait_until};

const POSTS: &str = "content/collections/posts";
const ADDED: &str = "aaaaaaaaaaaaaaaaaaaaaaaa";

fn total(plan: &Value, name: &str) -> u64 {
    plan["counts"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {plan:#}"))
}

/// Which documents it says become what.
fn changes(plan: &Value) -> BTreeMap<(String, String), String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let changes = plan["changes"].as_array().unwrap().iter();
    changes.map(|one| ((text(&one["model"]), text(&one["identity"])), text(&one["change"]))).collect()
}

fn edit_title(rig: &Rig, name: &str, id: &str, title: &str) {
    edit_item(&rig.root(name), "posts", id, |post| post["title"] = json!(title)).unwrap();
}

/// Pushes, changes a few things on both sides, and keeps a plan for it in `plan.json`.
fn planned(rig: &mut Rig) -> Value {
    rig.push().expect_code(0);
    change(&rig.source(), 1.0, 5).unwrap();
    let more = json!({"name": "One more", "_state": 1, "_id": ADDED});
    insert_document(&rig.source(), "content/collections/authors", &more).unwrap();
    rig.run(&["plan", "push", "target", "-o", "plan.json"]).expect_code(0).json()
}

#[test]
fn a_plan_writes_nothing_and_says_what_the_push_then_does() {
    let mut rig = Rig::new(&small());
    let everything = rig.run(&["plan", "push", "target", "--exit-code"]).expect_code(7).json();
    assert_eq!((total(&everything, "create"), total(&everything, "update")), (documents_in(&rig.source()), 0));
    assert_eq!((documents_in(&rig.target()), rig.commits("target")), (0, 0));

    rig.start_worker();
    let first = rig.push().expect_code(0);
    // Bytes of documents and of files.
    assert_eq!(total(&everything, "bytes"), first.json()["bytes"].as_u64().unwrap());
    let nothing = rig.run(&["plan", "push", "target", "--exit-code"]).expect_code(0).json();
    assert_eq!((total(&nothing, "create"), total(&nothing, "unchanged")), (0, documents_in(&rig.source())));

    change(&rig.source(), 1.0, 5).unwrap();
    let asset = ids(&rig.source(), "assets").unwrap()[0].clone();
    replace_asset_file(&rig.source(), &asset, b"other bytes", Copies::Rewritten).unwrap();
    let (commits, live) = (rig.commits("target"), rig.redis.live_runs());
    let some = rig.run(&["plan", "push", "target"]).expect_code(0).json();
    assert_eq!((rig.commits("target"), rig.redis.live_runs()), (commits, live));
    let push = rig.push().expect_code(0);
    assert_eq!((total(&some, "create"), total(&some, "update")), (push.count("created"), push.count("updated")));
    assert_eq!(total(&some, "bytes"), push.json()["bytes"].as_u64().unwrap());
    assert_eq!(
        some["resources"]["content"]["posts"]["update"],
        push.json()["resources"]["content"]["posts"]["updated"]
    );
    assert_eq!(changes(&some).len() as u64, push.count("created") + push.count("updated"));
}

#[test]
fn a_diff_shows_old_and_new_values_long_texts_by_their_lines_and_locales_by_name() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.push().expect_code(0);
    let id = ids(&rig.source(), POSTS).unwrap()[3].clone();
    let old = read_item(&rig.target(), "posts", &id).unwrap().unwrap();
    edit_item(&rig.source(), "posts", &id, |post| {
        post["title"] = json!("A new title");
        post["title_de"] = json!("Ein neuer Titel");
        post["body"] = json!(format!("{}\na line more", post["body"].as_str().unwrap()));
    })
    .unwrap();
    let plan = rig.run(&["plan", "push", "target", "--diff"]).expect_code(0).json();
    let fields = plan["changes"][0]["fields"].as_array().unwrap();
    let names: Vec<(&str, Option<&str>)> =
        fields.iter().map(|field| (field["field"].as_str().unwrap(), field["locale"].as_str())).collect();
    assert_eq!(names, [("title", None), ("title", Some("Deutsch")), ("body", None)]);
    assert_eq!((&fields[0]["old"], &fields[0]["new"]), (&old["title"], &json!("A new title")));
    assert!(fields[2]["text"].as_str().unwrap().contains("+a line more"), "{fields:#?}");

    let said = rig.run_for_people(&["plan", "push", "target", "--diff"]).expect_code(0).stdout;
    for words in ["title (Deutsch): ", "\"Ein neuer Titel\"", "+a line more", "nothing was written", &id] {
        assert!(said.contains(words), "{words} is missing: {said}");
    }
}

#[test]
fn apply_does_exactly_what_was_planned_and_then_there_is_nothing_to_do() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let plan = planned(&mut rig);
    let kept: Value = serde_json::from_slice(&std::fs::read(rig.folder.path().join("plan.json")).unwrap()).unwrap();
    assert_eq!(kept, plan);
    let applied = rig.run(&["apply", "plan.json"]).expect_code(0);
    assert_eq!(applied.count("created"), total(&plan, "create"));
    assert_eq!(applied.count("updated"), total(&plan, "update"));
    assert_eq!(applied.count("unchanged"), total(&plan, "unchanged"));
    assert_eq!(applied.json()["bytes"], plan["counts"]["bytes"]);
    rig.assert_equal();
    rig.run(&["plan", "push", "target", "--exit-code"]).expect_code(0);
    // The same plan again: the target is not what it was.
    rig.run(&["apply", "plan.json"]).expect_code(4).says(&["target", "new plan"]);
    rig.run(&["retry", "last"]).expect_code(4).says(&["carried out a plan"]);
}

#[test]
fn a_plan_whose_source_or_target_has_moved_is_refused_with_nothing_written() {
    for side in ["source", "target"] {
        let mut rig = Rig::new(&small());
        rig.start_worker();
        planned(&mut rig);
        let id = ids(&rig.root(side), POSTS).unwrap()[40].clone();
        edit_title(&rig, side, &id, "Moved");
        let commits = rig.commits("target");
        rig.run(&["apply", "plan.json"]).expect_code(4).says(&[side, POSTS, "new plan"]);
        assert_eq!(rig.commits("target"), commits);
    }
}

#[test]
fn what_moves_while_the_run_of_a_plan_waits_in_line_refuses_it_too() {
    let mut rig = Rig::new(&small());
    let worker = rig.start_worker();
    planned(&mut rig);
    let commits = rig.commits("target");
    rig.worker(worker).kill();
    let apply = rig.spawn(&["apply", "plan.json"]);
    wait_until("the run is there", || !rig.redis.live_runs().is_empty());
    let id = ids(&rig.target(), POSTS).unwrap()[40].clone();
    edit_title(&rig, "target", &id, "Moved");
    rig.start_worker();
    let ended = apply.wait().expect_code(4);
    assert_eq!(ended.json()["state"], "failed");
    ended.says(&["target is not what it was"]);
    assert_eq!(rig.commits("target"), commits);
}

#[test]
fn what_changes_on_either_side_after_the_first_look_is_held_and_not_written() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.push().expect_code(0);
    let changed = change(&rig.source(), 1.0, 5).unwrap();
    rig.run(&["plan", "push", "target", "-o", "plan.json"]).expect_code(0);
    rig.worker(0).kill();
    let proxy = rig.proxy("target");
    let gate = proxy.hold("diff", 0);
    rig.start_worker_through(&proxy, &[]);
    let apply = rig.spawn(&["apply", "plan.json"]);
    gate.wait_for(1);
    edit_title(&rig, "source", &changed[0], "Saved on the source");
    edit_title(&rig, "target", &changed[1], "Saved on the target");
    let new = json!({"title": "New meanwhile", "_state": 1, "_id": ADDED});
    insert_document(&rig.source(), POSTS, &new).unwrap();
    gate.open();
    let applied = apply.wait().expect_code(3);
    let notes = rig.run(&["show", "last", "--held"]).json()["notes"].clone();
    assert_eq!((applied.count("updated"), applied.count("created")), (changed.len() as u64 - 2, 0), "{notes:#}");
    for id in [&changed[0], &changed[1]] {
        assert!(notes.to_string().contains(id.as_str()), "{id} is not named: {notes:#}");
    }
    let title = |id: &str| read_item(&rig.target(), "posts", id).unwrap().map(|post| post["title"].clone());
    assert_ne!(title(&changed[0]), Some(json!("Saved on the source")));
    assert_eq!(title(&changed[1]), Some(json!("Saved on the target")));
    assert_eq!(title(ADDED), None);
}

#[test]
fn a_file_that_is_no_plan_of_this_version_and_these_instances_is_a_clear_error() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let plan = planned(&mut rig);
    let mut try_with = |name: &str, text: String, words: &[&str]| {
        std::fs::write(rig.folder.path().join(name), text).unwrap();
        rig.run(&["apply", name]).expect_code(2).says(&[&[name], words].concat());
    };
    let text = plan.to_string();
    try_with("cut-off.json", text[..text.len() / 2].to_owned(), &["cut off"]);
    try_with("other.json", "{\"a\": 1}".into(), &["is no plan"]);
    let version = format!("\"version\":\"{}\"", env!("CARGO_PKG_VERSION"));
    try_with("older.json", text.replacen(&version, "\"version\":\"0.0.9\"", 1), &["0.0.9", "new plan"]);
    rig.run(&["apply", "nowhere.json"]).expect_code(2).says(&["nowhere.json"]);

    rig.agent("target").kill();
    std::fs::remove_dir_all(rig.target()).unwrap();
    rig.add_empty("target");
    rig.run(&["apply", "plan.json"]).expect_code(2).says(&["target", "another instance"]);
    assert_eq!(documents_in(&rig.target()), 0);
}
