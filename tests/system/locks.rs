//! What an editor has open in Cockpit on the target: left alone, waited for, or written all the same.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::support::{Rig, small};

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
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let user = json!({"_id": "6b02f02b686c821ef0c1d19b", "name": "Anna", "user": "anna", "email": "anna@example.com"});
    let meta = json!({"rid": open, "user": user, "sid": "x", "time": now, "_created": now, "_updated": now});
    let option = json!({"key": format!("locked:{open}"), "val": meta, "_id": "6b034a12686c82d07e21d343"});
    instances::insert_document(&rig.target(), "app/options", &option).unwrap();
    open.clone()
}

fn title(rig: &Rig, id: &str) -> String {
    let post = instances::read_item(&rig.target(), "posts", id).unwrap().unwrap();
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
    instances::delete_document(&rig.target(), "app/options", "6b034a12686c82d07e21d343").unwrap();
    asked.open();
    let push = push.wait().expect_code(0);
    assert_eq!((push.count("updated"), push.count("held")), (2, 0));
    assert_eq!(title(&rig, &open), "Newer");
    rig.assert_target_has_all();
}
