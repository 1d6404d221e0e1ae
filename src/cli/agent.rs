//! `agent`: the HTTP endpoint beside one Cockpit.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ::agent::{Agent as Endpoint, AgentSettings, AgentToml, Places};
use config::{Environment, Secret};
use producer::{Problem, ProblemKind};

use super::Output;
use crate::recorder::Recorder;
use crate::session::agent_problem;

#[derive(Debug, clap::Args)]
pub struct Agent {
    #[command(flatten)]
    which: WhichCockpit,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = ::agent::DEFAULT_LISTEN)]
    listen: SocketAddr,
    /// Take no writes, whoever asks
    #[arg(long)]
    read_only: bool,
    /// A testing aid: append one line of JSON per commit to this file
    #[arg(long, hide = true, value_name = "FILE")]
    commit_log: Option<PathBuf>,
    /// A key of at least 20 characters; others: sync.syncKey in config/config.php, keys in the config
    #[arg(long, env = ::agent::KEY_VARIABLE, hide_env_values = true, hide = true)]
    key: Option<String>,
}

/// Which Cockpit it is about, and where its agent keeps what is its own.
#[derive(Debug, clap::Args)]
pub struct WhichCockpit {
    /// The Cockpit (or one of its spaces): the directory that holds storage/
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// This space of the Cockpit: the same as --root DIR/.spaces/NAME
    #[arg(long, value_name = "NAME")]
    space: Option<String>,
    /// The agent's own state [default: storage/cockpit-sync below the root]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    places: PlaceFlags,
}

impl WhichCockpit {
    /// The settings of its agent; `config` is the agent's own.
    pub fn settings(self, listen: SocketAddr, config: Option<&Path>) -> Result<AgentSettings, Problem> {
        let wrong = |error: &dyn std::error::Error| Problem::usage(error.to_string());
        // Its own config has one table, [agent]; cockpit-sync.toml is for workers and commands.
        let toml = match config {
            Some(file) => AgentToml::read(file, &Environment::of_process()).map_err(|error| wrong(&error))?,
            None => AgentToml::default(),
        };
        let root = match &self.space {
            Some(space) => space_of(&self.root, space)?,
            None => self.root,
        };
        let mut settings = AgentSettings::new(root, listen).with_config(toml);
        settings.places = self.places.over(settings.places).map_err(|error| wrong(&error))?;
        settings.state_dir = self.state;
        Ok(settings)
    }
}

/// As in Cockpit's config/config.php, where that moves something.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Where Cockpit's config moves things")]
struct PlaceFlags {
    /// paths.#storage; the models are in content below it [default: storage below the root, as in Cockpit]
    #[arg(long, value_name = "DIR")]
    storage: Option<PathBuf>,
    /// database.server (mongolite://DIR) [default: storage/data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// paths.#uploads [default: storage/uploads]
    #[arg(long, value_name = "DIR")]
    uploads: Option<PathBuf>,
    /// paths.#tmp, for thumbnails [default: storage/tmp]
    #[arg(long, value_name = "DIR")]
    tmp: Option<PathBuf>,
    /// memory.server (redislite://FILE) [default: storage/data/app.memory.sqlite]
    #[arg(long, value_name = "FILE")]
    memory: Option<PathBuf>,
}

impl PlaceFlags {
    /// Whole paths; what is not given stays as the agent's own config has it.
    fn over(self, config: Places) -> std::io::Result<Places> {
        let whole = |given: Option<PathBuf>, config: Option<PathBuf>| match given {
            Some(path) => std::path::absolute(path).map(Some),
            None => Ok(config),
        };
        Ok(Places {
            storage: whole(self.storage, config.storage)?,
            data: whole(self.data, config.data)?,
            uploads: whole(self.uploads, config.uploads)?,
            tmp: whole(self.tmp, config.tmp)?,
            memory: whole(self.memory, config.memory)?,
        })
    }
}

/// The directory of a Cockpit's space.
fn space_of(root: &Path, space: &str) -> Result<PathBuf, Problem> {
    let spaces = root.join(".spaces");
    let entries = std::fs::read_dir(&spaces).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    if names.iter().any(|name| name == space) {
        return Ok(spaces.join(space));
    }
    let known = if names.is_empty() { "none".into() } else { names.join(", ") };
    Err(Problem::usage(format!("there is no space {space:?} in {}: there are {known}", spaces.display())))
}

impl Agent {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let wrong = |error: &dyn std::error::Error| Problem::usage(error.to_string());
        let mut settings = self.which.settings(self.listen, config)?;
        let root = settings.root.clone();
        let scheme = if settings.tls.is_some() { "https" } else { "http" };
        settings.read_only |= self.read_only;
        settings.commit_log = self.commit_log;
        let recorder = Recorder::install()?;
        settings.render = Some(recorder.render());
        let settings = settings.with_environment_key(self.key.map(Secret::new)).map_err(|error| wrong(&error))?;
        ::agent::become_owner(&settings).map_err(|error| {
            Problem::usage(format!("started as root, but the owner of the storage cannot be taken on: {error}"))
        })?;
        let started = Endpoint::start(settings).await;
        let running = started.map_err(|error| agent_problem("agent", &error))?;
        let address = running.address();
        let instance = running.instance().to_owned();
        output.print(&serde_json::json!({ "listening": address.to_string(), "instance": instance }), || {
            format!("agent of {} listens on {scheme}://{address} (instance {instance})", root.display())
        })?;
        let ended = running.run_until(super::asked_to_stop()).await;
        ended.map_err(|error| Problem::new(ProblemKind::Failed, error.to_string()))?;
        Ok(0)
    }
}
