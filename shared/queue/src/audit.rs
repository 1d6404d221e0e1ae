//! Copies of entries of logs that are kept and checked elsewhere: the latest of all sources, for whoever shows them. A
//! copy proves nothing.

use redis::AsyncCommands;
use serde::Serialize;

use crate::scripts::AUDIT;
use crate::{Queue, Result};

/// Copies that are kept, of all sources together.
const KEPT: u32 = 1000;

#[derive(Serialize)]
struct Args<'a> {
    source: &'a str,
    entries: &'a [(u64, String)],
    keep: u32,
}

impl Queue {
    /// Adds copies, each with its number at its source. What was added before is not added again; answers how many were new.
    pub async fn copy_audit(&self, source: &str, entries: &[(u64, String)]) -> Result<u64> {
        self.call(&AUDIT, &Args { source, entries, keep: KEPT }).await
    }

    /// The latest copies, at most so many, the newest first.
    pub async fn audit(&self, limit: usize) -> Result<Vec<String>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let from = isize::try_from(limit).unwrap_or(isize::MAX).saturating_neg();
        let mut copies: Vec<String> = self.connection().await?.lrange(self.keys.audit(), from, -1).await?;
        copies.reverse();
        Ok(copies)
    }
}
