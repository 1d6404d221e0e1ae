//! What a run would change in the definitions of models is told before any data moves; what breaks values must be asked for.

use std::path::Path;

use instances::{edit_item, ids, model_file};
use serde_json::{Value, json};

use crate::support::{Rig, small};

/// A definition with a title and a rating, on which each test makes its changes.
fn write_model(root: &Path, fields: &Value) {
    let model = json!({"name": "notes", "label": "Notes", "info": "", "type": "collection", "fields": fields,
        "preview": [], "group": "", "meta": null, "_created": 1_795_345_966, "_modified": 1_795_345_966});
    std::fs::write(root.join("storage/content/notes.model.php"), model_file(&model)).unwrap();
}

fn field(name: &str, kind: &str) -> Value {
    json!({"name": name, "type": kind, "label": "", "info": "", "group": "", "i18n": false, "required": false,
        "multiple": false, "meta": [], "opts": []})
}

/// Both have the model with five notes, three of them with a rating.
fn rig_with_notes() -> Rig {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    write_model(&rig.source(), &json!([field("title", "text"), field("rating", "number")]));
    for number in 0..5 {
        let rating = if number < 3 { json!(number) } else { Value::Null };
        let note = json!({"title": "A note", "rating": rating, "_state": 1, "_id": format!("{number:024x}")});
        instances::insert_document(&rig.source(), "content/collections/notes", &note).unwrap();
    }
    rig.push().expect_code(0);
    rig
}

fn schema(plan: &Value) -> Vec<(String, bool, u64)> {
    let changes = plan["schema"].as_array().unwrap().iter();
    let told = |change: &Value| {
        let name = format!("{} {}", change["field"].as_str().unwrap_or_default(), change["change"].as_str().unwrap());
        (name, change["breaking"].as_bool().unwrap(), change["items"].as_u64().unwrap())
    };
    changes.map(told).collect()
}

#[test]
fn a_breaking_change_of_a_model_is_refused_with_the_items_it_touches_until_it_is_accepted() {
    let mut rig = rig_with_notes();
    write_model(&rig.source(), &json!([field("title", "text"), field("rating", "select"), field("more", "text")]));
    let id = ids(&rig.source(), "content/collections/posts").unwrap()[0].clone();
    edit_item(&rig.source(), "posts", &id, |post| post["title"] = json!("Changed too")).unwrap();
    let plan = rig.run(&["plan", "push", "target", "-o", "plan.json"]).expect_code(0).json();
    let expected = [("rating type_changed".to_owned(), true, 3), ("more field_added".to_owned(), false, 0)];
    assert_eq!(schema(&plan), expected);
    let said = rig.run_for_people(&["plan", "push", "target"]).expect_code(0).stdout;
    assert!(said.contains("from number to select (breaking, 3 items"), "{said}");

    let commits = rig.commits("target");
    let words = ["notes.rating", "number to select", "3 items", "--accept-schema-changes"];
    rig.push().expect_code(4).says(&words);
    rig.run(&["apply", "plan.json"]).expect_code(4).says(&words);
    assert_eq!(rig.commits("target"), commits);
    // Runs that do not bring the definition are not concerned.
    rig.run(&["push", "target", "--models", "authors"]).expect_code(0);

    rig.run(&["apply", "plan.json", "--accept-schema-changes"]).expect_code(0);
    rig.assert_equal();
    assert_eq!(schema(&rig.run(&["plan", "push", "target"]).expect_code(0).json()), []);
}

#[test]
fn an_instance_that_lets_nobody_read_its_content_gives_and_compares_definitions_all_the_same() {
    let mut rig = rig_with_notes();
    let config = rig.folder.path().join("agent.toml");
    std::fs::write(&config, "[agent]\nread_models = []\n").unwrap();
    for (name, kind) in [("target", "select"), ("source", "date")] {
        write_model(&rig.source(), &json!([field("title", "text"), field("rating", kind)]));
        rig.agent(name).kill();
        rig.start_agent_with(name, &["--config", config.to_str().unwrap()]);
        let models = ["push", "target", "--resources", "models"];
        rig.run(&models).expect_code(4).says(&["notes.rating", "3 items", "--accept-schema-changes"]);
        let push = rig.run(&[&models[..], &["--accept-schema-changes"]].concat()).expect_code(0);
        assert_eq!(push.json()["verified"], true, "{push:#?}");
        let definition = std::fs::read_to_string(rig.target().join("storage/content/notes.model.php")).unwrap();
        assert!(definition.contains(&format!("'type' => '{kind}'")), "{definition}");
    }
}

#[test]
fn harmless_changes_and_new_models_need_nobodys_consent() {
    let mut rig = rig_with_notes();
    write_model(&rig.source(), &json!([field("title", "text"), field("rating", "number"), field("more", "text")]));
    let push = rig.push().expect_code(0);
    assert!(push.stderr.contains("notes.more: a field is added (harmless"), "it is not told: {push:#?}");
    rig.assert_equal();
    // A model that only the target has stays, and is no change.
    std::fs::remove_file(rig.source().join("storage/content/notes.model.php")).unwrap();
    assert_eq!(schema(&rig.run(&["plan", "push", "target"]).expect_code(0).json()), []);
    rig.push().expect_code(0);
    assert!(rig.target().join("storage/content/notes.model.php").exists());
}

#[test]
fn accepting_once_is_enough_for_the_retry_of_the_run() {
    let mut rig = rig_with_notes();
    write_model(&rig.source(), &json!([field("title", "text")]));
    rig.push().expect_code(4).says(&["notes.rating: the field is removed", "3 items"]);
    rig.run(&["push", "target", "--accept-schema-changes"]).expect_code(0);
    rig.run(&["retry", "last"]).expect_code(0);
    rig.assert_equal();
}
