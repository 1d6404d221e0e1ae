//! `push`: local -> named.

use std::path::Path;

use producer::Problem;
use protocol::run::Direction;

use super::Output;
use super::transfer::TransferOptions;

#[derive(Debug, clap::Args)]
pub struct Push {
    /// The instance to push to
    target: String,
    #[command(flatten)]
    options: TransferOptions,
}

impl Push {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        self.options.run(Direction::Push, self.target, config, output).await
    }
}
