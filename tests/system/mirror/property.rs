//! Whatever is on both sides: in its scope a mirror makes the target equal, elsewhere it touches nothing, and a second one
//! has nothing to do.

use std::collections::BTreeMap;
use std::path::Path;

use instances::{delete_document, edit_document, ids, insert_document, read_document};
use serde_json::{Value, json};

use super::{MIRROR, add_asset, add_document, new_id};
use crate::support::{Rig, let_the_second_pass, small};

const COLLECTIONS: [&str; 5] = [
    "content/collections/posts",
    "content/collections/authors",
    "content/collections/pagestree",
    "assets",
    "assets/folders",
];
/// Every one of them says what it does when it fails.
const SEEDS: std::ops::Range<u64> = 0..6;

/// The same numbers for the same seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % count
    }
}

/// Every document of an instance, by collection and id, without what a sync sets.
fn documents(root: &Path) -> BTreeMap<(&'static str, String), Value> {
    let mut all = BTreeMap::new();
    for collection in COLLECTIONS {
        for id in ids(root, collection).unwrap() {
            let mut document = read_document(root, collection, &id).unwrap().unwrap();
            document.as_object_mut().unwrap().remove("_modified");
            all.insert((collection, id), document);
        }
    }
    all
}

/// A few documents come, change and go.
fn stir(root: &Path, draw: &mut Draw, first_id: usize) {
    for number in first_id..first_id + 3 + draw.below(5) {
        match draw.below(4) {
            0 => {
                add_asset(root, number);
            }
            1 => {
                let parents = ids(root, "assets/folders").unwrap();
                let parent = &parents[draw.below(parents.len())];
                let folder = json!({"name": number, "_p": parent, "icon": "", "_by": "", "_id": new_id(number)});
                insert_document(root, "assets/folders", &folder).unwrap();
            }
            _ => {
                add_document(root, COLLECTIONS[draw.below(3)], number);
            }
        }
    }
    for collection in &COLLECTIONS[..2] {
        let there = ids(root, collection).unwrap();
        for _ in 0..draw.below(4) {
            let id = &there[draw.below(there.len())];
            edit_document(root, collection, id, |document| document["excerpt"] = json!(draw.below(1000))).unwrap();
        }
        for _ in 0..draw.below(3) {
            delete_document(root, collection, &there[draw.below(there.len())]).unwrap();
        }
    }
}

#[test]
fn whatever_is_on_both_sides_a_mirror_makes_its_scope_equal_and_touches_nothing_else() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.push().expect_code(0);
    for seed in SEEDS {
        let mut draw = Draw(seed);
        let first_id = 1000 * (seed as usize + 1);
        stir(&rig.source(), &mut draw, first_id);
        stir(&rig.target(), &mut draw, first_id + 500);
        let_the_second_pass();
        let scopes: [(&[&str], &[&str]); 4] = [
            (&["--models", "posts"], &COLLECTIONS[..1]),
            (&["--models", "authors,pagestree"], &COLLECTIONS[1..3]),
            (&["--resources", "assets"], &COLLECTIONS[3..]),
            (&[], &COLLECTIONS),
        ];
        for (options, scope) in [scopes[draw.below(3)], scopes[3]] {
            let (source, before) = (documents(&rig.source()), documents(&rig.target()));
            let command = [MIRROR, options].concat();
            let run = rig.run(&command);
            assert!([0, 3].contains(&run.code), "seed {seed}: {run:#?}");
            let after = documents(&rig.target());
            let is_in_scope = |(collection, _): &(&'static str, String)| scope.contains(collection);
            for (key, document) in &before {
                if !is_in_scope(key) {
                    assert_eq!(after.get(key), Some(document), "seed {seed}: {key:?} is out of scope");
                }
            }
            assert!(after.keys().all(|key| is_in_scope(key) || before.contains_key(key)), "seed {seed}");
            // Held is what something out of scope needs: by name.
            let notes = rig.run(&["show", "last", "--held"]).json()["notes"].to_string();
            for key in source.keys().chain(after.keys()).filter(|key| is_in_scope(key)) {
                let is_equal = source.get(key) == after.get(key);
                assert!(is_equal || notes.contains(&key.1), "seed {seed}: {key:?} {notes}");
            }
            let commits = rig.commits("target");
            let again = rig.run(&command);
            assert_eq!((again.count("created"), again.count("updated"), again.count("deleted")), (0, 0, 0), "{seed}");
            assert_eq!(rig.commits("target"), commits, "seed {seed}: the second run committed something");
        }
        rig.assert_equal();
    }
}
