//! `retry`: a new run of what an ended one left over.

use std::path::Path;
use std::time::Duration;

use producer::{Problem, find_run};
use queue::IfBusy;

use super::Output;
use super::transfer::see_to_end;
use crate::session::{Need, Session, load_config};

/// As with push.
const WORKER_PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub struct Retry {
    /// Id (or a part of it), a target's name, or "last"
    #[arg(default_value = "last")]
    run: String,
}

impl Retry {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let session = Session::open(load_config(config)?, Need::Work).await?;
        let (queue, directory) = (&session.queue, &session.directory);
        let submitted = match find_run(queue, &self.run).await {
            Ok(view) => producer::retry(queue, directory, &session.config, &view, IfBusy::Wait, super::person()).await,
            Err(problem) => Err(problem),
        };
        match submitted {
            Ok(run) => see_to_end(session, &run, Some(WORKER_PATIENCE), output).await,
            Err(problem) => {
                session.close().await?;
                Err(problem)
            }
        }
    }
}
