//! What an editor has open in Cockpit on the target: left alone, waited for, or written all the same.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use instances::{close_in_admin, insert_document, read_document, read_item};
use serde_json::json;

use crate::support::{Rig, let_the_second_pass, small};

/// From now on, so for five minutes.
fn open_in_admin(root: &Path, id: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    instances::open_in_admin(root, id, now.cast_signed()).unwrap();
}

/// Pushed once, changed on the source, and one of the changed posts open in the target's admin: its id.
fn with_an_open_post(rig: &mut Rig) -> String {
    let made = instances::make(&rig.source(), &small()).unwrap();
    rig.start_agent("source");
    rig.add_empty("target");
    rig.start_worker();
    rig.push().expect_code(0);
    let [open, other] = [&made.posts[7], &made.posts[8]];
    for id in [open, other] {
        instances::edit_item(&rig.source(), "posts", id, |post| post["title"] = json!("Newer")).unwrap();
    }
    open_in_admin(&rig.target(), open);
    open.clone()
}

fn title(rig: &Rig, id: &str) -> String {
    let post = read_item(&rig.target(), "posts", id).unwrap().unwrap();
    post["title"].as_str().unwrap().to_owned()
}

#[test]
fn a_document_that_an_editor_has_open_is_held_by_name_unless_it_is_to_be_written_all_the_same() {
    let mut rig = Rig::without_instances();
    let open = with_an_open_post(&mut rig);
    let push = rig.push().expect_code(3);
    assert_eq!((push.count("updated"), push.count("held")), (1, 1));
    let notes = rig.run(&["show", "last", "--held"]).expect_code(0).json()["notes"].to_string();
    for named in [&open, "locked", "Anna <anna@example.com> has it open"] {
        assert!(notes.contains(named), "{named} is not in {notes}");
    }
    assert_eq!(push.json()["verified"], true, "what is held is expected to differ");
    assert_ne!(title(&rig, &open), "Newer");

    rig.run(&["push", "target", "--on-locked", "override"]).expect_code(0);
    assert_eq!(title(&rig, &open), "Newer");
    rig.assert_target_has_all();
}

#[test]
fn who_waits_for_an_editor_writes_as_soon_as_the_document_is_closed() {
    let mut rig = Rig::without_instances();
    let open = with_an_open_post(&mut rig);
    let proxy = rig.proxy("target");
    rig.worker(0).kill();
    rig.start_worker_through(&proxy, &[]);
    // The agent has said once that it is locked, and is about to be asked again.
    let asked = proxy.hold_posts(1);
    let push = rig.spawn(&["push", "target", "--on-locked", "wait"]);
    asked.wait_for(1);
    assert_ne!(title(&rig, &open), "Newer");
    close_in_admin(&rig.target(), &open).unwrap();
    asked.open();
    let push = push.wait().expect_code(0);
    assert_eq!((push.count("updated"), push.count("held")), (2, 0));
    assert_eq!(title(&rig, &open), "Newer");
    rig.assert_target_has_all();
}

/// A rig whose target has two authors more than its source; the first is open in the target's admin.
fn with_an_open_author_too_many(rig: &mut Rig) -> [String; 2] {
    instances::make(&rig.source(), &small()).unwrap();
    rig.start_agent("source");
    rig.add_empty("target");
    rig.start_worker();
    rig.push().expect_code(0);
    let more = ["aaaaaaaaaaaaaaaaaaaaaaa1", "aaaaaaaaaaaaaaaaaaaaaaa2"].map(str::to_owned);
    for id in &more {
        let author = json!({"name": "Only there", "_state": 1, "_id": id});
        insert_document(&rig.target(), AUTHORS, &author).unwrap();
    }
    let_the_second_pass();
    open_in_admin(&rig.target(), &more[0]);
    more
}

const AUTHORS: &str = "content/collections/authors";

fn has_author(rig: &Rig, id: &str) -> bool {
    read_document(&rig.target(), AUTHORS, id).unwrap().is_some()
}

#[test]
fn a_mirror_does_not_delete_what_an_editor_has_open_unless_told_to() {
    let mut rig = Rig::without_instances();
    let [open, other] = with_an_open_author_too_many(&mut rig);
    let mirror = rig.run(&["push", "target", "--mirror"]).expect_code(3);
    assert_eq!((mirror.count("deleted"), mirror.count("held")), (1, 1));
    assert_eq!((has_author(&rig, &open), has_author(&rig, &other)), (true, false));
    let notes = rig.run(&["show", "last", "--held"]).expect_code(0).json()["notes"].to_string();
    assert!(notes.contains("locked") && notes.contains("Anna <anna@example.com> has it open"), "{notes}");
    let mirror = rig.run(&["push", "target", "--mirror", "--on-locked", "override"]).expect_code(0);
    assert_eq!(mirror.count("deleted"), 1);
    rig.assert_equal();
}

#[test]
fn a_mirror_that_waits_for_an_editor_deletes_as_soon_as_the_document_is_closed() {
    let mut rig = Rig::without_instances();
    let [open, other] = with_an_open_author_too_many(&mut rig);
    rig.worker(0).kill();
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &[]);
    // The agent has said twice that it is locked: at once, and before the first pause.
    let asked = proxy.hold("mirror/delete", 2);
    let mirror = rig.spawn(&["push", "target", "--mirror", "--on-locked", "wait"]);
    asked.wait_for(1);
    assert_eq!((has_author(&rig, &open), has_author(&rig, &other)), (true, false));
    close_in_admin(&rig.target(), &open).unwrap();
    asked.open();
    let mirror = mirror.wait().expect_code(0);
    assert_eq!((mirror.count("deleted"), mirror.count("held")), (2, 0));
    rig.assert_equal();
}

#[test]
fn an_undo_leaves_waits_for_or_writes_what_an_editor_has_open_as_a_push_does() {
    let mut rig = Rig::without_instances();
    let open = with_an_open_post(&mut rig);
    close_in_admin(&rig.target(), &open).unwrap();
    let before = title(&rig, &open);
    let push = rig.push().expect_code(0).json()["run"].as_str().unwrap().to_owned();
    open_in_admin(&rig.target(), &open);
    let undo = rig.run(&["undo", &push]).expect_code(3);
    assert_eq!((undo.count("updated"), undo.count("held")), (1, 1), "{undo:?}");
    assert_eq!(title(&rig, &open), "Newer");

    rig.worker(0).kill();
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &[]);
    // Posts are put back in one page; the agent has said once that one is locked.
    let asked = proxy.hold("undo", 1);
    let undo = rig.spawn(&["undo", &push, "--on-locked", "wait"]);
    asked.wait_for(1);
    assert_eq!(title(&rig, &open), "Newer");
    close_in_admin(&rig.target(), &open).unwrap();
    asked.open();
    let undo = undo.wait().expect_code(0);
    assert_eq!((undo.count("updated"), undo.count("held")), (1, 0), "{undo:?}");
    assert_eq!(title(&rig, &open), before);

    // And the undo of that undo, whatever is open.
    open_in_admin(&rig.target(), &open);
    let last = undo.json()["run"].as_str().unwrap().to_owned();
    let again = rig.run(&["undo", &last, "--on-locked", "override"]).expect_code(0);
    assert_eq!(again.count("held"), 0);
    assert_eq!(title(&rig, &open), "Newer");
}
