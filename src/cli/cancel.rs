//! `cancel`: ends a run.

use std::path::Path;

use producer::{Follow, Problem, find_run, follow};

use super::Output;
use super::transfer::ended_in_words;
use crate::session::{Need, Session, load_config};

#[derive(Debug, clap::Args)]
pub struct Cancel {
    /// Id (or a part of it), or a target's name
    run: String,
}

impl Cancel {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let session = Session::open(load_config(config)?, Need::Look).await?;
        let view = find_run(&session.queue, &self.run).await?;
        if view.state.is_final() {
            session.close().await?;
            return Err(Problem::refused(format!("run {} is over already: {}", view.id, view.state)));
        }
        let closed_here = producer::cancel(&session.queue, &session.directory, &view, &super::person()).await?;
        let ended = follow(&session.queue, &view.id, None, |_: Follow<'_>| {}).await?;
        if !ended.closed && !closed_here {
            output.say(
                "the target's agent did not answer, so its grant is still open there: `cockpit-sync unlock` ends it",
            );
        }
        let report = producer::report(&ended);
        output.print(&report, || ended_in_words(&report))?;
        session.close().await?;
        Ok(0)
    }
}
