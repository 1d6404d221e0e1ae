//! What push and pull share: options, the live display, the end.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use producer::{BATCH_SIZE, Follow, Problem, ProblemKind, Resource, RunReport, SyncRequest, WINDOW, follow, report};
use protocol::run::Direction;
use queue::{IfBusy, RunState, RunView};

use super::Output;
use super::table::{bytes, short, table};
use crate::session::{Need, Session, load_config};

mod display;

pub use display::Display;

/// A run that no worker takes is withdrawn after so many seconds.
const WORKER_PATIENCE: u64 = 30;

#[derive(Debug, clap::Args)]
pub struct TransferOptions {
    /// Only these models, with their definitions and items (and locales, but no assets unless --resources has them)
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    models: Option<Vec<String>>,
    /// Only these resources: locales, models, assets, content [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    resources: Option<Vec<Resource>>,
    /// Rows per batch job
    #[arg(long, default_value_t = BATCH_SIZE, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch_size: u32,
    /// The most jobs in workers' hands at a time; fewer while the target refuses some (429, 503) or is slow
    #[arg(long, default_value_t = WINDOW, value_parser = clap::value_parser!(u16).range(1..=256))]
    window: u16,
    /// Enqueue, print the run and leave it to the workers
    #[arg(long)]
    detach: bool,
    /// What to do when another sync to the target is running or waiting
    #[arg(long, value_enum, default_value_t = WhenBusy::Wait)]
    if_busy: WhenBusy,
    /// Go before other syncs to the target: one that is running makes room within 10 seconds and goes on afterwards. For
    /// what is small; the same urgent request, waiting already, is joined instead of enqueued again
    #[arg(long)]
    urgent: bool,
    /// Give up, leaving nothing behind, when no worker has appeared after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = WORKER_PATIENCE)]
    worker_timeout: u64,

    #[command(flatten)]
    not_yet: NotYet,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum WhenBusy {
    Wait,
    Refuse,
}

impl From<WhenBusy> for IfBusy {
    fn from(when: WhenBusy) -> Self {
        match when {
            WhenBusy::Wait => Self::Wait,
            WhenBusy::Refuse => Self::Refuse,
        }
    }
}

/// Options of the documentation that this version does not have: named, so that asking for one is an error that says
/// so, and never a silent nothing.
#[derive(Debug, clap::Args)]
struct NotYet {
    #[arg(long, hide = true)]
    mirror: bool,
    #[arg(long, hide = true, value_name = "JSON")]
    filter: Option<String>,
    #[arg(long, hide = true)]
    with_assets: bool,
    #[arg(long, hide = true)]
    modified_since: Option<String>,
    #[arg(long, hide = true)]
    state: Option<String>,
}

impl NotYet {
    fn check(&self) -> Result<(), Problem> {
        let asked = [
            ("--mirror", self.mirror),
            ("--filter", self.filter.is_some()),
            ("--with-assets", self.with_assets),
            ("--modified-since", self.modified_since.is_some()),
            ("--state", self.state.is_some()),
        ];
        match asked.iter().find(|(_, is_asked)| *is_asked) {
            None => Ok(()),
            Some((option, _)) => Err(Problem::usage(format!(
                "{option} is not available in this version: it merges whole models (--models, --resources). Nothing was done"
            ))),
        }
    }
}

impl TransferOptions {
    pub async fn run(
        self,
        direction: Direction,
        other: String,
        config: Option<&Path>,
        output: &Output,
    ) -> Result<u8, Problem> {
        self.not_yet.check()?;
        let config = load_config(config)?;
        let request = SyncRequest {
            direction,
            other,
            models: self.models,
            resources: self.resources.map(BTreeSet::from_iter),
            batch_size: self.batch_size,
            window: self.window,
            if_busy: self.if_busy.into(),
            urgent: self.urgent,
            started_by: super::person(),
        };
        let session = Session::open(config, Need::Work).await?;
        if self.detach && session.embedded.as_ref().is_some_and(|embedded| embedded.is_host()) {
            session.close().await?;
            return Err(Problem::usage(
                "--detach needs a host that stays: set redis = \"redis://...\" in the config and start `cockpit-sync \
                 worker`, or leave --detach out",
            ));
        }
        let submitted = producer::submit(&request, &session.config, &session.directory, &session.queue).await;
        let run = match submitted {
            Ok(run) => run,
            Err(problem) => {
                session.close().await?;
                return Err(problem);
            }
        };
        if self.detach {
            let view = session.queue.run(&run).await?;
            let text = || format!("run {run}\nfollow it with: cockpit-sync watch {}", short(&run));
            output.print(&report(&view), text)?;
            session.close().await?;
            return Ok(0);
        }
        let patience = Some(Duration::from_secs(self.worker_timeout));
        see_to_end(session, &run, patience, output).await
    }
}

/// Follows a run of this command to its end, and prints how it came out.
pub async fn see_to_end(
    session: Session,
    run: &str,
    patience: Option<Duration>,
    output: &Output,
) -> Result<u8, Problem> {
    let mut display = Display::new(output);
    let followed = tokio::select! {
        followed = follow(&session.queue, run, patience, |news| display.show(news)) => followed,
        () = super::asked_to_stop() => interrupted(&session, run).await,
    };
    display.clear();
    let ended = match followed {
        Ok(view) => print_end(&view, output),
        Err(problem) => Err(problem),
    };
    session.close().await?;
    ended
}

/// Ctrl-C: the embedded host takes its run along; elsewhere the run goes on without us.
async fn interrupted(session: &Session, run: &str) -> Result<RunView, Problem> {
    if session.embedded.is_none() {
        return Err(Problem::new(
            ProblemKind::Lost,
            format!("left alone, run {run} goes on. Follow it with: cockpit-sync watch {}", short(run)),
        ));
    }
    let view = session.queue.run(run).await?;
    producer::cancel(&session.queue, &session.directory, &view, &super::person()).await?;
    follow(&session.queue, run, None, |_: Follow<'_>| {}).await
}

/// Prints a run that is over; gives back the documented exit code.
pub fn print_end(view: &RunView, output: &Output) -> Result<u8, Problem> {
    let report = report(view);
    output.print(&report, || {
        let has_notes = report.counts.held + report.dead_jobs + report.edited_meanwhile > 0;
        let more = format!("\nwhich and why: cockpit-sync show {} --held", short(&report.run));
        ended_in_words(&report) + if has_notes { &more } else { "" }
    })?;
    Ok(match view.state {
        RunState::Finished => 0,
        RunState::FinishedHeld => 3,
        RunState::Cancelled | RunState::Unlocked => ProblemKind::Lost.exit_code(),
        _ => ProblemKind::Failed.exit_code(),
    })
}

/// The end of a run for people.
pub fn ended_in_words(report: &RunReport) -> String {
    let mut rows = table(&["", "created", "updated", "unchanged", "held"]);
    for (resource, models) in &report.resources {
        for (model, counts) in models {
            let name = if resource == model { resource.clone() } else { format!("{resource} {model}") };
            let numbers = [counts.created, counts.updated, counts.unchanged, counts.held];
            rows.add_row(std::iter::once(name).chain(numbers.map(|number| number.to_string())));
        }
    }
    let mut text = format!("{rows}\n");
    let rate = if report.seconds > 0.0 { report.items as f64 / report.seconds } else { 0.0 };
    text += &format!(
        "{} {} -> {}: {} in {:.1} s, {} items ({rate:.0}/s), {} written{}",
        report.direction,
        report.source,
        report.target,
        report.state,
        report.seconds,
        report.items,
        bytes(report.bytes),
        if report.verified { ", verified equal" } else { "" }
    );
    if report.edited_meanwhile > 0 {
        text += &format!("\n{} items were edited by others meanwhile and left alone", report.edited_meanwhile);
    }
    if let Some(error) = &report.error {
        text += &format!("\n{error}");
    }
    if let Some(by) = &report.by {
        text += &format!("\nby {by}");
    }
    text
}
