//! Copies of assets inside documents, reduced to what makes the asset.

use crate::edit::parse;
use crate::storage;
use anyhow::Result;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

const COUNTED: [&str; 8] = ["_id", "path", "_hash", "title", "description", "altText", "fp", "_data"];

/// The assets of one instance by id.
pub struct Copies {
    assets: HashMap<String, Value>,
}

impl Copies {
    pub fn of(root: &Path) -> Result<Self> {
        let mut assets = HashMap::new();
        let place = storage::place("assets");
        if let Some(connection) = storage::open_existing(root, &place.file)? {
            for row in storage::rows(&connection, &place.table)? {
                let Ok(asset) = parse(&row.text) else { continue };
                let Some(id) = asset["_id"].as_str().map(str::to_owned) else { continue };
                assets.entry(id).or_insert(asset);
            }
        }
        Ok(Self { assets })
    }

    /// Every copy inside this document becomes the asset's present state; `_data` belongs to the copy and stays.
    pub fn refresh_inside(&self, document: &mut Value) {
        inside(document, &|copy| {
            let present = copy["_id"].as_str().and_then(|id| self.assets.get(id));
            if let Some(asset) = present {
                let own = copy.get("_data").cloned();
                *copy = asset.clone();
                if let Some(own) = own {
                    copy["_data"] = own;
                }
            }
            reduce(copy);
        });
    }

    pub fn reduce_inside(&self, document: &mut Value) {
        inside(document, &reduce);
    }
}

fn reduce(copy: &mut Value) {
    let Value::Object(members) = copy else { return };
    members.retain(|key, _| COUNTED.contains(&key.as_str()));
}

/// Never the document itself: an asset's own row is compared whole.
fn inside(value: &mut Value, change: &dyn Fn(&mut Value)) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|member| visit(member, change)),
        Value::Object(members) => members.values_mut().for_each(|member| visit(member, change)),
        _ => {}
    }
}

fn visit(value: &mut Value, change: &dyn Fn(&mut Value)) {
    if ["_id", "path", "mime", "type"].iter().all(|key| value.get(key).is_some()) {
        change(value);
    } else {
        inside(value, change);
    }
}
