//! `runs`: the history.

use std::path::Path;

use producer::{Problem, RunReport, report};

use super::Output;
use super::table::{short, table};
use crate::session::{Need, Session, load_config};

#[derive(Debug, clap::Args)]
pub struct Runs {
    /// At most so many
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

impl Runs {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let session = Session::open(load_config(config)?, Need::Look).await?;
        let runs: Vec<RunReport> = session.queue.runs(self.limit).await?.iter().map(report).collect();
        output.print(&runs, || in_words(&runs))?;
        session.close().await?;
        Ok(0)
    }
}

fn in_words(runs: &[RunReport]) -> String {
    let mut rows = table(&["run", "", "state", "created", "updated", "unchanged", "held", "seconds", "started"]);
    for run in runs {
        let counts = [run.counts.created, run.counts.updated, run.counts.unchanged, run.counts.held];
        let what = format!("{} {} -> {}", run.direction, run.source, run.target);
        let mut row = vec![short(&run.run).to_owned(), what, run.state.to_string()];
        row.extend(counts.map(|count| count.to_string()));
        row.extend([format!("{:.1}", run.seconds), format!("{} by {}", run.created, run.started_by)]);
        rows.add_row(row);
    }
    rows.to_string()
}
