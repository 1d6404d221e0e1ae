//! Runs a page at a time: looked for in Redis, so that what is not shown is not read.

use serde::Serialize;

use crate::scripts::{self, HISTORY};
use crate::{Queue, Result, RunState, RunView};

/// Which runs, and how many of them.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct WantedRuns<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<&'a str>,
    /// In one of these states; as they are stored, so a stalled run is a running one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub states: Option<&'a [RunState]>,
    /// Label and text: whose label of this name has the text in it, in small or capital letters.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub labels: &'a [(&'a str, &'a str)],
    /// Submitted then or later, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Submitted before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// The page that begins behind this run: [`RunPage::next`] of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
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

impl Queue {
    pub async fn page_of_runs(&self, wanted: &WantedRuns<'_>) -> Result<RunPage> {
        let packed: Vec<u8> = self.call(&HISTORY, wanted).await?;
        let (ids, next): (Vec<String>, String) = scripts::unpack(&packed)?;
        // One that has expired since is left out.
        let runs = self.in_pieces(&ids, false).await?;
        Ok(RunPage { runs, next: Some(next).filter(|next| !next.is_empty()) })
    }
}
