//! What a mirror is not about stays, and so does what something else needs.

use std::path::Path;

use instances::{Copies, edit_item, ids, insert_document, read_document, read_item, replace_asset_file};
use serde_json::json;

use super::{POSTS, equal_instances, mirror, mirror_with};
use crate::support::{Rig, add_asset, add_document, new_id};

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
