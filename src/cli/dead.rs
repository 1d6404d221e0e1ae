//! `dead`: jobs that were given up.

use std::path::Path;

use producer::{DeadReport, Problem, all_dead, dead_jobs, drop_dead, find_run, retry_dead};
use serde_json::{Value, json};

use super::Output;
use super::table::{short, table};
use crate::session::{Need, Session, load_config};

/// Runs whose dead jobs are looked for when no run is named.
const RUNS: usize = 1000;

#[derive(Debug, clap::Args)]
pub struct Dead {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List dead jobs, of all runs and notifications or of one
    List {
        /// Id (or a part of it), a target's name, or "last" [default: all runs]
        run: Option<String>,
    },
    /// Show dead jobs of a run: what they were to do, and how they failed
    Show(Chosen),
    /// Put dead jobs of a run that is not over back to work (`retry RUN` is for one that is)
    Retry(Chosen),
    /// Remove dead jobs for good; what they were to bring is left to the next sync
    Drop {
        #[command(flatten)]
        chosen: Chosen,
        /// Drop all dead jobs of the run
        #[arg(long, required_unless_present = "job", conflicts_with = "job")]
        all: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Chosen {
    /// Id (or a part of it), a target's name, or "last"; of notifications: on:NAME
    #[arg(default_value = "last")]
    run: String,
    /// Only this job (can be given several times)
    #[arg(long, value_name = "ID")]
    job: Vec<String>,
}

impl Dead {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let session = Session::open(load_config(config)?, Need::Look).await?;
        let done = self.what.run(&session, output).await;
        session.close().await?;
        done.map(|()| 0)
    }
}

impl What {
    async fn run(self, session: &Session, output: &Output) -> Result<(), Problem> {
        let queue = &session.queue;
        match self {
            Self::List { run } => {
                let dead = match run {
                    Some(run) => dead_jobs(queue, &find_run(queue, &run).await?).await?,
                    None => all_dead(queue, RUNS, usize::MAX).await?,
                };
                output.print(&dead, || list_in_words(&dead))
            }
            Self::Show(chosen) => {
                let view = find_run(queue, &chosen.run).await?;
                let mut dead = dead_jobs(queue, &view).await?;
                if let Some(id) = chosen.job.iter().find(|id| !dead.iter().any(|job| job.job == **id)) {
                    return Err(Problem::usage(format!("run {} has no dead job {id:?}", view.id)));
                }
                dead.retain(|job| chosen.job.is_empty() || chosen.job.contains(&job.job));
                output.print(&dead, || dead.iter().map(in_words).collect::<Vec<_>>().join("\n\n"))
            }
            Self::Retry(chosen) => {
                let view = find_run(queue, &chosen.run).await?;
                let jobs = retry_dead(queue, &view, &chosen.job, &super::person()).await?;
                let text = || format!("{} jobs of run {} are back at work", jobs.len(), short(&view.id));
                output.print(&json!({ "run": view.id, "retried": jobs }), text)
            }
            Self::Drop { chosen, all: _ } => {
                let view = find_run(queue, &chosen.run).await?;
                let jobs = drop_dead(queue, &view, &chosen.job, &super::person()).await?;
                let text = || format!("{} jobs of run {} were dropped", jobs.len(), short(&view.id));
                output.print(&json!({ "run": view.id, "dropped": jobs }), text)
            }
        }
    }
}

fn list_in_words(dead: &[DeadReport]) -> String {
    if dead.is_empty() {
        return "no dead jobs".into();
    }
    let mut rows = table(&["run", "job", "kind", "attempts", "crashes", "died", "error"]);
    for job in dead {
        rows.add_row([
            short(&job.run).to_owned(),
            job.job.clone(),
            job.kind.clone(),
            job.attempts.to_string(),
            job.crashes.to_string(),
            job.died.clone(),
            job.error.clone(),
        ]);
    }
    rows.to_string()
}

fn in_words(job: &DeadReport) -> String {
    let mut text = format!(
        "job {} of run {}, stage {}: {} attempts, {} crashes",
        job.job, job.run, job.stage, job.attempts, job.crashes
    );
    for (name, value) in job.payload.as_object().into_iter().flatten() {
        let value = match value {
            Value::Null => "to the end".into(),
            Value::String(words) => words.clone(),
            other => other.to_string(),
        };
        text += &format!("\n  {name:<12} {value}");
    }
    for failed in &job.history {
        text += &format!("\n  {} {}", failed.time, failed.error);
    }
    text
}
