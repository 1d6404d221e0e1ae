//! Many changes at once: a share of the posts, and an asset's file with everything that follows from it.

use crate::edit::{self, edit_document, now, parse, read_document};
use crate::php_json::to_php_json;
use crate::random::Random;
use crate::storage::{self, Place};
use anyhow::{Context, Result};
use md5::{Digest, Md5};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Edits this share of the posts (title and a nested field) in one transaction; gives their ids in the order of rows.
pub fn change(root: &Path, percent: f64, seed: u64) -> Result<Vec<String>> {
    let place = storage::place("content/collections/posts");
    let mut connection = storage::open_existing(root, &place.file)?.context("there are no posts")?;
    let mut rows = storage::rows(&connection, &place.table)?;
    let wanted = share_of(rows.len(), percent);
    let mut random = Random::for_part(seed, "change");
    for chosen in 0..wanted {
        let other = chosen + random.below(rows.len() - chosen);
        rows.swap(chosen, other);
    }
    rows.truncate(wanted);
    rows.sort_by_key(|row| row.id);

    let transaction = connection.transaction()?;
    let mut ids = Vec::with_capacity(wanted);
    for row in rows {
        let mut post = parse(&row.text).with_context(|| format!("row {} of the posts", row.id))?;
        let id = post["_id"].as_str().context("a post without an id")?.to_owned();
        change_post(&mut post, seed);
        edit::write_row(&transaction, &place, row.id, &to_php_json(&post))?;
        ids.push(id);
    }
    transaction.commit()?;
    Ok(ids)
}

fn share_of(count: usize, percent: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of rows in memory"
    )]
    let share = (count as f64 * percent / 100.0).round().max(0.0) as usize;
    share.min(count)
}

fn change_post(post: &mut Value, seed: u64) {
    let title = post["title"].as_str().unwrap_or_default().to_owned();
    post["title"] = json!(format!("{title} – edited {seed}"));
    post["seo"] = json!({"title": title, "description": format!("edited/{seed}"), "noindex": false});
    post["_modified"] = json!(now());
}

/// What becomes of the copies of an asset inside content when its file is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// As seconds later, when Cockpit's background worker is done.
    Rewritten,
    /// As in the moment after.
    LeftStale,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    pub old_file: PathBuf,
    pub new_file: PathBuf,
    pub hash: String,
}

/// "Replace" in the admin: the same id, a new path and hash, the old file deleted.
pub fn replace_asset_file(root: &Path, id: &str, content: &[u8], copies: Copies) -> Result<Replaced> {
    let asset = read_document(root, "assets", id)?.with_context(|| format!("no asset {id}"))?;
    let old_path = asset["path"].as_str().context("an asset without a path")?.to_owned();
    let hash = hex::encode(Md5::digest(content));
    let (slug, extension) = name_parts(&old_path);
    let new_path = format!("/2026/12/01/{slug}_uid_{}.{extension}", &hash[..13]);

    let new_file = storage::uploads(root).join(&new_path[1..]);
    let old_file = storage::uploads(root).join(old_path.trim_start_matches('/'));
    fs::create_dir_all(new_file.parent().expect("the path has a directory"))?;
    fs::write(&new_file, content)?;
    if old_file != new_file && old_file.exists() {
        fs::remove_file(&old_file)?;
    }
    edit_document(root, "assets", id, |document| {
        document["path"] = json!(new_path);
        document["size"] = json!(content.len());
        document["_hash"] = json!(hash);
        document["_modified"] = json!(now());
    })?;
    if copies == Copies::Rewritten {
        embed_copies_of(root, id)?;
    }
    Ok(Replaced { old_file, new_file, hash })
}

fn name_parts(path: &str) -> (&str, &str) {
    let name = path.rsplit('/').next().unwrap_or(path);
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, "bin"));
    (stem.split("_uid_").next().unwrap_or(stem), extension)
}

/// Puts the asset's present document wherever content holds a copy of it, as Cockpit's worker does. Counts documents.
pub fn embed_copies_of(root: &Path, id: &str) -> Result<usize> {
    let asset = read_document(root, "assets", id)?.with_context(|| format!("no asset {id}"))?;
    let Some(mut connection) = storage::open_existing(root, "content.sqlite")? else { return Ok(0) };
    let mut changed = 0;
    for table in storage::tables(&connection)? {
        let rows = storage::rows(&connection, &table)?;
        let place = Place { file: "content.sqlite".to_owned(), table };
        let transaction = connection.transaction()?;
        for row in rows.iter().filter(|row| row.text.contains(id)) {
            let Ok(mut document) = parse(&row.text) else { continue };
            if refresh(&mut document, id, &asset) {
                edit::write_row(&transaction, &place, row.id, &to_php_json(&document))?;
                changed += 1;
            }
        }
        transaction.commit()?;
    }
    Ok(changed)
}

fn refresh(value: &mut Value, id: &str, asset: &Value) -> bool {
    let is_copy = ["path", "mime", "type"].iter().all(|key| value.get(key).is_some());
    if is_copy && value["_id"] == id {
        let is_stale = value != asset;
        *value = asset.clone();
        return is_stale;
    }
    let mut refreshed = false;
    match value {
        Value::Array(values) => values.iter_mut().for_each(|member| refreshed |= refresh(member, id, asset)),
        Value::Object(members) => members.values_mut().for_each(|member| refreshed |= refresh(member, id, asset)),
        _ => {}
    }
    refreshed
}
