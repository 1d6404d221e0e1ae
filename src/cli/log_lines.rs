//! `logs`: what workers, `serve` and commands logged, as it lies in Redis.

use std::path::Path;

use producer::{Problem, WantedLines, find_run, log_lines};
use protocol::log::Level;

use super::Output;
use crate::session::{Need, Session, load_config};

#[derive(Debug, clap::Args)]
pub struct Logs {
    /// Only about this run: its id (or a part of it), a target's name, or "last"
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Only of this part of the program: sync, queue, agent, serve, listening or notify
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<String>,
    /// Only what is as grave as this: info, warn or error
    #[arg(long, value_name = "LEVEL")]
    level: Option<Level>,
    /// So many lines, the latest
    #[arg(long, default_value_t = 1000, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=5000))]
    last: u32,
}

impl Logs {
    /// The oldest first, as they would stand in a file; with `--json` one document per line.
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let session = Session::open(load_config(config)?, Need::Look).await?;
        let run = match &self.run {
            Some(wanted) => Some(find_run(&session.queue, wanted).await?.id),
            None => None,
        };
        let wanted = WantedLines { run, channel: self.channel, level: self.level };
        let limit = usize::try_from(self.last).unwrap_or(usize::MAX);
        let lines = log_lines(&session.queue, &wanted, limit).await?;
        lines.iter().rev().try_for_each(|line| output.print(line, || line.to_string()))?;
        session.close().await?;
        Ok(0)
    }
}
