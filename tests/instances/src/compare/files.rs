//! The files of both instances, byte by byte, and whether each asset's file is what its document says.

use super::report::{Comparison, Found};
use crate::edit::parse;
use crate::storage;
use anyhow::{Context, Result};
use md5::{Digest, Md5};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const RESOURCE: &str = "files";

pub fn compare(a: &Path, b: &Path, comparison: &mut Comparison) -> Result<()> {
    for (side, root) in [("a", a), ("b", b)] {
        check_assets(side, root, comparison)?;
    }
    let of_a = uploaded(a)?;
    let mut of_b = uploaded(b)?;
    for (name, path) in of_a {
        comparison.compared += 1;
        match of_b.remove(&name) {
            None => comparison.add(RESOURCE, &name, Found::OnlyInA),
            Some(other) => {
                if fs::read(&path)? != fs::read(&other)? {
                    comparison.add(RESOURCE, &name, Found::Differs("the bytes differ".to_owned()));
                }
            }
        }
    }
    for name in of_b.keys() {
        comparison.compared += 1;
        comparison.add(RESOURCE, name, Found::OnlyInB);
    }
    Ok(())
}

fn check_assets(side: &str, root: &Path, comparison: &mut Comparison) -> Result<()> {
    let place = storage::place("assets");
    let Some(connection) = storage::open_existing(root, &place.file)? else { return Ok(()) };
    for row in storage::rows(&connection, &place.table)? {
        let Ok(asset) = parse(&row.text) else { continue };
        let Some(path) = asset["path"].as_str() else { continue };
        let file = storage::uploads(root).join(path.trim_start_matches('/'));
        let Ok(content) = fs::read(&file) else {
            comparison.add(RESOURCE, path, Found::Broken(format!("not in {side}, whose asset names it")));
            continue;
        };
        let hash = hex::encode(Md5::digest(&content));
        if asset["_hash"] != hash {
            comparison.add(RESOURCE, path, Found::Broken(format!("in {side} it is not what the asset's _hash says")));
        } else if asset["size"] != content.len() {
            comparison.add(RESOURCE, path, Found::Broken(format!("in {side} it has not the asset's size")));
        }
    }
    Ok(())
}

/// Files below uploads by their path in it. What a web server needs (.htaccess, index.html) is no upload.
fn uploaded(root: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let top = storage::uploads(root);
    let mut files = BTreeMap::new();
    let mut directories = vec![top.clone()];
    while let Some(directory) = directories.pop() {
        if !directory.exists() {
            continue;
        }
        for entry in fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))? {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_dir() {
                directories.push(path);
            } else if ![".gitkeep", ".htaccess", "index.html"].contains(&name.as_str()) {
                let relative = path.strip_prefix(&top).expect("found below it").to_string_lossy().into_owned();
                files.insert(relative, path);
            }
        }
    }
    Ok(files)
}
