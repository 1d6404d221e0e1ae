//! Lines of logs: the latest of the deployment, and the latest of each run, which so loses none because another one is
//! talkative. They expire as a run does, counted from the last line.

use redis::AsyncCommands;
use serde::Serialize;

use crate::scripts::LOG;
use crate::{Queue, Result};

/// Lines that are kept of a run.
const OF_RUN: u32 = 1000;
/// Lines that are kept in all, whatever they are about.
const OF_ALL: u32 = 5000;

#[derive(Serialize)]
struct Args<'a> {
    lines: &'a [(String, String)],
    of_run: u32,
    of_all: u32,
}

impl Queue {
    /// Adds lines, each with the run it is about, or an empty name. A full Redis takes none.
    pub async fn add_to_log(&self, lines: &[(String, String)]) -> Result<()> {
        self.call(&LOG, &Args { lines, of_run: OF_RUN, of_all: OF_ALL }).await
    }

    /// The latest lines of a run, or of all, at most so many, the newest first.
    pub async fn log(&self, run: Option<&str>, limit: usize) -> Result<Vec<String>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let key = run.map_or_else(|| self.keys.log(), |run| self.keys.run_log(run));
        let from = isize::try_from(limit).unwrap_or(isize::MAX).saturating_neg();
        let mut lines: Vec<String> = self.connection().await?.lrange(key, from, -1).await?;
        lines.reverse();
        Ok(lines)
    }
}
