//! What was changed on both sides since they agreed last: found, named, and decided as asked.

use instances::{edit_document, edit_item, ids, insert_document, read_document, read_item};
use serde_json::{Value, json};

use crate::support::{Output, Rig, let_the_second_pass, small};

const POSTS: &str = "content/collections/posts";

/// Both sides agreed once; then one post was changed on both, one only here, one only there.
fn rig_with_a_conflict() -> (Rig, Vec<String>) {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.push().expect_code(0);
    let posts = ids(&rig.source(), POSTS).unwrap();
    edit(&rig, "source", &posts[0], "Here");
    edit(&rig, "target", &posts[0], "There");
    edit(&rig, "source", &posts[1], "Only here");
    edit(&rig, "target", &posts[2], "Only there");
    let_the_second_pass();
    (rig, posts)
}

fn edit(rig: &Rig, side: &str, id: &str, title: &str) {
    edit_item(&rig.root(side), "posts", id, |post| post["title"] = json!(title)).unwrap();
}

fn title(rig: &Rig, id: &str) -> Value {
    read_item(&rig.target(), "posts", id).unwrap().unwrap()["title"].clone()
}

fn conflicts(output: &Output) -> u64 {
    output.json()["conflicts"].as_u64().unwrap()
}

#[test]
fn the_source_wins_unless_told_otherwise_and_what_it_overwrote_is_counted_and_named() {
    let (mut rig, posts) = rig_with_a_conflict();
    let plan = rig.run(&["plan", "push", "target"]).expect_code(0).json();
    assert_eq!((&plan["counts"]["conflicts"], &plan["counts"]["update"]), (&json!(1), &json!(3)));
    let push = rig.push().expect_code(0);
    assert_eq!((conflicts(&push), push.count("updated"), push.count("held")), (1, 3, 0));
    rig.assert_equal();
    let notes = rig.run(&["show", "last", "--held"]).json()["notes"].clone();
    assert_eq!((&notes[0]["note"], &notes[0]["identity"]), (&json!("conflict"), &json!(posts[0])));
    // Now they agree again, on this as well.
    edit(&rig, "source", &posts[0], "Here once more");
    let_the_second_pass();
    let again = rig.push().expect_code(0);
    assert_eq!((conflicts(&again), again.count("updated")), (0, 1));
}

#[test]
fn a_conflict_can_be_held_with_both_versions_named() {
    let (mut rig, posts) = rig_with_a_conflict();
    let push = rig.run(&["push", "target", "--on-conflict", "hold"]).expect_code(3);
    assert_eq!((conflicts(&push), push.count("updated"), push.count("held")), (1, 2, 1));
    assert_eq!((title(&rig, &posts[0]), title(&rig, &posts[2])), (json!("There"), read_title(&rig, &posts[2])));
    let held = rig.run(&["show", "last", "--held"]).json()["notes"][0].clone();
    assert_eq!((&held["cause"], &held["identity"]), (&json!("conflict"), &json!(posts[0])));
    let message = held["message"].as_str().unwrap();
    assert!(message.contains("on the source at 20") && message.contains("on the target at 20"), "{message}");
    // It stays one until somebody decides.
    rig.run(&["push", "target", "--on-conflict", "hold"]).expect_code(3);
    rig.run(&["push", "target", "--on-conflict", "source"]).expect_code(0);
    rig.assert_equal();
}

fn read_title(rig: &Rig, id: &str) -> Value {
    read_item(&rig.source(), "posts", id).unwrap().unwrap()["title"].clone()
}

#[test]
fn the_target_or_the_newest_version_can_be_kept_and_models_can_have_their_own_rule() {
    let (mut rig, posts) = rig_with_a_conflict();
    let kept = rig.run(&["push", "target", "--on-conflict", "target"]).expect_code(0);
    assert_eq!((conflicts(&kept), kept.count("updated"), &kept.json()["verified"]), (1, 2, &json!(true)));
    assert_eq!(title(&rig, &posts[0]), "There");

    let config = rig.config();
    let with = |name: &str, rules: &str| {
        let file = rig.folder.path().join(name);
        std::fs::write(&file, std::fs::read_to_string(&config).unwrap() + rules).unwrap();
        file
    };
    let of_model = with("of-model.toml", "[conflicts]\ndefault = \"source\"\nmodels = { posts = \"hold\" }\n");
    let wrong = with("wrong.toml", "[conflicts]\ndefault = \"coin\"\n");
    rig.run_with(&wrong, &["push", "target"]).expect_code(2).says(&["coin"]);
    rig.run_with(&of_model, &["push", "target"]).expect_code(3);
    assert_eq!(title(&rig, &posts[0]), "There");

    edit_item(&rig.source(), "posts", &posts[0], |post| post["_modified"] = json!(1_700_000_000)).unwrap();
    rig.run_with(&of_model, &["push", "target", "--on-conflict", "newest"]).expect_code(0);
    assert_eq!(title(&rig, &posts[0]), "There");
    edit(&rig, "source", &posts[0], "Newer");
    let_the_second_pass();
    rig.run(&["push", "target", "--on-conflict", "newest"]).expect_code(0);
    assert_eq!(title(&rig, &posts[0]), "Newer");
}

#[test]
fn what_both_agreed_on_outlives_the_index_and_a_restart_of_the_agent() {
    let (mut rig, _) = rig_with_a_conflict();
    rig.agent("target").kill();
    for file in ["index.db", "index.db-wal"] {
        let _gone = std::fs::remove_file(rig.target().join("storage/cockpit-sync").join(file));
    }
    rig.start_agent("target");
    let push = rig.run(&["push", "target", "--on-conflict", "hold"]).expect_code(3);
    assert_eq!((conflicts(&push), push.count("held")), (1, 1));
}

#[test]
fn a_source_that_never_agreed_with_the_target_has_no_conflicts() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    instances::make(&rig.root("twin"), &small()).unwrap();
    rig.start_agent("twin");
    let id = ids(&rig.source(), POSTS).unwrap()[0].clone();
    edit(&rig, "twin", &id, "There");
    edit(&rig, "source", &id, "Here");
    let_the_second_pass();
    // One that knows the twin, too.
    rig.start_worker();
    let push = rig.run(&["push", "twin", "--on-conflict", "hold"]).expect_code(0);
    assert_eq!((conflicts(&push), push.count("updated")), (0, 1));
}

/// What is compared is what would be written: a transform is no change of the target.
#[test]
fn what_a_transform_makes_of_a_document_is_what_both_agree_on() {
    let mut rig = Rig::new(&small());
    rig.more_config = "[transform.content.posts]\nbefore = '.rating = 9 | del(.excerpt)'\n".into();
    rig.start_worker();
    rig.push().expect_code(0);
    let posts = ids(&rig.source(), POSTS).unwrap();
    edit(&rig, "source", &posts[0], "Here");
    edit(&rig, "target", &posts[0], "There");
    edit(&rig, "source", &posts[1], "Only here");
    edit(&rig, "target", &posts[2], "Only there");
    let_the_second_pass();
    let plan = rig.run(&["plan", "push", "target", "--on-conflict", "hold"]).expect_code(0).json();
    assert_eq!((&plan["counts"]["conflicts"], &plan["counts"]["update"]), (&json!(1), &json!(2)));
    let push = rig.run(&["push", "target", "--on-conflict", "hold"]).expect_code(3);
    assert_eq!((conflicts(&push), push.count("updated"), push.count("held")), (1, 2, 1));
    assert_eq!((title(&rig, &posts[0]), title(&rig, &posts[1])), (json!("There"), json!("Only here")));
    let push = rig.run(&["push", "target", "--on-conflict", "source"]).expect_code(0);
    assert_eq!((conflicts(&push), push.count("updated")), (1, 1));
    assert_eq!(title(&rig, &posts[0]), "Here");
}

#[test]
fn documents_of_add_ons_have_conflicts_too_and_what_missing_keys_are_added_to_has_none() {
    const TERMS: &str = "glossary/terms";
    const PROJECTS: &str = "lokalize/projects";
    let mut rig = Rig::new(&small());
    rig.more_config = "[resource.glossary]\ncollections = ['glossary/*']\nid = 'term'\n".into();
    let term = |text: &str, id: &str| json!({"term": text, "means": "at first", "_id": id});
    for (text, id) in [("a", "000000000000000000000001"), ("b", "000000000000000000000002")] {
        insert_document(&rig.source(), TERMS, &term(text, id)).unwrap();
    }
    let project = json!({"name": "web", "keys": {"x": {"en": "X"}}, "_modified": 5, "_id": "000000000000000000000003"});
    insert_document(&rig.source(), PROJECTS, &project).unwrap();
    rig.start_worker();
    let push = ["push", "target", "--resources", "glossary,lokalize", "--missing-keys-only", "--on-conflict", "hold"];
    rig.run(&push).expect_code(0);
    for (side, text) in [("source", "here"), ("target", "there")] {
        let root = rig.root(side);
        edit_document(&root, TERMS, "000000000000000000000001", |term| term["means"] = json!(text)).unwrap();
        edit_document(&root, PROJECTS, "000000000000000000000003", |project| {
            project["keys"][text] = json!({"en": text});
        })
        .unwrap();
    }
    edit_document(&rig.source(), TERMS, "000000000000000000000002", |term| term["means"] = json!("here")).unwrap();
    let_the_second_pass();
    let held = rig.run(&push).expect_code(3);
    assert_eq!((held.count("updated"), held.count("held"), conflicts(&held)), (2, 1, 1), "{:#}", held.json());
    let means = |rig: &Rig, id: &str| read_document(&rig.target(), TERMS, id).unwrap().unwrap()["means"].clone();
    assert_eq!(means(&rig, "000000000000000000000001"), "there");
    assert_eq!(means(&rig, "000000000000000000000002"), "here");
    let keys = read_document(&rig.target(), PROJECTS, "000000000000000000000003").unwrap().unwrap()["keys"].clone();
    assert_eq!((&keys["here"]["en"], &keys["there"]["en"]), (&json!("here"), &json!("there")));
    rig.run(&["push", "target", "--resources", "glossary", "--on-conflict", "source"]).expect_code(0);
    assert_eq!(means(&rig, "000000000000000000000001"), "here");
}
