//! Mirrors: what only the target has is deleted, and nothing else; what is doubtful is not touched at all (I6).

use std::path::{Path, PathBuf};

use instances::{
    Copies, Rules, Shape, change, compare_by, corrupt_row, delete_document, delete_item, edit_item, ids,
    insert_document, read_document, read_item, replace_asset_file,
};
use protocol::collection::Collection;
use protocol::job::{Batch, Job, Rows};
use serde_json::json;

use crate::stray_jobs::{add, turn_of_target};
use crate::support::{Act, Output, Rig, documents_in, let_the_second_pass, small, wait_until};

mod property;

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

/// An id that no instance has.
fn new_id(number: usize) -> String {
    format!("f{number:023x}")
}

/// A copy of the first document there is, under another id.
fn add_document(root: &Path, collection: &str, number: usize) -> String {
    let first = ids(root, collection).unwrap().remove(0);
    let mut document = read_document(root, collection, &first).unwrap().unwrap();
    document["_id"] = json!(new_id(number));
    insert_document(root, collection, &document).unwrap();
    new_id(number)
}

/// An asset with a file of its own.
fn add_asset(root: &Path, number: usize) -> (String, PathBuf) {
    let first = ids(root, "assets").unwrap().remove(0);
    let mut asset = read_document(root, "assets", &first).unwrap().unwrap();
    let uploads = instances::uploads(root);
    let old = uploads.join(&asset["path"].as_str().unwrap()[1..]);
    let path = format!("/2026/only-here_uid_{number:013x}.png");
    std::fs::create_dir_all(uploads.join("2026")).unwrap();
    std::fs::copy(old, uploads.join(&path[1..])).unwrap();
    asset["_id"] = json!(new_id(number));
    asset["path"] = json!(path);
    insert_document(root, "assets", &asset).unwrap();
    (new_id(number), uploads.join(&path[1..]))
}

/// A copy of an instance, to be compared with what becomes of it.
struct Before {
    copy: tempfile::TempDir,
}

impl Before {
    fn of(root: &Path) -> Self {
        let copy = tempfile::tempdir().unwrap();
        for part in ["storage/data", "storage/content", "storage/uploads"] {
            std::fs::create_dir_all(copy.path().join(part).parent().unwrap()).unwrap();
            let mut command = std::process::Command::new("cp");
            command.arg("-a").arg(root.join(part)).arg(copy.path().join(part));
            assert!(command.status().unwrap().success());
        }
        Self { copy }
    }

    /// Every field of every document, every file, every model is what it was.
    #[track_caller]
    fn assert_unchanged(&self, root: &Path) {
        let rules = Rules { ignored: Vec::new(), refreshed_copies: false };
        let comparison = compare_by(self.copy.path(), root, &rules).unwrap();
        assert!(comparison.is_equal(), "{comparison}");
    }
}

#[track_caller]
fn assert_refused(rig: &mut Rig, before: &Before, more: &[&str], words: &[&str]) {
    let commits = rig.commits("target");
    let refused = mirror_with(rig, more).expect_code(4);
    assert_eq!(refused.error().0, "refused");
    refused.says(words);
    before.assert_unchanged(&rig.target());
    assert_eq!(rig.commits("target"), commits);
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
fn beyond_its_guards_a_mirror_is_refused_and_leaves_the_target_untouched() {
    let mut rig = equal_instances();
    // Something to write, too: nothing of it may land.
    change(&rig.source(), 5.0, 3).unwrap();
    for number in 0..3 {
        add_document(&rig.target(), POSTS, number);
    }
    let before = Before::of(&rig.target());
    assert_refused(&mut rig, &before, &["--max-delete", "2"], &["posts: 3 of 603", "--max-delete 3"]);
    assert_refused(&mut rig, &before, &["--max-delete", "0%"], &["posts"]);

    // A source that lost most of its posts, all of its authors, a row, a table.
    for id in &ids(&rig.source(), POSTS).unwrap()[..301] {
        delete_item(&rig.source(), "posts", id).unwrap();
    }
    assert_refused(&mut rig, &before, &[], &["posts", "at the last sync it had 600", "--allow-shrunk"]);
    assert_refused(&mut rig, &before, &["--max-delete", "100%"], &["--allow-shrunk"]);
    assert_refused(&mut rig, &before, &["--allow-shrunk"], &["posts: 304 of 603", "--max-delete 304"]);
    let authors = ids(&rig.source(), "content/collections/authors").unwrap();
    let last = read_item(&rig.source(), "authors", &authors[0]).unwrap().unwrap();
    for id in &authors {
        delete_item(&rig.source(), "authors", id).unwrap();
    }
    let allowed = ["--max-delete", "100%", "--allow-shrunk"];
    assert_refused(&mut rig, &before, &["--max-delete", "100%"], &["authors", "the source is empty"]);
    insert_document(&rig.source(), "content/collections/authors", &last).unwrap();
    let row = corrupt_row(&rig.source(), "content/collections/authors", &authors[0]).unwrap();
    assert_refused(&mut rig, &before, &allowed, &["authors", &format!("row {row}")]);
    let content = rusqlite::Connection::open(instances::data_file(&rig.source(), "content.sqlite")).unwrap();
    content.execute_batch("DROP TABLE collections_authors").unwrap();
    drop(content);
    assert_refused(&mut rig, &before, &allowed, &["authors", "table"]);

    // What is proven and allowed goes.
    insert_document(&rig.source(), "content/collections/authors", &last).unwrap();
    let allowed = mirror_with(&mut rig, &allowed).expect_code(0);
    assert_eq!(allowed.count("deleted"), 304 + authors.len() as u64 - 1);
    rig.assert_equal();
}

#[test]
fn the_agents_own_config_limits_what_a_mirror_deletes() {
    let mut rig = equal_instances();
    add_document(&rig.target(), POSTS, 1);
    add_document(&rig.target(), POSTS, 2);
    let before = Before::of(&rig.target());
    let config = rig.folder.path().join("agent.toml");
    for (text, words) in [("delete = false", "delete = false"), ("max_delete = 1", "max_delete")] {
        std::fs::write(&config, format!("[agent]\n{text}\n")).unwrap();
        rig.agent("target").kill();
        rig.start_agent_with("target", &["--config", config.to_str().unwrap()]);
        assert_refused(&mut rig, &before, &["--max-delete", "100%"], &[words]);
    }
}

#[test]
fn a_protected_target_takes_its_name() {
    let mut rig = equal_instances();
    add_document(&rig.target(), POSTS, 1);
    let before = Before::of(&rig.target());
    let protected = |rig: &mut Rig, command: &[&str]| {
        let config = rig.config_with("protected", &[]);
        let text = std::fs::read_to_string(&config).unwrap();
        let text = text.replace("[instance.target]\n", "[instance.target]\nprotect = true\n");
        std::fs::write(&config, text).unwrap();
        rig.run_with(&config, command)
    };
    protected(&mut rig, MIRROR).expect_code(4).says(&["target is protected", "--yes-i-mean target"]);
    protected(&mut rig, &[MIRROR, &["--yes-i-mean", "tarhet"]].concat()).expect_code(4).says(&["tarhet"]);
    before.assert_unchanged(&rig.target());
    // A merge deletes nothing, so it asks for nothing.
    protected(&mut rig, &["push", "target"]).expect_code(0);
    let meant = protected(&mut rig, &[MIRROR, &["--yes-i-mean", "target"]].concat()).expect_code(0);
    assert_eq!(meant.count("deleted"), 1);
    protected(&mut rig, &["retry", "last"]).expect_code(4).says(&["--yes-i-mean target"]);
    let again = protected(&mut rig, &["retry", "last", "--yes-i-mean", "target"]).expect_code(0);
    assert_eq!(again.count("deleted"), 0);
    rig.assert_equal();
}

#[test]
fn a_job_file_that_mirrors_content_leaves_assets_alone() {
    let mut rig = equal_instances();
    add_document(&rig.target(), POSTS, 1);
    let (asset, _) = add_asset(&rig.target(), 2);
    let jobs = rig.folder.path().join("jobs.json");
    let text = r#"[{"name": "content", "syncSettings": {"syncAll": true, "mirror": true}}, {"name": "assets"}]"#;
    std::fs::write(&jobs, text).unwrap();
    let run = rig.run(&["push", "target", "--jobs", jobs.to_str().unwrap()]).expect_code(0);
    assert_eq!(run.count("deleted"), 1);
    assert!(read_document(&rig.target(), "assets", &asset).unwrap().is_some());
}

#[test]
fn a_plan_names_what_a_mirror_would_delete_and_apply_deletes_it() {
    let mut rig = equal_instances();
    let extra = add_document(&rig.target(), POSTS, 1);
    change(&rig.source(), 1.0, 8).unwrap();
    let before = Before::of(&rig.target());
    let plan = rig.run(&["plan", "push", "target", "--mirror", "-o", "plan.json"]).expect_code(0).json();
    before.assert_unchanged(&rig.target());
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
fn options_of_a_mirror_without_one_are_usage_errors() {
    let mut rig = Rig::new(&small());
    for options in [["--max-delete", "5"], ["--max-delete", "x"], ["--max-delete", "101%"]] {
        assert_eq!(rig.run(&[&["push", "target"], &options[..]].concat()).code, 2, "{options:?}");
    }
    assert_eq!(rig.run(&["push", "target", "--allow-shrunk"]).code, 2);
    assert_eq!(mirror_with(&mut rig, &["--max-delete", "101%"]).code, 2);
    assert_eq!(documents_in(&rig.target()), 0);
}

#[test]
fn what_is_not_in_its_scope_stays() {
    let mut rig = equal_instances();
    let target = rig.target();
    add_document(&target, POSTS, 1);
    let author = add_document(&target, "content/collections/authors", 2);
    let (asset, file) = add_asset(&target, 3);
    insert_document(&target, "content/singletons", &json!({"_model": "elsewhere", "_id": new_id(4)})).unwrap();
    let locale = json!({"i18n": "fr", "name": "Français", "enabled": true, "meta": {}, "_id": new_id(5)});
    insert_document(&target, "system/locales", &locale).unwrap();
    let narrowed = mirror_with(&mut rig, &["--models", "posts"]).expect_code(0);
    assert_eq!(narrowed.count("deleted"), 1);
    assert_eq!(narrowed.json()["resources"]["content"]["posts"]["deleted"], 1);
    assert!(read_item(&target, "authors", &author).unwrap().is_some());

    let narrowed = mirror_with(&mut rig, &["--resources", "content"]).expect_code(0);
    assert_eq!(narrowed.count("deleted"), 1, "the author");
    assert!(read_document(&target, "assets", &asset).unwrap().is_some() && file.exists());

    let whole = mirror(&mut rig).expect_code(0);
    assert_eq!(whole.count("deleted"), 1, "the asset");
    // Never locales, and nothing of a model that the source does not know.
    assert!(read_document(&target, "content/singletons", "elsewhere").unwrap().is_some());
    assert!(read_document(&target, "system/locales", &new_id(5)).unwrap().is_some());
}

#[test]
fn what_a_filter_leaves_out_stays_on_whichever_side() {
    let mut rig = equal_instances();
    let set = |root: &Path, id: &str, state: i64| {
        edit_item(root, "posts", id, |post| {
            post["_state"] = json!(state);
            post["_modified"] = json!(1_700_000_000);
        })
        .unwrap();
    };
    let common = ids(&rig.source(), POSTS).unwrap()[0].clone();
    set(&rig.source(), &common, 0);
    set(&rig.target(), &common, 1);
    let (hidden, shown) = (add_document(&rig.target(), POSTS, 1), add_document(&rig.target(), POSTS, 2));
    set(&rig.target(), &hidden, 0);
    set(&rig.target(), &shown, 1);
    let run = mirror_with(&mut rig, &["--models", "posts", "--filter", r#"{"_state": 1}"#]).expect_code(0);
    assert_eq!(run.count("deleted"), 1, "{run:#?}");
    let left = [&common, &hidden, &shown].map(|id| read_item(&rig.target(), "posts", id).unwrap().is_some());
    assert_eq!(left, [true, true, false]);
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

#[test]
fn a_file_goes_when_its_asset_got_another_one_unless_something_mentions_it() {
    let mut rig = equal_instances();
    let assets = ids(&rig.source(), "assets").unwrap();
    let file = |rig: &Rig, id: &str| {
        let path = read_document(&rig.target(), "assets", id).unwrap().unwrap()["path"].as_str().unwrap().to_owned();
        instances::uploads(&rig.target()).join(&path[1..])
    };
    let (plain, mentioned) = (file(&rig, &assets[0]), file(&rig, &assets[1]));
    // Text of a model that is out of scope is a reason all the same.
    let text = format!("see /storage/uploads/{}", mentioned.file_name().unwrap().to_str().unwrap());
    insert_document(&rig.target(), "content/collections/elsewhere", &json!({"text": text, "_id": "a"})).unwrap();
    for (id, bytes) in assets.iter().zip([b"other bytes", b"more bytes!"]) {
        replace_asset_file(&rig.source(), id, bytes, Copies::Rewritten).unwrap();
    }
    let run = mirror(&mut rig).expect_code(0);
    assert_eq!(run.json()["resources"]["assets"]["assets"]["updated"], 2);
    assert_eq!((plain.exists(), mentioned.exists()), (false, true));
    let notes = rig.run(&["show", "last", "--held"]).expect_code(0).stdout;
    assert!(notes.contains(mentioned.file_name().unwrap().to_str().unwrap()), "{notes}");
}

#[test]
fn an_asset_that_something_out_of_scope_uses_is_held_with_its_file() {
    let mut rig = equal_instances();
    let (asset, file) = add_asset(&rig.target(), 1);
    insert_document(&rig.target(), "content/collections/elsewhere", &json!({"image": asset, "_id": "a"})).unwrap();
    let run = mirror(&mut rig).expect_code(3);
    assert_eq!((run.count("deleted"), run.count("held")), (0, 1));
    assert!(read_document(&rig.target(), "assets", &asset).unwrap().is_some() && file.exists());
    let notes = rig.run(&["show", "last", "--held"]).json()["notes"].clone();
    assert_eq!((notes[0]["cause"].as_str(), notes[0]["identity"].as_str()), (Some("in_use"), Some(&*asset)), "{notes}");
}

/// "You have none of these, and I am sure of it", as an agent would write it.
const NONE_OF_THESE: &[u8] = b"\x83\xa6absent\x91\xb86b02ce5c686c82d24f3c2927\xa8unproven\xc0\xa5count\x01";

fn faults() -> Vec<(&'static str, Act)> {
    vec![
        ("an error", Act::Answer("500 Internal Server Error", "", "")),
        ("not found", Act::Answer("404 Not Found", "", "")),
        ("an empty body", Act::Answer("200 OK", "Content-Type: application/msgpack", "")),
        ("something else", Act::Answer("200 OK", "Content-Type: application/json", "{\"absent\":[]}")),
        ("half an answer", Act::BreakAnswer(120)),
        ("no answer", Act::Break),
        ("an answer nobody signed", Act::Forge(NONE_OF_THESE)),
        ("a bit changed", Act::GarbleAnswer),
    ]
}

#[test]
fn a_source_that_answers_with_errors_halves_or_nothing_never_leads_to_a_delete() {
    let mut rig = equal_instances();
    rig.worker(0).kill();
    let proxy = rig.proxy("source");
    let config = rig.config_with("through", &[("source", &proxy.address())]);
    rig.start_worker_with(&config, &[]);
    for (number, (fault, act)) in faults().into_iter().enumerate() {
        let extra = add_document(&rig.target(), POSTS, number);
        // When the list is made, and when it is asked again before the delete.
        let first = proxy.count("absent") + number % 2;
        proxy.set(move |request| {
            let is_hit = request.call == "absent" && (first..first + 2).contains(&request.before);
            if is_hit { act.clone() } else { Act::Pass }
        });
        let run = mirror(&mut rig);
        assert_eq!((run.code, run.count("deleted"), run.count("held")), (0, 1, 0), "{fault}: {run:#?}");
        assert!(proxy.count("absent") >= first + 3, "{fault} was not met twice");
        assert!(read_item(&rig.target(), "posts", &extra).unwrap().is_none());
        let comparison = instances::compare(&rig.source(), &rig.target()).unwrap();
        assert!(comparison.is_equal(), "{fault}: {comparison}");
    }
}

#[test]
fn as_long_as_the_source_does_not_answer_soundly_nothing_is_deleted() {
    let mut rig = equal_instances();
    rig.worker(0).kill();
    let proxy = rig.proxy("source");
    let config = rig.config_with("through", &[("source", &proxy.address())]);
    rig.start_worker_with(&config, &[]);
    add_document(&rig.target(), POSTS, 1);
    let before = Before::of(&rig.target());
    for call in ["absent", "summary", "list"] {
        let asked = proxy.count(call);
        // Every answer is cut off, says nothing or is forged, in turns.
        proxy.set(move |request| match (request.call == call, request.before % 3) {
            (false, _) => Act::Pass,
            (true, 0) => Act::BreakAnswer(100),
            (true, 1) => Act::Answer("200 OK", "Content-Type: application/msgpack", ""),
            (true, _) => Act::Forge(NONE_OF_THESE),
        });
        if call == "list" {
            // The source is not listed for what is deleted, only for what is written.
            change(&rig.source(), 1.0, 9).unwrap();
        }
        let run = rig.spawn(MIRROR);
        wait_until("the source was asked again and again", || proxy.count(call) >= asked + 4);
        rig.run(&["cancel", "target"]).expect_code(0);
        run.wait().expect_code(6);
        before.assert_unchanged(&rig.target());
    }
}

#[test]
fn what_an_editor_does_on_the_target_during_a_mirror_stays() {
    let mut rig = equal_instances();
    rig.worker(0).kill();
    let extras: Vec<String> = (0..4).map(|number| add_document(&rig.target(), POSTS, number)).collect();
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &[]);
    // The list is made and decided; nothing is deleted yet.
    let gate = proxy.hold("mirror/delete", 0);
    let run = rig.spawn(MIRROR);
    gate.wait_for(1);
    edit_item(&rig.target(), "posts", &extras[0], |post| post["title"] = json!("The editor's")).unwrap();
    edit_item(&rig.target(), "posts", &extras[1], |post| post["_modified"] = json!(1_700_000_000)).unwrap();
    delete_item(&rig.target(), "posts", &extras[2]).unwrap();
    let new = add_document(&rig.target(), POSTS, 10);
    gate.open();
    let run = run.wait().expect_code(3);

    assert_eq!((run.count("deleted"), run.count("held")), (1, 2), "{run:#?}");
    assert_eq!(read_item(&rig.target(), "posts", &extras[0]).unwrap().unwrap()["title"], "The editor's");
    let left = extras.iter().map(|id| read_item(&rig.target(), "posts", id).unwrap().is_some()).collect::<Vec<_>>();
    assert_eq!(left, [true, true, false, false]);
    assert!(read_item(&rig.target(), "posts", &new).unwrap().is_some());
    let notes = rig.run(&["show", "last", "--held"]).json()["notes"].clone();
    let contended = notes.as_array().unwrap().iter().filter(|note| note["cause"] == "contended").count();
    assert_eq!((contended, run.json()["edited_meanwhile"].as_u64()), (2, Some(2)), "{notes:#}");

    let_the_second_pass();
    assert_eq!(mirror(&mut rig).expect_code(0).count("deleted"), 3);
    rig.assert_equal();
}

#[test]
fn what_comes_to_the_source_during_a_mirror_is_not_deleted_on_the_target() {
    let mut rig = equal_instances();
    rig.worker(0).kill();
    let (kept, gone) = (add_document(&rig.target(), POSTS, 1), add_document(&rig.target(), POSTS, 2));
    let deleted_at_source = ids(&rig.source(), POSTS).unwrap()[5].clone();
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &[]);
    let gate = proxy.hold("mirror/candidates", 0);
    let run = rig.spawn(MIRROR);
    gate.wait_for(1);
    let document = read_item(&rig.target(), "posts", &kept).unwrap().unwrap();
    insert_document(&rig.source(), POSTS, &document).unwrap();
    // What vanishes at the source after the list was made is the next run's business.
    delete_item(&rig.source(), "posts", &deleted_at_source).unwrap();
    gate.open();
    let run = run.wait().expect_code(0);
    assert_eq!((run.count("deleted"), run.count("held")), (1, 0), "{run:#?}");
    assert!(read_item(&rig.target(), "posts", &kept).unwrap().is_some());
    assert!(read_item(&rig.target(), "posts", &gone).unwrap().is_none());
    assert_eq!(run.json()["edited_meanwhile"].as_u64(), Some(1));
    assert_eq!(mirror(&mut rig).expect_code(0).count("deleted"), 1);
    rig.assert_equal();
}

#[test]
fn a_worker_killed_while_it_deletes_leaves_nothing_undone_and_nothing_counted_twice() {
    let mut rig = equal_instances();
    rig.worker(0).kill();
    // Two pages, of which the first is deleted when the worker dies.
    for number in 0..520 {
        add_document(&rig.target(), POSTS, number);
    }
    let proxy = rig.proxy("target");
    let doomed = rig.start_worker_through(&proxy, &["--concurrency", "1"]);
    let gate = proxy.hold("mirror/delete", 1);
    let run = rig.spawn(&[MIRROR, &["--max-delete", "50%"]].concat());
    gate.wait_for(1);
    rig.worker(doomed).kill();
    rig.start_worker();
    let run = run.wait().expect_code(0);
    assert_eq!((run.count("deleted"), run.count("held")), (520, 0), "{run:#?}");
    rig.assert_equal();
    // What the dead one had sent arrives late: the grant it was sent under is closed.
    gate.open();
    assert!(gate.answers().iter().all(|status| *status == 409), "{:?}", gate.answers());
}

#[test]
fn nothing_is_deleted_of_a_model_of_which_a_job_failed_for_good() {
    let mut rig = equal_instances();
    rig.worker(0).kill();
    let extra = add_document(&rig.target(), POSTS, 1);
    let author = add_document(&rig.target(), "content/collections/authors", 2);
    change(&rig.source(), 5.0, 4).unwrap();
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &["--concurrency", "16"]);
    let gate = proxy.hold_posts(0);
    let run = rig.spawn(MIRROR);
    gate.wait_for(1);
    // A row (there is none of this number) over which eight workers died.
    let rows = Rows::Range { from: 999_999, to: Some(999_999) };
    let batch = Job::Batch(Batch { collection: Collection::Items("posts".into()), rows, fresh: false });
    let (_, turn) = turn_of_target(&rig.redis);
    let content = 7;
    let job = [format!("row\n{content}\nbatch\n0\n8\n").as_bytes(), &batch.encode()].concat();
    add(&rig.redis, &turn, &job);
    wait_until("it is dead", || !rig.run(&["dead", "list", "target"]).json().as_array().unwrap().is_empty());
    gate.open();
    let run = run.wait().expect_code(3);
    assert_eq!((run.json()["state"].as_str(), run.count("deleted")), (Some("finished_held"), 1), "{run:#?}");
    assert!(read_item(&rig.target(), "posts", &extra).unwrap().is_some());
    assert!(read_item(&rig.target(), "authors", &author).unwrap().is_none());
    let notes = rig.run(&["show", "last", "--held"]).expect_code(0).stdout;
    assert!(notes.contains("failed for good: nothing of it was deleted"), "{notes}");
}
