//! `undo`: gives a target back what a run overwrote.

use std::path::Path;
use std::time::Duration;

use producer::{Problem, UndoReport, find_run, nothing_to_undo, plan_undo, submit_undo};

use super::Output;
use super::protection::confirm;
use super::table::{bytes, table};
use super::transfer::{WhenLocked, leave_to_workers, see_to_end};
use crate::session::{Need, Session, load_config};

/// As with push.
const WORKER_PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub struct Undo {
    /// Id of the run to undo (or a part of it), a target's name, or "last"
    run: String,
    /// The instance it wrote to, where the queue does not know the run any more: its agent does
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Only show what it would do
    #[arg(long)]
    plan: bool,
    /// What to do with a document that an editor has open in Cockpit on the target
    #[arg(long, value_enum, default_value_t = WhenLocked::Hold)]
    on_locked: WhenLocked,
    /// For scripts, where the target is protected: its name
    #[arg(long, value_name = "NAME")]
    yes_i_mean: Option<String>,
    /// Enqueue, print the run and leave it to the workers
    #[arg(long)]
    detach: bool,
}

impl Undo {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let need = if self.plan { Need::Look } else { Need::Work };
        let session = Session::open(load_config(config)?, need).await?;
        let run = match self.enqueue(&session, output).await {
            Ok(Some(run)) => run,
            Ok(None) => {
                session.close().await?;
                return Ok(0);
            }
            Err(problem) => {
                session.close().await?;
                return Err(problem);
            }
        };
        if self.detach {
            return leave_to_workers(session, &run, output).await;
        }
        see_to_end(session, &run, Some(WORKER_PATIENCE), output).await
    }

    /// The run that undoes; none when only its plan was wanted.
    async fn enqueue(&self, session: &Session, output: &Output) -> Result<Option<String>, Problem> {
        let (target, run) = match &self.target {
            Some(target) => (target.clone(), self.run.clone()),
            None => {
                let view = find_run(&session.queue, &self.run).await?;
                if !view.state.is_final() {
                    return Err(Problem::refused(format!("run {} is {}: end it first", view.id, view.state)));
                }
                (view.target, view.id)
            }
        };
        let Some(instance) = session.config.instances.get(&target) else {
            return Err(Problem::usage(format!("no instance is called {target:?} in the config")));
        };
        let plan = plan_undo(&session.directory, &target, &run).await?;
        if self.plan {
            output.print(&plan, || in_words(&plan))?;
            return Ok(None);
        }
        if self.detach && session.embedded.as_ref().is_some_and(|embedded| embedded.is_host()) {
            return Err(Problem::usage("--detach needs a host that stays: leave it out, or set redis in the config"));
        }
        if let Some(problem) = nothing_to_undo(&plan) {
            return Err(problem);
        }
        output.say(&in_words(&plan));
        if instance.protect {
            confirm(&target, self.yes_i_mean.as_deref(), "undo that", output)?;
        }
        let (queue, directory, on_locked) = (&session.queue, &session.directory, self.on_locked.into());
        submit_undo(&plan, &session.config, directory, queue, on_locked, super::person()).await.map(Some)
    }
}

fn in_words(plan: &UndoReport) -> String {
    let mut rows = table(&["", "put back", "bytes", "remove", "as before", "changed since"]);
    for (collection, counts) in &plan.collections {
        let numbers = [counts.remove, counts.same, counts.conflicts].map(|number| number.to_string());
        let mut row = vec![collection.clone(), counts.put_back.to_string(), bytes(counts.bytes)];
        row.extend(numbers);
        rows.add_row(row);
    }
    let mut text = format!("undo of run {} on {}\n{rows}", plan.undoes, plan.target);
    for conflict in plan.conflicts.iter().take(20) {
        let document = &conflict.document;
        text += &format!("\n{} {}: {}", conflict.collection, document.identity, document.message);
    }
    if plan.conflicts.len() > 20 {
        text += &format!("\nand {} more (--plan --json names them)", plan.total().conflicts - 20);
    }
    text
}
