//! `agent`: the HTTP endpoint beside one Cockpit.

use std::net::SocketAddr;
use std::path::PathBuf;

use ::agent::{Agent as Endpoint, AgentSettings, AgentToml};
use config::{Environment, Secret};
use producer::{Problem, ProblemKind};

use super::Output;
use crate::recorder::Recorder;
use crate::session::agent_problem;

#[derive(Debug, clap::Args)]
pub struct Agent {
    /// The Cockpit (or one of its spaces): the directory that holds storage/
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = ::agent::DEFAULT_LISTEN)]
    listen: SocketAddr,
    /// The agent's own state [default: storage/cockpit-sync below the root]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
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

impl Agent {
    pub async fn run(self, config: Option<&std::path::Path>, output: &Output) -> Result<u8, Problem> {
        let wrong = |error: &dyn std::error::Error| Problem::usage(error.to_string());
        // Its own config has one table, [agent]; cockpit-sync.toml is for workers and commands.
        let toml = match config {
            Some(file) => AgentToml::read(file, &Environment::of_process()).map_err(|error| wrong(&error))?,
            None => AgentToml::default(),
        };
        let mut settings = AgentSettings::new(&self.root, self.listen).with_config(toml);
        settings.state_dir = self.state;
        settings.read_only |= self.read_only;
        settings.commit_log = self.commit_log;
        let recorder = Recorder::install()?;
        settings.render = Some(recorder.render());
        let settings = settings.with_environment_key(self.key.map(Secret::new)).map_err(|error| wrong(&error))?;
        ::agent::become_owner(&self.root).map_err(|error| {
            Problem::usage(format!("started as root, but the owner of the storage cannot be taken on: {error}"))
        })?;
        let started = Endpoint::start(settings).await;
        let running = started.map_err(|error| agent_problem("agent", &error))?;
        let address = running.address();
        let instance = running.instance().to_owned();
        output.print(&serde_json::json!({ "listening": address.to_string(), "instance": instance }), || {
            format!("agent of {} listens on http://{address} (instance {instance})", self.root.display())
        })?;
        let ended = running.run_until(super::asked_to_stop()).await;
        ended.map_err(|error| Problem::new(ProblemKind::Failed, error.to_string()))?;
        Ok(0)
    }
}
