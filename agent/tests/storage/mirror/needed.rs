//! What something on the target still needs: files and assets that are mentioned, what has something below it.

use std::path::PathBuf;

use instances::{Shape, edit_document, insert_document};
use protocol::api::*;
use protocol::collection::Collection;
use serde_json::json;

use super::{Mirror, outcome};
use crate::support::*;

fn is_in_use(outcome: &DeleteOutcome) -> bool {
    matches!(outcome, DeleteOutcome::Held { cause: HeldCause::InUse, .. })
}

fn file_of(instance: &Instance, asset: &str) -> PathBuf {
    let row = instances::read_document(&instance.root, "assets", asset).unwrap().unwrap();
    instances::uploads(&instance.root).join(&row["path"].as_str().unwrap()[1..])
}

/// Assets that nothing embeds.
fn unused_assets(instance: &Instance) -> Vec<&String> {
    let content = [items("posts"), items("authors"), items("pagestree"), Collection::Singletons];
    let texts: Vec<String> =
        content.iter().flat_map(|collection| raw_rows(&instance.root, collection)).map(|(_, text)| text).collect();
    instance.made().assets.iter().filter(|id| !texts.iter().any(|text| text.contains(id.as_str()))).collect()
}

#[test]
fn an_asset_goes_with_its_file_unless_anything_mentions_it() {
    let target = Instance::of(&Shape { assets: 40, ..Shape::small() });
    let unused = unused_assets(&target);
    let [gone, in_text, in_url, elsewhere, shared, ..] = unused[..] else { panic!("too few assets: {unused:?}") };
    let used = target.made().assets.iter().find(|id| !unused.contains(id)).unwrap();
    let name = |id: &str| file_of(&target, id).file_name().unwrap().to_str().unwrap().to_owned();
    let post = |title: &str, body: String| json!({"title": title, "body": body, "_state": 1, "_id": title});
    let insert = |collection: &str, document| insert_document(&target.root, collection, &document).unwrap();
    insert("content/collections/posts", post("a", format!("an image: asset://{in_text}")));
    insert("content/collections/posts", post("b", format!("<img src=\"/storage/uploads/2026/{}\">", name(in_url))));
    // A table this program knows nothing of.
    insert("someaddon/things", json!({"cover": elsewhere, "_id": "c"}));
    let path = instances::read_document(&target.root, "assets", shared).unwrap().unwrap()["path"].clone();
    insert("assets", json!({"path": path, "title": "the same file", "_id": "d"}));
    // Old versions of documents are no reason to keep anything.
    insert("system/revisions", json!({"_oid": "x", "data": {"image": gone}, "_id": "e"}));

    let all = [gone, in_text, in_url, elsewhere, shared, used];
    let (file, files) = (file_of(&target, gone), all[1..].iter().map(|id| file_of(&target, id)).collect::<Vec<_>>());
    let mirror = Mirror::of(&target, &[Collection::Assets]);
    let outcomes = mirror.run(&Collection::Assets, &all);
    let close = CloseGrant { which: CloseWhich::Run(RUN.into()), reason: "the run is over".into() };
    target.storage.close_grant(&close).unwrap();
    assert_eq!(outcome(&outcomes, gone), &DeleteOutcome::Deleted);
    assert!(!file.exists() && instances::read_document(&target.root, "assets", gone).unwrap().is_none());
    // What it was is kept, so that the run can be undone.
    let receipt = target.storage.receipt(&ReceiptRequest { run: RUN.into() }).unwrap().receipt.unwrap();
    let landed = |name: &str| receipt.collections.get(name).map(|landed| landed.deleted);
    assert_eq!((landed("assets"), landed("assets/files")), (Some(1), Some(1)), "{receipt:?}");
    for (id, file) in all[1..].iter().zip(files) {
        assert!(is_in_use(outcome(&outcomes, id)) && file.exists(), "{id}: {outcomes:?}");
    }
}

#[test]
fn a_file_whose_row_is_gone_already_is_removed_by_the_next_execution() {
    let target = Instance::small();
    let asset = unused_assets(&target)[0].clone();
    let file = file_of(&target, &asset);
    let mirror = Mirror::of(&target, &[Collection::Assets]);
    let bytes = std::fs::read(&file).unwrap();
    mirror.run(&Collection::Assets, &[&asset]);
    // As if the process had died between the row and its file.
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(mirror.delete_listed(&Collection::Assets), [(asset, DeleteOutcome::Deleted)]);
    assert!(!file.exists());
}

#[test]
fn files_that_assets_leave_behind_in_a_mirror_go_unless_something_mentions_them() {
    let target = Instance::small();
    let unused = unused_assets(&target);
    let (plain, mentioned, merged) = (unused[0].clone(), unused[1].clone(), unused[2].clone());
    let give_other_file = |mirror: &Mirror<'_>, id: &str| {
        let seen = target.document(&Collection::Assets, id).unwrap();
        let bytes = format!("other bytes of {id}").into_bytes();
        let facts = facts(&format!("/2026/12/{id}.png"), &bytes);
        target.upload(&mirror.token, &facts, 0, &bytes);
        let place = PlaceFilesRequest { token: mirror.token.clone(), files: vec![facts.clone()] };
        target.storage.place_files(&place).unwrap();
        let mut row = parsed(&seen);
        row["path"] = json!(facts.path);
        row["size"] = json!(facts.size);
        row["_hash"] = json!("");
        let write = document(id, Some(seen.hash), row.to_string().as_bytes());
        let began = target.now() + 10;
        let written = target.write_modified(&mirror.token, &Collection::Assets, began, vec![write]).unwrap();
        assert_eq!(written, [WriteOutcome::Updated]);
    };
    let mirror = Mirror::of(&target, &[Collection::Assets]);
    let files = [&plain, &mentioned, &merged].map(|id| file_of(&target, id));
    // Before the run is known to be a mirror: as in a merge.
    give_other_file(&mirror, &merged);
    mirror.run(&Collection::Assets, &[]);
    give_other_file(&mirror, &plain);
    give_other_file(&mirror, &mentioned);
    let name = files[1].file_name().unwrap().to_str().unwrap();
    insert_document(&target.root, "content/collections/posts", &json!({"body": name, "_id": "a"})).unwrap();
    let tidied = target.storage.tidy_files(&TidyFilesRequest { token: mirror.token.clone() }).unwrap();
    assert_eq!((tidied.deleted, tidied.kept.len()), (1, 1), "{tidied:?}");
    assert_eq!(files.map(|file| file.exists()), [false, true, true]);
}

#[test]
fn a_tree_goes_from_its_leaves_and_what_has_a_child_stays() {
    let target = Instance::small();
    let tree = items("pagestree");
    let node = |id: &str, parent: Option<&str>| {
        let document = json!({"title": id, "_state": 1, "_pid": parent, "_o": 0, "_id": id});
        insert_document(&target.root, &tree.name(), &document).unwrap();
        id.to_owned()
    };
    let (root, leaf) = (node("a-root", None), node("b-below", Some("a-root")));
    let (parent, child) = (node("c-parent", None), node("d-child", Some("c-parent")));
    let mirror = Mirror::of(&target, std::slice::from_ref(&tree));
    let outcomes = mirror.run(&tree, &[&root, &leaf, &parent]);
    assert_eq!(outcome(&outcomes, &leaf), &DeleteOutcome::Deleted);
    assert_eq!(outcome(&outcomes, &root), &DeleteOutcome::Deleted);
    let DeleteOutcome::NotEmpty(message) = outcome(&outcomes, &parent) else { panic!("{outcomes:?}") };
    assert!(message.contains(&child), "{message}");
}

#[test]
fn a_folder_stays_as_long_as_a_folder_or_an_asset_is_in_it() {
    let target = Instance::small();
    let folder = |id: &str, parent: &str| {
        let document = json!({"name": id, "_p": parent, "icon": "", "_by": "", "_id": id});
        insert_document(&target.root, "assets/folders", &document).unwrap();
        id.to_owned()
    };
    let (empty, outer, inner) = (folder("empty", ""), folder("outer", ""), folder("inner", "outer"));
    edit_document(&target.root, "assets", &target.made().assets[0], |asset| asset["folder"] = json!("inner")).unwrap();
    let outcomes = Mirror::of(&target, &[Collection::Folders]).run(&Collection::Folders, &[&empty, &outer, &inner]);
    assert_eq!(outcome(&outcomes, &empty), &DeleteOutcome::Deleted);
    assert!(matches!(outcome(&outcomes, &inner), DeleteOutcome::NotEmpty(_)), "{outcomes:?}");
    assert!(matches!(outcome(&outcomes, &outer), DeleteOutcome::NotEmpty(_)), "{outcomes:?}");
}
