//! All that an instance holds, byte by byte: to say that something is exactly as it was.

use crate::storage;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Documents, models, and files of assets; not what Cockpit caches, nor what an agent keeps for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Rows with their ids, by table as [`Stored::table`] names it. Tables without rows are left out: Cockpit makes them
    /// when it looks.
    pub rows: BTreeMap<String, BTreeMap<i64, String>>,
    /// By their paths below `storage`.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
}

const MEMORY: &str = "app.memory.sqlite";

impl Stored {
    pub fn of(root: &Path) -> Result<Self> {
        let mut rows = BTreeMap::new();
        for entry in fs::read_dir(root.join("storage/data"))? {
            let file = entry?.file_name().to_string_lossy().into_owned();
            if !file.ends_with(".sqlite") || file == MEMORY {
                continue;
            }
            let connection = storage::open_existing(root, &file)?.context("the file was there a moment ago")?;
            for table in storage::tables(&connection)? {
                let of_table = storage::rows(&connection, &table)?.into_iter().map(|row| (row.id, row.text));
                rows.insert(format!("{file} {table}"), of_table.collect::<BTreeMap<_, _>>());
            }
        }
        rows.retain(|_, rows| !rows.is_empty());
        let mut files = BTreeMap::new();
        let storage = root.join("storage");
        for folder in ["uploads", "content"] {
            add_files(&storage, &storage.join(folder), &mut files)?;
        }
        Ok(Self { rows, files })
    }

    /// How the table of a collection is called here.
    pub fn table(collection: &str) -> String {
        let place = storage::place(collection);
        format!("{} {}", place.file, place.table)
    }

    /// Which tables and files are not the same in both.
    pub fn differences(&self, other: &Self) -> BTreeSet<String> {
        let tables = differing(&self.rows, &other.rows).map(String::clone);
        let files = differing(&self.files, &other.files).map(|path| path.display().to_string());
        tables.chain(files).collect()
    }
}

fn differing<'m, K: Ord, V: PartialEq>(a: &'m BTreeMap<K, V>, b: &'m BTreeMap<K, V>) -> impl Iterator<Item = &'m K> {
    a.keys().chain(b.keys()).filter(|key| a.get(key) != b.get(key))
}

fn add_files(storage: &Path, folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            add_files(storage, &path, files)?;
        } else {
            files.insert(path.strip_prefix(storage)?.to_owned(), fs::read(&path)?);
        }
    }
    Ok(())
}
