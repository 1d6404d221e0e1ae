//! Documents come, change and go on both sides, at random.

use std::path::Path;

use instances::{
    Copies, delete_document, edit_document, edit_item, ids, insert_document, read_document, replace_asset_file,
};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::json;

use crate::support::{Rig, add_asset, add_document, new_id};

pub const POSTS: &str = "content/collections/posts";
pub const AUTHORS: &str = "content/collections/authors";
pub const TREE: &str = "content/collections/pagestree";
pub const SINGLETONS: &str = "content/singletons";
pub const ASSETS: &str = "assets";
pub const FOLDERS: &str = "assets/folders";
pub const PROJECTS: &str = "lokalize/projects";

pub fn stir(rig: &Rig, random: &mut StdRng, seed: u64) {
    let first_id = 1000 * (seed as usize + 1);
    stir_side(&rig.source(), random, first_id);
    stir_side(&rig.target(), random, first_id + 500);
}

fn stir_side(root: &Path, random: &mut StdRng, first_id: usize) {
    for number in first_id..first_id + random.random_range(2..8) {
        match random.random_range(0..5) {
            0 => {
                add_asset(root, number);
            }
            1 => {
                let parents = ids(root, FOLDERS).unwrap();
                let parent = &parents[random.random_range(0..parents.len())];
                let folder = json!({"name": number, "_p": parent, "icon": "", "_by": "", "_id": new_id(number)});
                insert_document(root, FOLDERS, &folder).unwrap();
            }
            _ => {
                add_document(root, [POSTS, AUTHORS, TREE][random.random_range(0..3)], number);
            }
        }
    }
    for (collection, model) in [(POSTS, "posts"), (AUTHORS, "authors")] {
        let there = ids(root, collection).unwrap();
        let any = |random: &mut StdRng| there[random.random_range(0..there.len().min(40))].clone();
        for _ in 0..random.random_range(0..5) {
            let (id, text) = (any(random), random.random_range(0..1000));
            edit_item(root, model, &id, |document| {
                document["excerpt"] = json!(text);
                document["_state"] = json!(text % 2);
            })
            .unwrap();
        }
        for _ in 0..random.random_range(0..3) {
            delete_document(root, collection, &any(random)).unwrap();
        }
    }
    if random.random_bool(0.3) {
        let assets = ids(root, ASSETS).unwrap();
        let (asset, bytes) = (&assets[random.random_range(0..assets.len())], format!("a file of {first_id}"));
        replace_asset_file(root, asset, bytes.as_bytes(), Copies::Rewritten).unwrap();
    }
    if random.random_bool(0.3) {
        edit_document(root, SINGLETONS, "settings", |settings| settings["siteName"] = json!(first_id)).unwrap();
    }
    stir_project(root, random);
}

/// Translations of an add-on: keys come on either side.
fn stir_project(root: &Path, random: &mut StdRng) {
    let id = new_id(1);
    if read_document(root, PROJECTS, &id).unwrap().is_none() {
        insert_document(root, PROJECTS, &json!({"name": "web", "keys": {}, "_modified": 5, "_id": id})).unwrap();
    }
    let (key, text) = (format!("key{}", random.random_range(0..6)), random.random_range(0..100));
    edit_document(root, PROJECTS, &id, |project| project["keys"][&key]["en"] = json!(text)).unwrap();
}
