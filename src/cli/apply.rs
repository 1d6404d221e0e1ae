//! `apply`: carries out a plan that was kept.

use std::path::{Path, PathBuf};

use producer::{PlanFile, Problem};

use super::Output;
use super::transfer::{MIRROR, RunOptions};
use crate::session::{Session, load_config};

#[derive(Debug, clap::Args)]
pub struct Apply {
    /// A plan that `cockpit-sync plan push NAME -o FILE` made
    plan: PathBuf,
    /// Carry it out also when definitions of models change so that values on the target break
    #[arg(long)]
    accept_schema_changes: bool,
    #[command(flatten)]
    run: RunOptions,
}

impl Apply {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let plan = PlanFile::read(&self.plan)?;
        let config = load_config(config)?;
        if plan.spec.mirror.is_some() {
            self.run.protection.check(std::slice::from_ref(&plan.spec.target.name), &config, MIRROR, output)?;
        }
        let if_busy = self.run.if_busy.into();
        let apply = async |session: &Session| {
            let (directory, queue) = (&session.directory, &session.queue);
            producer::apply(
                plan,
                self.accept_schema_changes,
                if_busy,
                super::person(),
                &session.config,
                directory,
                queue,
            )
            .await
        };
        self.run.follow.submit_and_follow(config, output, apply).await
    }
}
