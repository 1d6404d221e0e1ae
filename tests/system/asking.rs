//! What single items, plans and comparisons can be asked, beyond what every push can be.

use instances::{corrupt_row, edit_item, ids, insert_document, insert_raw, read_document, read_item};
use serde_json::{Value, json};

use crate::support::{Output, Rig, let_the_second_pass, small};

const POSTS: &str = "content/collections/posts";

fn pushed() -> Rig {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.push().expect_code(0);
    rig
}

fn retitle(rig: &Rig, side: &str, id: &str, title: &str) {
    edit_item(&rig.root(side), "posts", id, |post| post["title"] = json!(title)).unwrap();
}

fn title(rig: &Rig, id: &str) -> Value {
    read_item(&rig.target(), "posts", id).unwrap().unwrap()["title"].clone()
}

#[test]
fn an_item_push_takes_the_same_rules_as_any_other() {
    let mut rig = pushed();
    let post = ids(&rig.source(), POSTS).unwrap()[0].clone();
    retitle(&rig, "source", &post, "Here");
    retitle(&rig, "target", &post, "There");
    let_the_second_pass();
    let held = rig.run(&["item", "push", "target", "posts", &post, "--on-conflict", "hold"]).expect_code(3);
    assert_eq!((held.count("held"), title(&rig, &post)), (1, json!("There")));

    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let user = json!({"_id": "6b02f02b686c821ef0c1d19b", "name": "Anna", "user": "anna", "email": "anna@example.com"});
    let meta = json!({"rid": post, "user": user, "sid": "x", "time": now, "_created": now, "_updated": now});
    let option = json!({"key": format!("locked:{post}"), "val": meta, "_id": "6b034a12686c82d07e21d343"});
    insert_document(&rig.target(), "app/options", &option).unwrap();
    rig.run(&["item", "push", "target", "posts", &post]).expect_code(3);
    assert_eq!(title(&rig, &post), "There");
    rig.run(&["item", "push", "target", "posts", &post, "--on-locked", "override", "--accept-schema-changes"])
        .expect_code(0);
    assert_eq!(title(&rig, &post), "Here");
}

#[test]
fn a_plan_foresees_the_assets_that_come_with_documents_and_apply_brings_them() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let file = rig.folder.path().join("plan.json").display().to_string();
    let what = ["--models", "posts,authors", "--with-assets"];
    let plan = rig.run(&[&["plan", "push", "target", "-o", &file], &what[..]].concat()).expect_code(0).json();
    let assets = plan["resources"]["assets"]["assets"]["create"].as_u64().unwrap();
    assert!(assets > 0 && plan["resources"]["assets"]["folders"]["create"].as_u64().unwrap() > 0, "{plan:#}");
    assert_eq!(plan["counts"]["held"], 0);
    let verify = [&["verify", "target"], &what[..]].concat();
    assert_eq!(rig.run(&verify).expect_code(7).json()["resources"]["assets"]["assets"]["missing"], assets);

    let applied = rig.run(&["apply", &file]).expect_code(0);
    assert_eq!(applied.count("created"), plan["counts"]["create"].as_u64().unwrap());
    assert_eq!(applied.json()["resources"]["assets"]["assets"]["created"], assets);
    rig.run(&verify).expect_code(0);
    rig.run(&[&["plan", "push", "target", "--exit-code"], &what[..]].concat()).expect_code(0);

    // What moves in between refuses it, embedded or not.
    let plan = [&["plan", "push", "target", "-o", &file], &what[..]].concat();
    rig.run(&plan).expect_code(0);
    let asset = read_document(&rig.source(), "assets", &ids(&rig.source(), "assets").unwrap()[0]).unwrap().unwrap();
    let id = asset["_id"].as_str().unwrap().to_owned();
    instances::edit_document(&rig.source(), "assets", &id, |asset| asset["title"] = json!("Renamed")).unwrap();
    rig.run(&["apply", &file]).expect_code(4);
}

/// Identities that a plan says will be held, of posts.
fn to_be_held(plan: &Output) -> Vec<String> {
    let json = plan.json();
    let changes = json["changes"].as_array().unwrap().iter();
    let held = changes.filter(|change| change["change"] == "hold" && change["model"] == "posts");
    let mut held: Vec<String> = held
        .map(|change| {
            assert!(!change["held"].as_str().unwrap().is_empty(), "{change}");
            change["identity"].as_str().unwrap().to_owned()
        })
        .collect();
    held.sort();
    held
}

#[test]
fn a_plan_names_what_will_be_held_and_why() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let row = corrupt_row(&rig.source(), POSTS, &ids(&rig.source(), POSTS).unwrap()[3]).unwrap();
    let plan = rig.run(&["plan", "push", "target", "--models", "posts"]).expect_code(0);
    let said = rig.run_for_people(&["plan", "push", "target", "--models", "posts"]).expect_code(0).stdout;
    let push = rig.run(&["push", "target", "--models", "posts"]).expect_code(3);
    let json = plan.json();
    assert_eq!(json["resources"]["content"]["posts"]["held"], push.json()["resources"]["content"]["posts"]["held"]);
    assert_eq!(
        json["resources"]["content"]["posts"]["create"],
        push.json()["resources"]["content"]["posts"]["created"]
    );
    let notes = rig.run(&["show", "last", "--held"]).expect_code(0).json();
    let mut held: Vec<String> =
        notes["notes"].as_array().unwrap().iter().map(|note| note["identity"].as_str().unwrap().into()).collect();
    held.sort();
    assert_eq!(to_be_held(&plan), held);
    assert!(held.len() > 1 && held.contains(&format!("row {row}")), "{held:?}");
    assert!(said.contains("which target lacks") && said.contains("would be held"), "{said}");
}

#[test]
fn a_comparison_can_be_narrowed_as_a_push_can() {
    let mut rig = pushed();
    let posts = ids(&rig.source(), POSTS).unwrap();
    let featured = |id: &&String| read_item(&rig.source(), "posts", id).unwrap().unwrap()["featured"] == json!(true);
    let (featured, other): (Vec<&String>, Vec<&String>) = posts.iter().partition(featured);
    let published = |id: &&&String| read_item(&rig.source(), "posts", id).unwrap().unwrap()["_state"] == json!(1);
    retitle(&rig, "target", other.iter().find(published).unwrap(), "Differs");
    let filter = r#"{"featured": true}"#;
    rig.run(&["verify", "target"]).expect_code(7);
    let found = rig.run(&["verify", "target", "--models", "posts", "--filter", filter]).expect_code(0).json();
    assert_eq!(found["resources"]["content"]["posts"]["same"], featured.len());
    rig.run(&["drift", "target", "--filter", filter]).expect_code(0);
    rig.run(&["verify", "target", "--modified-since", "2020-01-01"]).expect_code(7);
    let in_a_year = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 31_536_000;
    rig.run(&["verify", "target", "--modified-since", &in_a_year.to_string()]).expect_code(0);

    let only_there = json!({"title": "Only there", "featured": true, "_state": 1, "_id": "a".repeat(24)});
    insert_raw(&rig.target(), POSTS, &only_there.to_string()).unwrap();
    rig.run(&["verify", "target", "--filter", filter]).expect_code(0);
    let drift = rig.run(&["drift", "target", "--filter", filter]).expect_code(7);
    assert_eq!(drift.count("extra"), 1);
    rig.run(&["drift", "target", "--models", "posts", "--state", "archived"]).expect_code(0);
    retitle(&rig, "target", featured[0], "Differs");
    assert_eq!(rig.run(&["verify", "target", "--filter", filter]).expect_code(7).count("different"), 1);
}

#[test]
fn what_is_typed_wrong_is_json_where_everything_else_is() {
    let mut rig = Rig::without_instances();
    let wrong = rig.run(&["push", "target", "--no-such-option"]).expect_code(2);
    assert_eq!(wrong.error().0, "usage");
    wrong.says(&["--no-such-option"]);
    assert!(
        rig.run_for_people(&["push", "target", "--no-such-option"]).expect_code(2).stderr.contains("--no-such-option")
    );
    assert!(rig.run(&["push", "--help"]).expect_code(0).stdout.contains("Usage"));
}
