//! `unlock`: the documented Reset of a target's lock.

use std::path::Path;

use producer::{Problem, Unlocked};
use queue::Ended;
use serde_json::json;

use super::Output;
use super::protection::Protection;
use crate::session::{Need, Session, load_config};

#[derive(Debug, clap::Args)]
pub struct Unlock {
    /// The target whose lock is reset
    target: String,
    #[command(flatten)]
    protection: Protection,
}

impl Unlock {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let config = load_config(config)?;
        if !config.instances.contains_key(&self.target) {
            return Err(Problem::usage(format!("no instance is called {:?} in the config", self.target)));
        }
        self.protection.check(std::slice::from_ref(&self.target), &config, "reset its lock", output)?;
        let session = Session::open(config, Need::Look).await?;
        let unlocked = producer::unlock(&session.queue, &session.directory, &self.target, &super::person()).await;
        session.close().await?;
        let unlocked = unlocked?;
        let run = match &unlocked.ended {
            Ended::Now { run, .. } | Ended::Ending { run } | Ended::Already { run, .. } => Some(run.clone()),
            Ended::Nothing => None,
        };
        let grant = unlocked.grant.as_ref().map(|grant| grant.holder.clone());
        let value =
            json!({ "target": self.target, "run": run, "grant": grant, "agent_problem": unlocked.agent_problem });
        output.print(&value, || self.in_words(&unlocked, run.as_deref()))?;
        Ok(0)
    }

    fn in_words(&self, unlocked: &Unlocked, run: Option<&str>) -> String {
        let grant = match (&unlocked.grant, &unlocked.agent_problem) {
            (Some(grant), _) => format!("the grant of {} was ended", grant.holder),
            (None, None) => "no grant was open at its agent".into(),
            (None, Some(problem)) => {
                format!("its agent could not be asked ({problem}), so a grant may still be open there")
            }
        };
        let run = run.map_or_else(|| "no run of ours held it".into(), |run| format!("run {run} was ended"));
        format!("{}: {grant}; {run}", self.target)
    }
}
