//! `pull`: named -> local.

use std::path::Path;

use producer::Problem;
use protocol::run::Direction;

use super::Output;
use super::transfer::TransferOptions;

#[derive(Debug, clap::Args)]
pub struct Pull {
    /// The instance to pull from
    source: String,
    #[command(flatten)]
    options: TransferOptions,
}

impl Pull {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        self.options.run(Direction::Pull, self.source, config, output).await
    }
}
