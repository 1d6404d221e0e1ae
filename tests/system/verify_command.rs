//! `verify` and `drift`: they find what differs, name it, say so by their exit code, and write nothing.

use instances::{change, delete_item, edit_item, insert_document, insert_raw};
use serde_json::{Value, json};

use crate::support::{Rig, documents_in, small};

fn named(report: &Value, model: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let named = report["resources"]["content"][model]["named"].as_array().unwrap();
    named.iter().map(|named| (text(&named["identity"]), text(&named["difference"]))).collect()
}

#[test]
fn after_a_push_verify_and_drift_find_nothing() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let documents = documents_in(&rig.source());
    let before = rig.run(&["verify", "target"]).expect_code(7);
    assert_eq!((before.count("missing"), before.count("same")), (documents, 0));
    assert_eq!((&before.json()["verified"], documents_in(&rig.target())), (&json!(false), 0));

    rig.push().expect_code(0);
    let commits = rig.commits("target");
    for command in ["verify", "drift"] {
        let found = rig.run(&[command, "target"]).expect_code(0);
        assert_eq!((found.count("same"), found.count("different"), found.count("extra")), (documents, 0, 0));
        let posts = &found.json()["resources"]["content"]["posts"]["fingerprints"];
        assert_eq!(posts["source"], posts["target"]);
    }
    assert_eq!(rig.commits("target"), commits);
}

#[test]
fn what_differs_is_named_and_more_on_the_target_is_drift_but_verified() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.push().expect_code(0);
    let only_there = json!({"name": "Only there", "_state": 1, "_id": "aaaaaaaaaaaaaaaaaaaaaaaa"});
    insert_document(&rig.target(), "content/collections/authors", &only_there).unwrap();
    let more = rig.run(&["verify", "target"]).expect_code(0);
    assert_eq!(
        (more.count("extra"), &more.json()["verified"], &more.json()["equal"]),
        (1, &json!(true), &json!(false))
    );
    let drift = rig.run(&["drift", "target"]).expect_code(7);
    let told = rig.run(&["events"]).expect_code(0).json_lines().pop().unwrap();
    assert_eq!((&told["event"], &told["target"]["name"]), (&"sync.drift.found".into(), &"target".into()));
    assert_eq!(told["counts"]["extra"], drift.json()["counts"]["extra"]);
    assert_eq!(named(&drift.json(), "authors"), [("aaaaaaaaaaaaaaaaaaaaaaaa".into(), "extra".into())]);

    let posts = instances::ids(&rig.target(), "content/collections/posts").unwrap();
    edit_item(&rig.target(), "posts", &posts[5], |post| post["title"] = json!("Another title")).unwrap();
    delete_item(&rig.target(), "posts", &posts[9]).unwrap();
    let verify = rig.run(&["verify", "target"]).expect_code(7);
    let expected = [(posts[5].clone(), "different".to_owned()), (posts[9].clone(), "missing".to_owned())];
    assert_eq!(named(&verify.json(), "posts"), expected);
    assert_eq!((verify.count("different"), verify.count("missing"), verify.count("extra")), (1, 1, 1));
    // Other models are not looked at when some are named.
    rig.run(&["drift", "target", "--models", "pagestree"]).expect_code(0);
    let said = rig.run_for_people(&["verify", "target", "--models", "posts"]).expect_code(7);
    assert!(said.stdout.contains(&posts[5]) && said.stdout.contains("target is not as source"), "{said:#?}");
}

#[test]
fn an_instance_that_may_not_be_pushed_to_may_be_compared_and_names_are_checked() {
    let mut rig = Rig::new(&small());
    let config = rig.config();
    let text = std::fs::read_to_string(&config).unwrap();
    let look_only = rig.folder.path().join("look-only.toml");
    std::fs::write(&look_only, text.replace("push = true\npull = true\n", "")).unwrap();
    rig.run_with(&look_only, &["drift", "target"]).expect_code(7);
    rig.run(&["verify", "nowhere"]).expect_code(2).says(&["nowhere", "target"]);
    rig.run(&["verify", "source"]).expect_code(2).says(&["local"]);
    rig.agent("target").kill();
    rig.run(&["verify", "target"]).expect_code(5);
}

#[test]
fn what_cannot_be_compared_is_held_and_no_success() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.push().expect_code(0);
    insert_raw(&rig.source(), "content/collections/authors", "{\"name\": ").unwrap();
    let found = rig.run(&["verify", "target"]).expect_code(3);
    assert_eq!((found.count("held"), found.count("different")), (1, 0));
    // And with other differences beside it.
    let changed = change(&rig.source(), 1.0, 3).unwrap().len() as u64;
    let found = rig.run(&["verify", "target"]).expect_code(7);
    assert_eq!((found.count("held"), found.count("different")), (1, changed));
}
