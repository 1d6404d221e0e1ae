//! `push`: local -> named, one or several.

use std::path::Path;

use producer::Problem;
use protocol::run::Direction;

use super::Output;
use super::transfer::{TransferOptions, targets};

#[derive(Debug, clap::Args)]
pub struct Push {
    /// The instance to push to, or several: eu,us. Each gets a run of its own, all at once
    #[arg(value_name = "TARGET,...")]
    target: String,
    /// This one first; the others only when its run has ended without anything held, and verified
    #[arg(long, value_name = "TARGET")]
    canary: Option<String>,
    #[command(flatten)]
    options: TransferOptions,
}

impl Push {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let mut targets = targets(&self.target)?;
        if let Some(canary) = self.canary.as_ref().filter(|canary| !targets.contains(canary)) {
            targets.insert(0, canary.clone());
        }
        self.options.run_each(Direction::Push, targets, self.canary, config, output).await
    }
}
