//! `show`: one run, with what it held and what died.

use std::path::Path;

use producer::{DeadReport, Problem, dead_jobs, find_run, report};
use protocol::counts::Note;
use serde_json::json;

use super::Output;
use super::table::table;
use super::transfer::ended_in_words;
use crate::session::{Need, Session, load_config};

#[derive(Debug, clap::Args)]
pub struct Show {
    /// Id (or a part of it), a target's name, or "last"
    #[arg(default_value = "last")]
    run: String,
    /// With held items, their causes, and dead jobs
    #[arg(long)]
    held: bool,
}

impl Show {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let session = Session::open(load_config(config)?, Need::Look).await?;
        let view = find_run(&session.queue, &self.run).await?;
        let report = report(&view);
        let (mut notes, mut dead) = (Vec::new(), Vec::new());
        if self.held {
            notes = session.queue.notes(&view.id).await?.iter().filter_map(|note| Note::decode(note)).collect();
            dead = dead_jobs(&session.queue, &view).await?;
        }
        let mut value = json!(report);
        if self.held
            && let Some(object) = value.as_object_mut()
        {
            object.insert("notes".into(), json!(notes));
            object.insert("notes_total".into(), view.notes_total.into());
            object.insert("dead".into(), json!(dead));
        }
        output.print(&value, || {
            let mut text = format!("run {} started {} by {}\n", report.run, report.created, report.started_by);
            for stage in &report.stages {
                text +=
                    &format!("  {:<10} {} done, {} open, {} dead\n", stage.name, stage.done, stage.open, stage.dead);
            }
            text += &ended_in_words(&report);
            if self.held { text + &held_in_words(&notes, view.notes_total, &dead) } else { text }
        })?;
        session.close().await?;
        Ok(0)
    }
}

fn held_in_words(notes: &[Note], total: u64, dead: &[DeadReport]) -> String {
    let mut rows = table(&["", "item", "why"]);
    for note in notes {
        match note {
            Note::Held { resource, model, document } => {
                rows.add_row([format!("{resource} {model}"), document.identity.clone(), document.message.clone()]);
            }
            Note::EditedMeanwhile { resource, model, identity, message } => {
                rows.add_row([format!("{resource} {model}"), identity.clone(), message.clone()]);
            }
        }
    }
    for job in dead {
        rows.add_row([format!("dead job {}", job.kind), job.job.clone(), job.error.clone()]);
    }
    let more = total.saturating_sub(notes.len() as u64);
    format!("\n\n{rows}{}", if more > 0 { format!("\nand {more} more") } else { String::new() })
}
