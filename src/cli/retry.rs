//! `retry`: a new run of what an ended one left over.

use std::path::Path;
use std::time::Duration;

use producer::{Problem, find_run, spec_of};
use queue::IfBusy;

use super::Output;
use super::protection::Protection;
use super::transfer::{MIRROR, see_to_end};
use crate::session::{Need, Session, load_config};

/// As with push.
const WORKER_PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub struct Retry {
    /// Id (or a part of it), a target's name, or "last"
    #[arg(default_value = "last")]
    run: String,
    #[command(flatten)]
    protection: Protection,
}

impl Retry {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let session = Session::open(load_config(config)?, Need::Work).await?;
        match self.submit(&session, output).await {
            Ok(run) => see_to_end(session, &run, Some(WORKER_PATIENCE), output).await,
            Err(problem) => {
                session.close().await?;
                Err(problem)
            }
        }
    }

    async fn submit(&self, session: &Session, output: &Output) -> Result<String, Problem> {
        let (queue, config) = (&session.queue, &session.config);
        let view = find_run(queue, &self.run).await?;
        if spec_of(&view)?.mirror.is_some() {
            self.protection.check(std::slice::from_ref(&view.target), config, MIRROR, output)?;
        }
        producer::retry(queue, &session.directory, config, &view, IfBusy::Wait, super::person()).await
    }
}
