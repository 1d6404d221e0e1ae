//! `show`: one run, with what it held and what died.

use std::path::Path;

use producer::{DeadReport, Problem, dead_jobs, find_run, receipt, report, utc};
use protocol::api::Receipt;
use protocol::counts::Note;
use serde_json::json;

use super::Output;
use super::table::{bytes, table};
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
    /// What the target's agent remembers of it: who, what, options, counts, fingerprints before and after
    #[arg(long)]
    receipt: bool,
    /// With --receipt: the instance to ask, where the queue does not know the run any more
    #[arg(long, value_name = "NAME", requires = "receipt")]
    target: Option<String>,
}

impl Show {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let session = Session::open(load_config(config)?, Need::Look).await?;
        if self.receipt {
            let printed = self.print_receipt(&session, output).await;
            session.close().await?;
            return printed;
        }
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

    async fn print_receipt(&self, session: &Session, output: &Output) -> Result<u8, Problem> {
        let (target, run) = match &self.target {
            Some(target) => (target.clone(), self.run.clone()),
            None => {
                let view = find_run(&session.queue, &self.run).await?;
                (view.target, view.id)
            }
        };
        let receipt = receipt(&session.directory, &target, &run).await?;
        output.print(&receipt, || receipt_in_words(&receipt))?;
        Ok(0)
    }
}

fn receipt_in_words(receipt: &Receipt) -> String {
    let time = |ms: i64| utc(u64::try_from(ms).unwrap_or(0));
    let mut text = format!("run {} on instance {}\n", receipt.run, receipt.instance);
    text += &match &receipt.about {
        Some(about) => format!(
            "{} {} -> {}, started by {}\n{}\n",
            about.direction, about.source.name, about.target.name, about.started_by, about.options
        ),
        None => format!("{}\n", receipt.holder),
    };
    text += &match (receipt.ended_ms, &receipt.reason) {
        (Some(ended), reason) => format!(
            "{} to {}, {:.1} s: {}\n",
            time(receipt.began_ms),
            time(ended),
            (ended - receipt.began_ms) as f64 / 1000.0,
            reason.as_deref().unwrap_or("ended")
        ),
        (None, _) => format!("since {}: it has the right to write\n", time(receipt.began_ms)),
    };
    let mut rows = table(&["", "created", "updated", "deleted", "written", "before", "after"]);
    for (collection, landed) in &receipt.collections {
        let counts = [landed.created, landed.updated, landed.deleted].map(|count| count.to_string());
        let mark = |summary: Option<protocol::canonical::CollectionSummary>| {
            summary.map_or_else(String::new, |summary| format!("{} {:032x}", summary.count, summary.sum))
        };
        let mut row = vec![collection.clone()];
        row.extend(counts);
        row.extend([bytes(landed.bytes), mark(landed.before), mark(landed.after)]);
        rows.add_row(row);
    }
    text += &rows.to_string();
    text + &match (&receipt.undo.reason, receipt.undo.until_ms) {
        (Some(reason), _) => format!("\ncannot be undone: {reason}"),
        (None, until) => {
            let until = until.map_or_else(String::new, |until| format!(" until {}", time(until)));
            format!("\ncan be undone{until} ({} kept)", bytes(receipt.undo.bytes))
        }
    }
}

fn held_in_words(notes: &[Note], total: u64, dead: &[DeadReport]) -> String {
    let mut rows = table(&["", "item", "why"]);
    for note in notes {
        match note {
            Note::Held { resource, model, document } => {
                rows.add_row([format!("{resource} {model}"), document.identity.clone(), document.message.clone()]);
            }
            Note::EditedMeanwhile { resource, model, identity, message }
            | Note::Conflict { resource, model, identity, message, .. } => {
                rows.add_row([format!("{resource} {model}"), identity.clone(), message.clone()]);
            }
            Note::Action { name, error } => {
                rows.add_row(["action", name, error.as_deref().unwrap_or("done")]);
            }
        }
    }
    for job in dead {
        rows.add_row([format!("dead job {}", job.kind), job.job.clone(), job.error.clone()]);
    }
    let more = total.saturating_sub(notes.len() as u64);
    format!("\n\n{rows}{}", if more > 0 { format!("\nand {more} more") } else { String::new() })
}
