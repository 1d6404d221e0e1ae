//! `explain`: one sentence on why a run waits, or what it does.

use std::path::Path;

use producer::{Problem, ProblemKind, find_run, is_served};
use serde_json::json;

use super::Output;
use crate::session::{Need, Session, load_config};

#[derive(Debug, clap::Args)]
pub struct Explain {
    /// Id (or a part of it), a target's name, or "last"
    #[arg(default_value = "last")]
    run: String,
}

impl Explain {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let session = Session::open(load_config(config)?, Need::Look).await?;
        let view = find_run(&session.queue, &self.run).await?;
        let explanation = session.queue.explain(&view.id).await?;
        let is_served = view.state.is_final() || is_served(&session.queue, &view).await?;
        output.print(&json!({ "run": view.id, "explanation": explanation }), || explanation.clone())?;
        session.close().await?;
        Ok(if is_served { 0 } else { ProblemKind::Unreachable.exit_code() })
    }
}
