//! Asset folders, asset documents and their files.

use super::Making;
use crate::ids::MADE_AT;
use crate::php_json::to_php_json;
use crate::pictures;
use crate::random::Random;
use crate::storage;
use anyhow::Result;
use md5::{Digest, Md5};
use serde_json::{Value, json};
use std::fs;

/// The header of a stored entry `a.txt`.
const ZIP_START: &[u8] = b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0a.txt";
const PALETTE: [&str; 6] = ["#2a2d27", "#8fe28b", "#6b72b6", "#d86b5c", "#2b6c2c", "#f4dc4c"];

pub fn id_of(asset: &Value) -> String {
    asset["_id"].as_str().expect("every made asset has an id").to_owned()
}

/// Nested folders: every third one lies at the top, the others in an earlier one.
pub fn write_folders(making: &mut Making<'_>) -> Result<Vec<String>> {
    let mut random = Random::for_part(making.shape.seed, "folders");
    let mut folders: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    for number in 0..making.shape.folders {
        let parent = if number % 3 == 0 { String::new() } else { random.pick(&folders).clone() };
        let id = making.ids.next();
        let folder = json!({
            "name": format!("Folder {number} Ünïcode"), "_p": parent, "icon": "", "_by": making.user, "_id": id,
        });
        rows.push(to_php_json(&folder));
        folders.push(id);
    }
    making.insert("assets/folders", rows.into_iter())?;
    Ok(folders)
}

/// Writes files and documents; gives the documents back, because content holds copies of them.
pub fn write_assets(making: &mut Making<'_>, folders: &[String]) -> Result<Vec<Value>> {
    let mut random = Random::for_part(making.shape.seed, "assets");
    let mut assets = Vec::new();
    for number in 0..making.shape.assets {
        let folder = if number % 4 == 0 || folders.is_empty() { "" } else { random.pick(folders).as_str() };
        assets.push(write_asset(making, number, folder, &mut random)?);
    }
    making.insert("assets", assets.iter().map(to_php_json))?;
    Ok(assets)
}

fn write_asset(making: &mut Making<'_>, number: usize, folder: &str, random: &mut Random) -> Result<Value> {
    let kind = match number % 10 {
        0..=6 => Kind { extension: "png", mime: "image/png", kind: "image" },
        7 => Kind { extension: "txt", mime: "text/plain", kind: "document" },
        8 => Kind { extension: "bin", mime: "application/octet-stream", kind: "unknown" },
        _ => Kind { extension: "zip", mime: "application/zip", kind: "archive" },
    };
    let (width, height) = (8 + random.below(24), 8 + random.below(24));
    let mut content = match kind.extension {
        "png" => pictures::png(u32::try_from(width)?, u32::try_from(height)?, random),
        "txt" => super::words::text(random, 2000).into_bytes(),
        // The first bytes are what `finfo` goes by: an upload gets its mime type from them.
        "zip" => beginning_with(ZIP_START, random),
        _ => beginning_with(&[0; 16], random),
    };
    if let Some(bytes) = making.shape.asset_bytes {
        fill(&mut content, bytes, random);
    }
    let day = 1 + number % 22;
    let unique = random.next() & 0xf_ffff_ffff_ffff;
    let path = format!("/2026/11/{day:02}/asset-{number}_uid_{unique:013x}.{}", kind.extension);
    let file = storage::uploads(making.root).join(&path[1..]);
    fs::create_dir_all(file.parent().expect("the path has a directory"))?;
    fs::write(&file, &content)?;

    let is_image = kind.kind == "image";
    let mut asset = json!({
        "path": path, "title": format!("Ässet {number} & Söhne"), "mime": kind.mime, "type": kind.kind,
        "description": "", "tags": [], "size": content.len(),
        "colors": null, "width": null, "height": null,
        "_hash": hex::encode(Md5::digest(&content)), "_created": MADE_AT, "_modified": MADE_AT, "_cby": making.user,
    });
    if is_image {
        asset["colors"] = (0..5).map(|_| *random.pick(&PALETTE)).collect();
        asset["width"] = json!(width);
        asset["height"] = json!(height);
        asset["altText"] = json!(format!("asset-{number}.png"));
        asset["thumbhash"] = json!(random.bytes(16).iter().map(u8::to_string).collect::<Vec<_>>().join("-"));
    }
    if number.is_multiple_of(15) {
        asset["fp"] = json!({"x": 0.25, "y": 0.5});
        asset["_mby"] = json!(making.user);
    }
    asset["folder"] = json!(folder);
    asset["_id"] = json!(making.ids.next());
    Ok(asset)
}

/// Bytes that no file system and no protocol finds twice within a block.
fn fill(content: &mut Vec<u8>, bytes: usize, random: &mut Random) {
    const BLOCK: usize = 64 * 1024;
    let block = random.bytes(BLOCK.min(bytes));
    for number in 0_u64.. {
        if content.len() >= bytes {
            break;
        }
        content.extend(number.to_le_bytes());
        content.extend(&block);
    }
    content.truncate(bytes);
}

fn beginning_with(start: &[u8], random: &mut Random) -> Vec<u8> {
    let length = 500 + random.below(20_000);
    let mut content = start.to_vec();
    content.extend(random.bytes(length));
    content
}

struct Kind {
    extension: &'static str,
    mime: &'static str,
    kind: &'static str,
}
