//! Parts of a collection: their sums, and what is in them.

use protocol::api::*;
use protocol::canonical::CollectionSummary;
use protocol::collection::Collection;
use serde_json::json;

use crate::assets::{embedding, replace};
use crate::support::*;

fn sums(instance: &Instance, parts: u32, as_stored: bool) -> Vec<CollectionSummary> {
    let request = PartsRequest { collection: items("posts"), parts, as_stored };
    let answer = instance.storage.parts(&request).unwrap();
    assert!(answer.complete);
    answer.sums
}

fn listed(instance: &Instance, parts: u32, which: Vec<u32>) -> Vec<Entry> {
    let request = ListPartsRequest { collection: items("posts"), parts, which, from_row: 0 };
    let listing = instance.storage.list_parts(&request).unwrap();
    assert_eq!((listing.complete, listing.next_row), (true, None));
    listing.entries
}

fn sum_of(entries: &[Entry]) -> CollectionSummary {
    let mut sum = CollectionSummary::default();
    entries.iter().for_each(|entry| sum.add(&entry.identity, entry.hash));
    sum
}

fn differing(here: &[CollectionSummary], there: &[CollectionSummary]) -> Vec<u32> {
    (0..).zip(here.iter().zip(there)).filter(|(_, (here, there))| here != there).map(|(part, _)| part).collect()
}

#[test]
fn parts_add_up_to_the_collection_and_each_lists_what_it_sums_up() {
    let instance = Instance::small();
    let posts = items("posts");
    // Of two rows with one identity the first counts.
    let twice = instances::read_item(&instance.root, "posts", &instance.made().posts[3]).unwrap().unwrap();
    instances::insert_document(&instance.root, "content/collections/posts", &twice).unwrap();
    for parts in [1, 2, 7, 64, MAX_PARTS] {
        let sums = sums(&instance, parts, false);
        assert_eq!(sums.len(), parts as usize);
        let mut all = CollectionSummary::default();
        sums.iter().for_each(|sum| all.merge(sum));
        assert_eq!(all, instance.summary(&posts).summary);
        for part in 0..parts.min(64) {
            let entries = listed(&instance, parts, vec![part]);
            assert!(entries.iter().all(|entry| part_of(&entry.identity, parts) == part));
            assert_eq!(sum_of(&entries), sums[part as usize]);
        }
    }
    let all: Vec<u32> = (0..7).collect();
    let identities = |entries: Vec<Entry>| entries.into_iter().map(|entry| entry.identity).collect::<Vec<_>>();
    assert_eq!(identities(listed(&instance, 7, all)), identities(instance.list(&posts).entries));
    assert!(listed(&instance, 7, vec![]).is_empty());
}

#[test]
fn what_cockpit_changes_adds_and_deletes_shows_in_its_part_alone() {
    let instance = Instance::small();
    let before = sums(&instance, 64, false);
    let changed = instance.made().posts[7].clone();
    instances::edit_item(&instance.root, "posts", &changed, |item| item["title"] = json!("edited")).unwrap();
    let after = sums(&instance, 64, false);
    assert_eq!(differing(&before, &after), [part_of(&changed, 64)]);
    let deleted = instance.made().posts[2].clone();
    instances::delete_item(&instance.root, "posts", &deleted).unwrap();
    assert_eq!(differing(&after, &sums(&instance, 64, false)), [part_of(&deleted, 64)]);
    instances::insert_document(&instance.root, "content/collections/posts", &json!({"_id": "new"})).unwrap();
    let entries = listed(&instance, 64, vec![part_of("new", 64)]);
    assert!(entries.iter().any(|entry| entry.identity == "new"));
}

#[test]
fn a_stale_copy_of_an_asset_is_told_from_the_fresh_one_that_would_be_sent() {
    let source = Instance::small();
    let target = Instance::empty();
    let token = target.grant();
    target.pull_all(&source, &token);
    assert_eq!(sums(&source, 64, false), sums(&target, 64, true));
    let (post, asset) = embedding(&source);
    replace(&source, &asset, instances::Copies::LeftStale);
    target.pull_files(&source, &token);
    target.pull(&source, &token, &Collection::Assets);
    // Both hold the same stale copy, and would send the same fresh one. The target lacks it.
    assert_eq!(sums(&source, 64, false), sums(&target, 64, false));
    let lacking = differing(&sums(&source, 64, false), &sums(&target, 64, true));
    assert!(lacking.contains(&part_of(&post, 64)));
    for entry in listed(&source, 64, lacking) {
        let is_same = target.diff(&items("posts"), &[(entry.identity.clone(), entry.hash)]) == [Difference::Same];
        assert!(!is_same || entry.identity != post);
    }
    target.pull(&source, &token, &items("posts"));
    assert_eq!(sums(&source, 64, false), sums(&target, 64, true));
}

#[test]
fn what_cannot_be_cut_and_parts_that_are_not_there_are_refused() {
    let instance = Instance::small();
    let parts = |collection: Collection, parts| {
        instance.storage.parts(&PartsRequest { collection, parts, as_stored: false }).unwrap_err().code
    };
    assert_eq!(parts(items("posts"), 0), ErrorCode::BadRequest);
    assert_eq!(parts(items("posts"), MAX_PARTS + 1), ErrorCode::BadRequest);
    assert_eq!(parts(Collection::Assets, 8), ErrorCode::BadRequest);
    let request = ListPartsRequest { collection: items("posts"), parts: 8, which: vec![8], from_row: 0 };
    assert_eq!(instance.storage.list_parts(&request).unwrap_err().code, ErrorCode::BadRequest);
}
