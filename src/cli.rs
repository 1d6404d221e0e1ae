//! The command line: one file per command. Commands parse what is typed, call the libraries and print; no logic.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use producer::Problem;
use tracing::Instrument;

mod agent;
mod apply;
mod audit;
mod cancel;
mod check;
mod dead;
mod doctor;
mod events;
mod explain;
mod item;
mod keys;
mod log_lines;
mod notifications;
mod output;
mod plan;
mod protection;
mod pull;
mod push;
mod retry;
mod runs;
mod schedule;
mod serve;
mod settings;
mod show;
mod status;
mod table;
mod token;
mod transfer;
mod undo;
mod unlock;
mod verify;
mod version;
mod watch;
mod worker;
mod workers;

pub use output::Output;

use crate::logs;
use crate::telemetry::Telemetry;

/// Jobs a worker executes at a time unless told otherwise.
pub const DEFAULT_CONCURRENCY: u32 = 4;

const EXIT_CODES: &str = "Exit codes: 0 done, 1 the run failed, 2 usage or config, 3 finished with items held, \
4 refused (lock, guard, permission), 5 unreachable (agent, Redis, no worker), 6 the run was lost or cancelled, \
7 differences found.";

/// Moves content between instances of Cockpit CMS: content models, items, assets, locales.
#[derive(Debug, Parser)]
#[command(name = "cockpit-sync", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Arguments {
    /// The config, else the file that COCKPIT_SYNC_CONFIG names, else cockpit-sync.toml in this directory. For `agent`: its
    /// own config, if any
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON document (or one per line, where there is no end) on stdout; logs go to stderr
    #[arg(long, global = true)]
    json: bool,
    /// What to log, of all or by channel (sync, queue, agent, serve, listening, notify): "info", "warn,sync=debug"
    #[arg(long, global = true, value_name = "FILTER", env = "COCKPIT_SYNC_LOG")]
    log: Option<String>,
    /// How to log
    #[arg(long, global = true, value_name = "FORMAT", env = "COCKPIT_SYNC_LOG_FORMAT", default_value = "text")]
    log_format: logs::Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring the local instance's content to another instance
    Push(push::Push),
    /// Bring another instance's content to the local one
    Pull(pull::Pull),
    /// Show what a push or pull would do, and write nothing
    Plan(plan::Plan),
    /// Carry out a plan that was kept with `plan -o`: exactly that, or nothing
    Apply(apply::Apply),
    /// Compare an instance with the local one: has it everything that is here, the same?
    Verify(verify::Verify),
    /// Compare an instance with the local one: do both hold the same, and nothing else?
    Drift(verify::Verify),
    /// Single items, with what they refer to, at once
    Item(item::Item),
    /// Serve one Cockpit's storage to workers (runs beside the Cockpit)
    Agent(agent::Agent),
    /// Execute jobs (any number of these, anywhere)
    Worker(worker::Worker),
    /// Serve the control API and the dashboard, until told to stop
    Serve(serve::Serve),
    /// Make a token for somebody who is to use `serve`
    Token(token::Token),
    /// Show, per target, who holds it, how far it is and what waits
    Status(status::Status),
    /// List runs, newest first
    Runs(runs::Runs),
    /// What runs by itself: list it, fire it now
    Schedule(schedule::Schedule),
    /// Show one run
    Show(show::Show),
    /// Say in one sentence why a run waits, or what it does
    Explain(explain::Explain),
    /// Follow a run to its end
    Watch(watch::Watch),
    /// Print events: what happened, in order
    Events(events::Events),
    /// Print what workers, serve and commands logged: of a run, or of all
    Logs(log_lines::Logs),
    /// End a run; nothing of it lands afterwards
    Cancel(cancel::Cancel),
    /// Run again what an ended run left over
    Retry(retry::Retry),
    /// Give a target back what a run overwrote or deleted, and remove what it created
    Undo(undo::Undo),
    /// Jobs that were given up: list them, show them, put them back to work, drop them
    Dead(dead::Dead),
    /// What is done when something happens ([[on]] of the config), and what of it waits or failed
    Notifications(notifications::Notifications),
    /// Reset the lock of a target: ends the right to write, whoever holds it
    Unlock(unlock::Unlock),
    /// Ask agents whether they are there and accept our keys
    Check(check::Check),
    /// Show what an instance's agent wrote down: who wrote what, and what was refused
    Audit(audit::Audit),
    /// Keys of agents: make, list, retire and test them
    Keys(keys::Keys),
    /// Is everything in order? Goes through Redis, workers and each instance, and says what to do
    Doctor(doctor::Doctor),
    /// List the workers that are alive
    Workers(workers::Workers),
    /// Print what can be set in the config files, with types and defaults
    Settings(settings::Settings),
    /// Print the version, and which versions of the protocol and of jobs this program knows
    Version(version::Version),
    /// Print what makes a shell complete our commands and options
    Completions(version::Completions),
    /// Print the manual page
    Man(version::Man),
    /// Become another program that ends with this one's parent (used for the private redis-server)
    #[command(hide = true)]
    Guard(Guard),
}

#[derive(Debug, clap::Args)]
struct Guard {
    #[arg(long)]
    parent: u32,
    #[arg(long)]
    lock: PathBuf,
    #[arg(last = true)]
    program: Vec<std::ffi::OsString>,
}

impl Arguments {
    /// What was typed. With `--json`, what is wrong with it is said as any other refusal is.
    pub fn typed() -> Self {
        Self::try_parse().unwrap_or_else(|error| {
            let is_json = std::env::args().skip(1).take_while(|word| word != "--").any(|word| word == "--json");
            if is_json && error.use_stderr() {
                let problem = Problem::usage(error.render().to_string().trim_end());
                Output::new(true).problem(&problem);
                std::process::exit(i32::from(problem.kind.exit_code()));
            }
            error.exit()
        })
    }

    pub fn is_worker(&self) -> bool {
        matches!(self.command, Command::Worker(_))
    }
}

/// Runs a command; gives back the exit code.
pub async fn run(arguments: Arguments) -> u8 {
    let output = Output::new(arguments.json);
    let config = arguments.config.as_deref();
    let result = match arguments.command {
        Command::Push(push) => push.run(config, &output).instrument(trace_of("push")).await,
        Command::Pull(pull) => pull.run(config, &output).instrument(trace_of("pull")).await,
        Command::Plan(plan) => plan.run(config, &output).await,
        Command::Apply(apply) => apply.run(config, &output).instrument(trace_of("apply")).await,
        Command::Verify(verify) => verify.verify(config, &output).await,
        Command::Drift(verify) => verify.drift(config, &output).await,
        Command::Item(item) => item.run(config, &output).instrument(trace_of("item")).await,
        Command::Agent(agent) => agent.run(config, &output).await,
        Command::Worker(worker) => worker.run(config).await,
        Command::Serve(serve) => serve.run(config, &output).await,
        Command::Token(token) => token.run(&output),
        Command::Status(status) => status.run(config, &output).await,
        Command::Runs(runs) => runs.run(config, &output).await,
        Command::Schedule(schedule) => schedule.run(config, &output).instrument(trace_of("schedule")).await,
        Command::Show(show) => show.run(config, &output).await,
        Command::Explain(explain) => explain.run(config, &output).await,
        Command::Watch(watch) => watch.run(config, &output).await,
        Command::Events(events) => events.run(config, &output).await,
        Command::Logs(wanted) => wanted.run(config, &output).await,
        Command::Cancel(cancel) => cancel.run(config, &output).await,
        Command::Retry(retry) => retry.run(config, &output).instrument(trace_of("retry")).await,
        Command::Undo(undo) => undo.run(config, &output).instrument(trace_of("undo")).await,
        Command::Dead(dead) => dead.run(config, &output).await,
        Command::Notifications(notifications) => notifications.run(config, &output).await,
        Command::Unlock(unlock) => unlock.run(config, &output).await,
        Command::Check(check) => check.run(config, &output).await,
        Command::Audit(audit) => audit.run(config, &output).await,
        Command::Keys(keys) => keys.run(config, &output).await,
        Command::Doctor(doctor) => doctor.run(config, &output).await,
        Command::Settings(settings) => settings.run(&output),
        Command::Version(version) => version.run(&output),
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
        Command::Workers(workers) => workers.run(config, &output).await,
        Command::Guard(guard) => {
            let error = crate::embedded::exec_guarded(guard.parent, &guard.lock, &guard.program);
            Err(Problem::usage(format!("guard: {error}")))
        }
    };
    logs::flush().await;
    result.unwrap_or_else(|problem| {
        output.problem(&problem);
        problem.kind.exit_code()
    })
}

/// Logs go to stderr, and what is told everybody to Redis. People who type commands want to see warnings; agents and workers also say what they do.
pub fn start_logging(arguments: &Arguments) -> Telemetry {
    let usual = match arguments.command {
        Command::Agent(_) | Command::Worker(_) | Command::Serve(_) => "info",
        _ => "warn",
    };
    let filter = arguments.log.as_deref().unwrap_or(usual);
    let filter = logs::filter(filter).unwrap_or_else(|error| {
        eprintln!("cockpit-sync: --log {filter:?} is no filter ({error}); logging {usual}");
        tracing_subscriber::EnvFilter::new(usual)
    });
    // An agent knows no Redis: what it kept for one would stay in its memory.
    let is_kept = !matches!(arguments.command, Command::Agent(_));
    Telemetry::start(arguments.log_format, filter, is_kept)
}

/// The beginning of a run's trace.
fn trace_of(command: &str) -> tracing::Span {
    tracing::info_span!(target: protocol::trace::TARGET, "command", otel.name = command)
}

/// This machine, in lists of workers and in "started by".
pub fn host_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.unwrap_or_else(|| "unknown host".into())
}

/// Who types: "anna on web1".
fn person() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    format!("{} on {}", user.map_or_else(|| "somebody".into(), |user| user.name), host_name())
}

/// Waits for Ctrl-C or SIGTERM.
async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers the signals end the process, as they do by default.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
