//! The physical limit: how fast this machine moves the same rows from one SQLite file to another, with nothing between.

use crate::storage::{self, quoted};
use anyhow::{Context, Result};
use rusqlite::Connection;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// What one transaction holds: it ends at whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    pub rows: usize,
    pub bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    pub rows: usize,
    pub bytes: usize,
    pub transactions: usize,
    pub took: Duration,
}

/// Copies the posts into a new content.sqlite in `to`, with `synchronous` as given (`FULL`, `NORMAL`, `OFF`).
///
/// The time includes opening and closing the new file, so all of it has left the log when the clock stops.
pub fn copy_limit(from_root: &Path, to: &Path, batch: Batch, synchronous: &str) -> Result<Copied> {
    let place = storage::place("content/collections/posts");
    let source = storage::open_existing(from_root, &place.file)?.context("there are no posts")?;
    fs::create_dir_all(to)?;
    let path = to.join(&place.file);
    anyhow::ensure!(!path.exists(), "{} is there already", path.display());

    let started = Instant::now();
    let mut target = Connection::open(&path)?;
    target.pragma_update(None, "journal_mode", "WAL")?;
    target.pragma_update(None, "synchronous", synchronous)?;
    storage::create_table(&target, &place.table)?;
    let insert = format!("INSERT INTO {} (document) VALUES (?1)", quoted(&place.table));
    let mut statement = source.prepare(&format!("SELECT document FROM {} ORDER BY id", quoted(&place.table)))?;
    let mut rows = statement.query([])?;
    let mut copied = Copied { rows: 0, bytes: 0, transactions: 0, took: Duration::ZERO };
    let mut row = rows.next()?;
    while row.is_some() {
        let transaction = target.transaction()?;
        let (first_row, first_byte) = (copied.rows, copied.bytes);
        while let Some(present) = row {
            let document = present.get_ref(0)?.as_str()?;
            transaction.prepare_cached(&insert)?.execute([document])?;
            copied.rows += 1;
            copied.bytes += document.len();
            row = rows.next()?;
            if copied.rows - first_row >= batch.rows || copied.bytes - first_byte >= batch.bytes {
                break;
            }
        }
        transaction.commit()?;
        copied.transactions += 1;
    }
    drop(target);
    copied.took = started.elapsed();
    Ok(copied)
}
