//! Runs a page at a time: looked for in Redis, so that what is not shown is not read.

use serde::Serialize;

use crate::scripts::{self, HISTORY};
use crate::{Queue, Result, RunState, RunView};

/// Which runs, and how many of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct WantedRuns<'a> {
    pub target: Option<&'a str>,
    /// In one of these states; as they are stored, so a stalled run is a running one.
    pub states: Option<&'a [RunState]>,
    /// The page that begins behind this run: [`RunPage::next`] of the page before.
    pub after: Option<&'a str>,
    pub limit: usize,
}

/// A page of runs: the live ones first, then those that are over, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct RunPage {
    pub runs: Vec<RunView>,
    /// Where the next page begins. There may be one though this one is not full.
    pub next: Option<String>,
}

#[derive(Serialize)]
struct Args<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    states: Option<&'a [RunState]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a str>,
    limit: usize,
}

impl Queue {
    pub async fn page_of_runs(&self, wanted: &WantedRuns<'_>) -> Result<RunPage> {
        let WantedRuns { target, states, after, limit } = *wanted;
        let packed: Vec<u8> = self.call(&HISTORY, &Args { target, states, after, limit }).await?;
        let (ids, next): (Vec<String>, String) = scripts::unpack(&packed)?;
        // One that has expired since is left out.
        let runs = self.in_pieces(&ids, false).await?;
        Ok(RunPage { runs, next: Some(next).filter(|next| !next.is_empty()) })
    }
}
