//! What the source says it does not have, and when it is not believed.

use instances::{delete_document, edit_document};
use protocol::api::*;
use protocol::collection::Collection;
use serde_json::json;

use crate::support::*;

fn absent(source: &Instance, collection: &Collection, identities: &[&String]) -> Absent {
    let identities = identities.iter().map(|identity| (*identity).clone()).collect();
    source.storage.absent(&AbsentRequest { collection: collection.clone(), identities }).unwrap()
}

#[test]
fn a_source_that_has_no_table_or_a_row_it_cannot_read_proves_nothing() {
    let source = Instance::small();
    let (posts, known) = (items("posts"), source.made().posts[0].clone());
    let unknown = "ffffffffffffffffffffffff".to_owned();
    let answer = absent(&source, &posts, &[&known, &unknown]);
    assert_eq!((answer.absent, answer.unproven, answer.count), (vec![unknown.clone()], None, 60));

    // What the row that is broken now was called, nobody can tell: it may be any of those that are not found.
    instances::corrupt_row(&source.root, "content/collections/posts", &known).unwrap();
    let answer = absent(&source, &posts, &[&known]);
    assert!(answer.unproven.is_some_and(|reason| reason.contains("row 1")));

    let empty = Instance::empty();
    let answer = absent(&empty, &posts, &[&known]);
    assert!(answer.unproven.is_some(), "it has no such model");
    let answer = absent(&empty, &Collection::Assets, &[&known]);
    assert!(answer.unproven.is_some_and(|reason| reason.contains("table")));
}

#[test]
fn an_id_that_came_into_a_row_by_other_hands_than_cockpits_is_not_absent() {
    let source = Instance::small();
    let (posts, id) = (items("posts"), source.made().posts[0].clone());
    assert_eq!(absent(&source, &posts, &[&id]).absent, Vec::<String>::new());
    let renamed = "eeeeeeeeeeeeeeeeeeeeeeee".to_owned();
    edit_document(&source.root, "content/collections/posts", &id, |post| post["_id"] = json!(renamed)).unwrap();
    assert_eq!(absent(&source, &posts, &[&id, &renamed]).absent, [id]);
}

#[test]
fn what_was_read_for_a_mirror_is_known_as_well_as_what_was_listed() {
    let source = Instance::small();
    let (posts, assets) = (items("posts"), source.made().assets.clone());
    let rows = raw_rows(&source.root, &posts);
    let (asset, text) = assets
        .iter()
        .find_map(|id| Some((id, &rows.iter().find(|(_, text)| text.contains(id.as_str()))?.1)))
        .expect("a post embeds an asset");
    let post: serde_json::Value = serde_json::from_str(text).unwrap();
    let id = post["_id"].as_str().unwrap().to_owned();
    let before = source.document(&posts, &id).unwrap();
    edit_document(&source.root, &posts.name(), &id, |post| post["title"] = json!("saved anew")).unwrap();
    absent(&source, &posts, &[&id]);
    let saved = source.document(&posts, &id).unwrap();
    edit_document(&source.root, "assets", asset, |asset| asset["title"] = json!("another title")).unwrap();
    // The copy in the post is refreshed when it is listed: that it has one was not forgotten.
    let listed = entries_of(&source, &posts).into_iter().find(|(own, _)| *own == id).unwrap();
    assert_ne!(saved.hash, before.hash);
    assert_ne!(listed.1, saved.hash);
}

#[test]
fn singletons_of_models_that_the_source_does_not_know_are_no_business_of_it() {
    let source = Instance::small();
    let (known, unknown) = (source.made().singletons[0].clone(), "banner".to_owned());
    delete_document(&source.root, "content/singletons", &known).unwrap();
    assert_eq!(absent(&source, &Collection::Singletons, &[&known, &unknown]).absent, [known]);
}
