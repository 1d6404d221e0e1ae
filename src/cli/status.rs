//! `status`: per target, who holds it, how far it is and what waits; and which worker has what.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use producer::{AliveWorker, Meter, Problem, Status as Now, TargetStatus};

use super::Output;
use super::table::{bytes, short, table};
use crate::session::{Need, Session, load_config};

#[derive(Debug, clap::Args)]
pub struct Status {
    /// Only this target
    target: Option<String>,
    /// Look again and again; where stdout is no terminal, one line of JSON each time
    #[arg(long)]
    watch: bool,
    /// How often, with --watch
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    interval: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (0.1..=3600.0).contains(&seconds) { Ok(seconds) } else { Err("between 0.1 and 3600".into()) }
}

/// Clears the screen and begins at its top.
const REDRAW: &str = "\x1b[H\x1b[2J";

impl Status {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let mut meter = Meter::default();
        if !self.watch {
            let session = self.open(config).await?;
            let looked = self.look(&session, &mut meter).await;
            session.close().await?;
            let now = looked?;
            output.print(&now, || in_words(&now))?;
            return Ok(0);
        }
        tokio::select! {
            ended = self.watch(config, output, &mut meter) => ended.map(|()| 0),
            // Looking away is no failure.
            () = super::asked_to_stop() => Ok(0),
        }
    }

    async fn open(&self, config: Option<&Path>) -> Result<Session, Problem> {
        Session::open(load_config(config)?, Need::Look).await
    }

    async fn look(&self, session: &Session, meter: &mut Meter) -> Result<Now, Problem> {
        let known: Vec<String> = session.config.instances.keys().cloned().collect();
        meter.look(&session.queue, &known, self.target.as_deref()).await
    }

    async fn watch(&self, config: Option<&Path>, output: &Output, meter: &mut Meter) -> Result<(), Problem> {
        let draws = std::io::stdout().is_terminal() && !output.is_json();
        let lines = Output::new(true);
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(self.interval));
        let mut open: Option<Session> = None;
        loop {
            ticks.tick().await;
            let session = match open.take() {
                Some(session) => session,
                None => self.open(config).await?,
            };
            match self.look(&session, meter).await {
                Ok(now) if draws => output.print(&now, || format!("{REDRAW}{}", in_words(&now)))?,
                Ok(now) => lines.print(&now, String::new)?,
                // What is away for a moment is looked at again with the next tick.
                Err(problem) => output.say(&problem.message),
            }
            // A host that only looks would keep others from working.
            if session.embedded.as_ref().is_some_and(|embedded| embedded.is_host()) {
                session.close().await?;
            } else {
                open = Some(session);
            }
        }
    }
}

fn in_words(now: &Now) -> String {
    let mut rows = table(&[
        "target",
        "now",
        "items",
        "written",
        "rate",
        "ETA",
        "backlog",
        "ready",
        "claimed",
        "delayed",
        "dead",
        "waiting",
        "last sync",
    ]);
    for target in &now.targets {
        let place = |name: &str| target.depth.get(name).map(ToString::to_string).unwrap_or_default();
        let mut row: Vec<String> = vec![target.target.clone()];
        row.extend(holder_in_words(target));
        row.extend(["backlog", "ready", "claimed", "delayed", "dead"].map(place));
        row.push(target.waiting.len().to_string());
        row.push(target.last_sync.as_ref().map_or_else(
            || "never".into(),
            |run| format!("{} {}", run.state, run.finished.as_deref().unwrap_or_default()),
        ));
        rows.add_row(row);
    }
    let mut text = rows.to_string();
    for target in &now.targets {
        if let (Some(run), Some(lease)) = (&target.holder, &target.lease) {
            text += &format!(
                "\n{}: held by run {} from {} since {}, renewed {} times; window {}; oldest since {}",
                target.target,
                short(&run.run),
                run.source,
                lease.since,
                lease.renewals,
                run.window.now,
                target.depth.get("oldest").and_then(|oldest| oldest.as_str()).unwrap_or("-"),
            );
        }
    }
    text += &format!("\n{} workers alive", now.workers);
    now.alive.iter().for_each(|worker| text += &worker_in_words(worker));
    text
}

/// now, items, written, rate, ETA
fn holder_in_words(target: &TargetStatus) -> [String; 5] {
    let (Some(run), Some(progress)) = (&target.holder, &target.progress) else {
        return ["idle".into(), String::new(), String::new(), String::new(), String::new()];
    };
    let eta = progress.eta_seconds.map_or_else(
        || "-".into(),
        |seconds| {
            let left = Duration::from_secs(seconds as u64);
            let items = progress.about_items_left;
            format!("{} (about {items} items, {})", indicatif::HumanDuration(left), bytes(progress.about_bytes_left))
        },
    );
    [
        format!("{} {} {} ({})", run.direction, run.state, run.stage, short(&run.run)),
        format!("{}/{}", run.items, run.items_total),
        bytes(run.bytes),
        format!("{:.0}/s {}/s", progress.items_per_second, bytes(progress.bytes_per_second as u64)),
        eta,
    ]
}

fn worker_in_words(worker: &AliveWorker) -> String {
    let jobs: Vec<&str> = worker.holds.iter().map(|held| held.job.as_str()).collect();
    let shown = jobs.iter().take(6).copied().collect::<Vec<_>>().join(", ");
    let more = jobs.len().saturating_sub(6);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let what = if jobs.is_empty() { "nothing".into() } else { shown + &more };
    format!("\n  {} {}: {}/{} {what}", worker.host, worker.pid, jobs.len(), worker.slots)
}
