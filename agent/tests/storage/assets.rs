//! Copies of assets within documents, and rows whose files must be there.

use protocol::api::*;
use protocol::collection::Collection;

use crate::support::*;

/// The first post with a copy of an asset, and the asset.
pub fn embedding(instance: &Instance) -> (String, String) {
    for id in &instance.made().posts {
        let post = instances::read_item(&instance.root, "posts", id).unwrap().unwrap();
        if let Some(asset) = post["image"]["_id"].as_str() {
            return (id.clone(), asset.to_owned());
        }
    }
    panic!("no post embeds an asset")
}

#[test]
fn an_asset_replaced_on_the_source_changes_the_documents_that_embed_it() {
    for copies in [instances::Copies::LeftStale, instances::Copies::Rewritten] {
        let source = Instance::small();
        let target = Instance::empty();
        let token = target.grant();
        target.pull_all(&source, &token);
        let (post, asset) = embedding(&source);
        let posts = items("posts");
        let before = source.document(&posts, &post).unwrap().hash;
        replace(&source, &asset, copies);
        let after = source.document(&posts, &post).unwrap();
        assert_ne!(after.hash, before);
        let listed = source.list(&posts).entries.into_iter().find(|entry| entry.identity == post).unwrap();
        assert_eq!(listed.hash, after.hash);
        assert_ne!(source.summary(&posts).summary, target.summary(&posts).summary);
        let outcomes = target.pull_all(&source, &token);
        assert!(outcomes.contains(&WriteOutcome::Updated));
        assert!(outcomes.iter().all(|outcome| *outcome == WriteOutcome::Updated), "{outcomes:?}");
        let row = instances::read_document(&source.root, "assets", &asset).unwrap().unwrap();
        let here = instances::read_item(&target.root, "posts", &post).unwrap().unwrap();
        assert_eq!(here["image"]["path"], row["path"]);
        assert_eq!(target.pull_all(&source, &token), []);
        let differences = target.diff(&posts, &entries_of(&source, &posts));
        assert!(differences.iter().all(|difference| !matches!(difference, Difference::Differs(_) | Difference::Lacks)));
    }
}

#[test]
fn stale_copies_on_the_target_never_look_equal_to_the_same_ones_on_the_source() {
    let source = Instance::small();
    let target = Instance::empty();
    let token = target.grant();
    target.pull_all(&source, &token);
    let (_, asset) = embedding(&source);
    replace(&source, &asset, instances::Copies::LeftStale);
    // Only the assets come over: now both sides hold the same row and the same stale copies.
    target.pull_files(&source, &token);
    target.pull(&source, &token, &Collection::Assets);
    assert_eq!(source.summary(&Collection::Assets).summary, target.summary(&Collection::Assets).summary);
    let posts = items("posts");
    assert_ne!(source.summary(&posts).summary, target.summary(&posts).summary);
    assert!(!target.pull(&source, &token, &posts).is_empty());
    assert_eq!(target.pull(&source, &token, &posts), []);
}

#[test]
fn the_row_of_an_asset_waits_for_its_file() {
    let source = Instance::small();
    let target = Instance::empty();
    let token = target.grant();
    let outcomes = target.pull(&source, &token, &Collection::Assets);
    let is_missing =
        |outcome: &WriteOutcome| matches!(outcome, WriteOutcome::Held { cause: HeldCause::MissingFile, .. });
    assert!(!outcomes.is_empty() && outcomes.iter().all(is_missing), "{outcomes:?}");
    target.pull_files(&source, &token);
    let outcomes = target.pull(&source, &token, &Collection::Assets);
    assert_eq!(outcomes, vec![WriteOutcome::Created; source.made().assets.len()]);
}

#[test]
fn a_file_that_is_not_what_its_row_says_is_held_with_both_hashes() {
    let source = Instance::small();
    let asset = &source.made().assets[0];
    let row = instances::read_document(&source.root, "assets", asset).unwrap().unwrap();
    let path = instances::uploads(&source.root).join(&row["path"].as_str().unwrap()[1..]);
    std::fs::write(&path, "something else").unwrap();
    let states = source.storage.files(&FilesRequest { assets: vec![asset.clone(), "nobody".into()] }).unwrap().files;
    let FileState::Held { cause: HeldCause::MissingFile, message } = &states[0] else { panic!("{states:?}") };
    assert!(message.contains(row["_hash"].as_str().unwrap()), "{message}");
    assert!(matches!(&states[1], FileState::Held { .. }));
}

#[test]
fn a_replaced_asset_drops_the_thumbnails_and_leaves_the_old_file_alone() {
    let source = Instance::small();
    let target = Instance::empty();
    let token = target.grant();
    target.pull_all(&source, &token);
    let (_, asset) = embedding(&source);
    let old_path = instances::read_document(&target.root, "assets", &asset).unwrap().unwrap()["path"].clone();
    let thumbnails = target.root.join("storage/tmp/thumbs");
    std::fs::create_dir_all(&thumbnails).unwrap();
    let thumbnail = thumbnails.join("0123456789abcdef0123456789abcdef_80_thumbnail.webp");
    let bystander = thumbnails.join("index.html");
    std::fs::write(&thumbnail, "x").unwrap();
    std::fs::write(&bystander, "").unwrap();
    assert_eq!(target.pull_all(&source, &token), []);
    assert!(thumbnail.exists());
    replace(&source, &asset, instances::Copies::Rewritten);
    target.pull_all(&source, &token);
    assert!(!thumbnail.exists() && bystander.exists());
    assert!(instances::uploads(&target.root).join(&old_path.as_str().unwrap()[1..]).exists());
}

pub fn replace(instance: &Instance, asset: &str, copies: instances::Copies) {
    instances::replace_asset_file(&instance.root, asset, b"new picture", copies).unwrap();
}
