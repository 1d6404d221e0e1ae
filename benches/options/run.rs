//! Commands that make a run, timed from their start to their exit.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::rig::Rig;

/// A run that finished.
pub struct Run {
    pub took: Duration,
    pub created: u64,
    pub updated: u64,
    deleted: u64,
}

impl Run {
    /// The run must finish, by its own verdict.
    pub fn of(rig: &Rig, command: &[&str]) -> Result<Self> {
        let begun = Instant::now();
        let run: Value = rig.ask(command)?;
        let took = begun.elapsed();
        ensure!(run["verified"] == true, "{command:?} did not finish: {run}");
        let count = |name: &str| run["counts"][name].as_u64().with_context(|| format!("no {name} in {run}"));
        Ok(Self { took, created: count("created")?, updated: count("updated")?, deleted: count("deleted")? })
    }

    pub fn written(&self) -> u64 {
        self.created + self.updated + self.deleted
    }
}
