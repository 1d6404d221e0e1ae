//! What a CMS calls when something was saved.

use instances::{edit_item, read_item};
use serde_json::{Value, json};

use super::Served;
use crate::support::{Rig, let_the_second_pass, small, wait_until};

fn rig() -> Rig {
    let mut rig = Rig::new(&small());
    rig.more_config = "[hook.cockpit]\ntarget = \"target\"\nmodels = [\"posts\", \"settings\"]\n".into();
    rig.start_worker();
    rig.push().expect_code(0);
    rig
}

/// Pushes that hooks made.
fn pushes(rig: &mut Rig) -> Vec<Value> {
    let runs = rig.run(&["runs", "--limit", "100"]).expect_code(0).json();
    let of_hook = |run: &&Value| run["started_by"] == "hook cockpit";
    runs.as_array().unwrap().iter().filter(of_hook).cloned().collect()
}

fn save(rig: &Rig, id: &str, title: &str) {
    let_the_second_pass();
    edit_item(&rig.source(), "posts", id, |item| item["title"] = title.into()).unwrap();
}

fn title(rig: &Rig, id: &str) -> Value {
    read_item(&rig.target(), "posts", id).unwrap().unwrap()["title"].clone()
}

#[test]
fn many_saves_of_an_item_are_one_push_also_through_two_processes() {
    let mut rig = rig();
    let (one, other) = (Served::start(&mut rig), Served::start(&mut rig));
    let id = instances::ids(&rig.source(), "content/collections/posts").unwrap()[0].clone();
    save(&rig, &id, "a new title");
    let body = json!({ "model": "posts", "item": { "_id": id, "title": "whatever" } });
    let first = one.post("/api/hooks/cockpit", &body).expect(202).json();
    assert_eq!(first, json!({ "target": "target", "waits_already": false }));
    for _ in 0..5 {
        assert_eq!(
            other.post("/api/hooks/cockpit", &json!({ "model": "posts", "item": id })).expect(202).json()["waits_already"],
            true
        );
    }
    wait_until("it has come", || title(&rig, &id) == "a new title");
    wait_until("the push is over", || pushes(&mut rig)[0]["state"] == "finished");
    assert_eq!(pushes(&mut rig).len(), 1);

    // A later save is a push of its own.
    save(&rig, &id, "a newer title");
    assert_eq!(other.post("/api/hooks/cockpit", &body).expect(202).json()["waits_already"], false);
    wait_until("it has come", || title(&rig, &id) == "a newer title");
    assert_eq!(pushes(&mut rig).len(), 2);

    one.post("/api/hooks/nobody", &body).expect(404).says(&["[hook.nobody]"]);
    let left_alone = json!({ "model": "authors", "item": "x" });
    assert!(one.post("/api/hooks/cockpit", &left_alone).expect(200).json()["ignored"].is_string());
    one.post("/api/hooks/cockpit", &json!({ "model": "posts", "item": 7 })).expect(400).says(&["item is an id"]);
}

#[test]
fn a_save_that_was_told_is_pushed_although_the_process_that_was_told_dies() {
    let mut rig = rig();
    let id = instances::ids(&rig.source(), "content/collections/posts").unwrap()[0].clone();
    save(&rig, &id, "told to one that died");
    let mut served = Served::start(&mut rig);
    served.post("/api/hooks/cockpit", &json!({ "model": "posts", "item": id })).expect(202);
    served.process.kill();
    assert_eq!(pushes(&mut rig).len(), 0, "it was too late to show anything");
    let _again = Served::start(&mut rig);
    wait_until("it has come", || title(&rig, &id) == "told to one that died");
    assert_eq!(pushes(&mut rig).len(), 1);
}
