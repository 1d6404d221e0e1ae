//! What push and pull share: options, the live display, the end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use config::Config;
use producer::options::{Options, preset, read_jobs};
use producer::{BATCH_SIZE, Choice, Follow, Problem, ProblemKind, SyncRequest, WINDOW, follow, report};
use protocol::conflicts::{ConflictRules, OnConflict};
use protocol::run::{Direction, OnLocked};
use queue::{IfBusy, RunView};

use super::Output;
use super::protection::Protection;
use super::table::short;
use crate::session::{Need, Session, load_config};

mod display;
mod ending;
mod fan_out;

pub use display::Display;
pub use ending::{ended_in_words, print_end};
pub use fan_out::{FanOut, targets};

/// A run that no worker takes is withdrawn after so many seconds.
const WORKER_PATIENCE: u64 = 30;

#[derive(Debug, clap::Args)]
pub struct TransferOptions {
    #[command(flatten)]
    chosen: Options,
    /// What a job file says: [{"name": "content", "syncSettings": {...}}, ...]
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    jobs: Option<PathBuf>,
    /// What [preset.NAME] of the config says; what is given here goes before it
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    #[command(flatten)]
    rules: Rules,
    #[command(flatten)]
    run: RunOptions,
}

/// What is done about what stands in the way.
#[derive(Debug, clap::Args)]
pub struct Rules {
    /// Which version of an item stays that was changed on both sides since they agreed last: source, target, newest or hold
    /// (neither is touched, the item is held) [default: as [conflicts] of the config says, else source]
    #[arg(long, value_name = "WHICH")]
    on_conflict: Option<OnConflict>,
    /// Go on when definitions of models would change so that values on the target break (see `plan`)
    #[arg(long)]
    accept_schema_changes: bool,
    /// What to do with a document that an editor has open in Cockpit on the target
    #[arg(long, value_enum, default_value_t = WhenLocked::Hold)]
    on_locked: WhenLocked,
}

impl Rules {
    pub fn apply_to(&self, request: SyncRequest) -> SyncRequest {
        SyncRequest {
            on_conflict: self.on_conflict.map(|default| ConflictRules { default, ..ConflictRules::default() }),
            accept_schema_changes: self.accept_schema_changes,
            on_locked: self.on_locked.into(),
            ..request
        }
    }
}

/// How a run gets in line, and who waits for it.
#[derive(Debug, clap::Args)]
pub struct RunOptions {
    #[command(flatten)]
    pub follow: FollowOptions,
    /// What to do when another sync to the target is running or waiting
    #[arg(long, value_enum, default_value_t = WhenBusy::Wait)]
    pub if_busy: WhenBusy,
    #[command(flatten)]
    pub protection: Protection,
}

/// Who waits for a run.
#[derive(Debug, clap::Args)]
pub struct FollowOptions {
    /// Enqueue, print the run and leave it to the workers
    #[arg(long)]
    detach: bool,
    /// Give up, leaving nothing behind, when no worker has appeared after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = WORKER_PATIENCE)]
    worker_timeout: u64,
}

/// What a mirror does to a protected target.
pub const MIRROR: &str = "delete there what the source does not have";

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

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum WhenLocked {
    /// Wait until the editor is done, for ten minutes at most
    Wait,
    /// Leave it, and name it
    Hold,
    /// Write it all the same
    Override,
}

impl From<WhenLocked> for OnLocked {
    fn from(when: WhenLocked) -> Self {
        match when {
            WhenLocked::Wait => Self::Wait,
            WhenLocked::Hold => Self::Hold,
            WhenLocked::Override => Self::Override,
        }
    }
}

impl TransferOptions {
    /// What is to be brought, and how: as typed, before what a preset or a job file says.
    fn chosen(&self, config: &Config) -> Result<(Choice, Options), Problem> {
        let typed = self.chosen.clone();
        if let Some(file) = &self.jobs {
            if typed.say_what() {
                return Err(Problem::usage(
                    "--jobs says what is brought: beside it stand only options of how (--batch-size, --window, \
                     --pause-between-batches, --max-rate, --time-limit, --urgent)",
                ));
            }
            let text = std::fs::read_to_string(file)
                .map_err(|error| Problem::usage(format!("{} cannot be read: {error}", file.display())))?;
            let (choice, of_jobs) = read_jobs(&text)?;
            return Ok((choice, typed.or(of_jobs)));
        }
        let options = match &self.preset {
            Some(name) => typed.or(preset(config, name)?),
            None => typed,
        };
        Ok((options.choice()?, options))
    }

    pub async fn run(
        self,
        direction: Direction,
        other: String,
        config: Option<&Path>,
        output: &Output,
    ) -> Result<u8, Problem> {
        self.run_each(direction, vec![other], None, config, output).await
    }

    /// The same for each of these instances, each its own run.
    pub async fn run_each(
        self,
        direction: Direction,
        others: Vec<String>,
        canary: Option<String>,
        config: Option<&Path>,
        output: &Output,
    ) -> Result<u8, Problem> {
        if canary.is_some() && self.run.follow.detach {
            return Err(Problem::usage(
                "--canary waits for a run, and --detach leaves runs to the workers: leave one of them out",
            ));
        }
        let config = load_config(config)?;
        let request = self.request(direction, others[0].clone(), &config)?;
        if request.mirror.is_some() {
            let targets = if direction == Direction::Push { &others } else { &vec![config.local.clone()] };
            self.run.protection.check(targets, &config, MIRROR, output)?;
        }
        if others.len() > 1 {
            let to = |other: String| SyncRequest { other, ..request.clone() };
            let requests = others.into_iter().map(to).collect();
            return FanOut { requests, canary, follow: &self.run.follow, output }.run(config).await;
        }
        let submit = async |session: &Session| {
            producer::submit(&request, &session.config, &session.directory, &session.queue).await
        };
        self.run.follow.submit_and_follow(config, output, submit).await
    }

    /// What is asked for.
    pub fn request(&self, direction: Direction, other: String, config: &Config) -> Result<SyncRequest, Problem> {
        let (choice, options) = self.chosen(config)?;
        let mirror = options.mirror()?;
        Ok(self.rules.apply_to(SyncRequest {
            direction,
            other,
            choice,
            pace: options.how.pace(),
            on_conflict: None,
            accept_schema_changes: false,
            batch_size: options.how.batch_size.unwrap_or(BATCH_SIZE),
            window: options.how.window.unwrap_or(WINDOW),
            if_busy: self.run.if_busy.into(),
            on_locked: OnLocked::default(),
            urgent: options.how.urgent,
            mirror,
            shares_source: false,
            started_by: super::person(),
        }))
    }
}

impl FollowOptions {
    /// A session in which runs get on, also those that are left to the workers.
    async fn open(&self, config: Config) -> Result<Session, Problem> {
        let session = Session::open(config, Need::Work).await?;
        if self.detach && session.embedded.as_ref().is_some_and(|embedded| embedded.is_host()) {
            session.close().await?;
            return Err(Problem::usage(
                "--detach needs a host that stays: set redis = \"redis://...\" in the config and start `cockpit-sync \
                 worker`, or leave --detach out",
            ));
        }
        Ok(session)
    }

    /// Opens a session in which `submit` enqueues a run, and follows that to its end, unless told to leave it.
    pub async fn submit_and_follow(
        &self,
        config: Config,
        output: &Output,
        submit: impl AsyncFnOnce(&Session) -> Result<String, Problem>,
    ) -> Result<u8, Problem> {
        let session = self.open(config).await?;
        let run = match submit(&session).await {
            Ok(run) => run,
            Err(problem) => {
                session.close().await?;
                return Err(problem);
            }
        };
        if self.detach {
            return leave_to_workers(session, &run, output).await;
        }
        let patience = Some(Duration::from_secs(self.worker_timeout));
        see_to_end(session, &run, patience, output).await
    }
}

/// Prints a run that the workers go on with, and how to follow it.
pub async fn leave_to_workers(session: Session, run: &str, output: &Output) -> Result<u8, Problem> {
    let view = session.queue.run(run).await?;
    let text = || format!("run {run}\nfollow it with: cockpit-sync watch {}", short(run));
    output.print(&report(&view), text)?;
    session.close().await?;
    Ok(0)
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
