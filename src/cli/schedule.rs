//! `schedule`: what runs by itself.

use std::path::Path;
use std::time::SystemTime;

use producer::Problem;
use producer::schedules::{self, ScheduleReport, TickReport};
use queue::TickOutcome;

use super::Output;
use super::table::{short, table};
use super::transfer::FollowOptions;
use crate::session::{Need, Session, load_config};

#[derive(Debug, clap::Args)]
pub struct Schedule {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// When each schedule fires next, and what became of the last time
    List,
    /// Fire a schedule now, whatever time it is
    Run {
        /// Its name in the config
        name: String,
        #[command(flatten)]
        follow: FollowOptions,
    },
}

impl Schedule {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let config = load_config(config)?;
        match self.what {
            What::List => {
                let session = Session::open(config, Need::Look).await?;
                let listed = schedules::list(&session.config, &session.queue, SystemTime::now()).await;
                session.close().await?;
                let listed = listed?;
                output.print(&listed, || in_words(&listed))?;
                Ok(0)
            }
            What::Run { name, follow } => {
                let submit = async |session: &Session| {
                    let Session { config, directory, queue, .. } = session;
                    schedules::run_by_hand(&name, config, directory, queue, super::person()).await
                };
                follow.submit_and_follow(config, output, submit).await
            }
        }
    }
}

fn in_words(listed: &[ScheduleReport]) -> String {
    if listed.is_empty() {
        return "the config has no [[schedule]]".into();
    }
    let mut rows = table(&["schedule", "", "next", "last", ""]);
    let mut remarks = String::new();
    for report in listed {
        let what = format!("{} {}", report.direction, report.instance);
        let next = report.next_local.clone().unwrap_or_else(|| "never again".into());
        let last = report.last.as_ref();
        let at =
            last.map_or_else(|| "-".into(), |last| last.tick.clone().unwrap_or_else(|| format!("{} by hand", last.at)));
        rows.add_row([report.schedule.clone(), what, next, at, last.map(outcome).unwrap_or_default()]);
        if let Some(missed) = &report.missed {
            let why = missed.why.as_deref().unwrap_or_default();
            let tick = missed.tick.as_deref().unwrap_or_default();
            remarks +=
                &format!("\n{}: {} missed so far, last that of {tick}: {why}", report.schedule, report.missed_total);
        }
        if let Some(overdue) = &report.overdue {
            remarks +=
                &format!("\n{}: the tick of {overdue} was not fired: does `cockpit-sync serve` run?", report.schedule);
        } else if !report.watched {
            remarks += &format!("\n{}: nobody has watched for it yet: start `cockpit-sync serve`", report.schedule);
        }
    }
    format!("{rows}{remarks}")
}

fn outcome(last: &TickReport) -> String {
    let run = last.run.as_deref().map(short).unwrap_or_default();
    match last.outcome {
        TickOutcome::Run => match last.state {
            Some(state) => format!("run {run} {state}"),
            None => format!("run {run} (forgotten since)"),
        },
        TickOutcome::Skipped => format!("skipped: run {run} was not over"),
        TickOutcome::Missed => format!("{} missed", last.count.unwrap_or(1)),
    }
}
