//! What an agent is started with, and what it lets callers do.
//!
//! The agent's own settings decide, whatever a caller asks for. Keys come from three places (Cockpit's config.php,
//! `COCKPIT_SYNC_KEY`, the agent's config) and all of them are accepted, so that keys can be rotated without a gap.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use config::{Secret, SecretTables};
use listening::tls;
use protocol::mirror::MaxDelete;
use protocol::sign::{KeyTooShort, MIN_KEY_LENGTH};
use protocol::viewing::Viewers;

use crate::allowed::AllowedModels;
use crate::keys::{self, AcceptedKey};
use crate::storage::{Clock, Places, StorageSettings, UndoLimits};

mod agent_toml;
mod networks;
mod rate;

pub use agent_toml::{AgentToml, AgentTomlError};
pub use networks::{Networks, NotANetwork};
pub use rate::Rate;

/// Where an agent listens when nothing else is said.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8101";
/// The environment variable that may hold the sync key.
pub const KEY_VARIABLE: &str = "COCKPIT_SYNC_KEY";

/// The key in the environment cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{KEY_VARIABLE}: {0}")]
pub struct EnvironmentKeyTooShort(#[from] KeyTooShort);

/// All that is recorded in this process, as Prometheus reads it.
pub type Render = Arc<dyn Fn() -> String + Send + Sync>;

/// All an agent needs to know.
#[derive(Clone)]
pub struct AgentSettings {
    /// The directory that holds `storage/data`.
    pub root: PathBuf,
    /// Port 0 lets the system choose; [`crate::RunningAgent::address`] tells.
    pub listen: SocketAddr,
    /// Where Cockpit keeps what lies elsewhere than below the root.
    pub places: Places,
    /// The agent's own state; none = `cockpit-sync` in Cockpit's storage directory.
    pub state_dir: Option<PathBuf>,
    /// Accepted besides the key in config.php.
    pub keys: Vec<AcceptedKey>,
    /// Takes no writes, whoever asks.
    pub read_only: bool,
    /// Its content may be read out: it can be the source of a sync.
    pub is_source: bool,
    /// Who may talk to it at all; everybody when none.
    pub allow: Option<Networks>,
    /// Whose `X-Forwarded-For` is believed. Otherwise a caller's address is that of its connection: behind a web
    /// server the web server's own.
    pub trusted_proxies: Networks,
    /// Requests of one key; any number when none.
    pub rate_limit: Option<Rate>,
    /// So many attempts without one of our keys are looked at, for each address.
    pub failed_attempts: Rate,
    /// Ends TLS itself; none: plain HTTP, for a web server on this machine.
    pub tls: Option<tls::Files>,
    /// Which models may be read, and which written.
    pub models: AllowedModels,
    /// Whether a mirror may delete here.
    pub delete: bool,
    /// The most that one run may delete here: so many documents in all, or such a share of each collection.
    pub max_delete: Option<MaxDelete>,
    /// What is kept so that runs can be undone.
    pub undo: UndoLimits,
    /// `[[on]]`: what is done after a run that wrote here.
    pub on: SecretTables,
    /// Who may look at /metrics, /healthz and /readyz.
    pub viewers: Viewers,
    /// What /metrics shows; without it there are no metrics.
    pub render: Option<Render>,
    /// Where "now" comes from.
    pub now: Clock,
    /// A testing aid: one line of JSON per commit.
    pub commit_log: Option<PathBuf>,
}

impl AgentSettings {
    /// Serves all of `root`, with the clock of the system, without keys but that of config.php.
    pub fn new(root: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self {
            root: root.into(),
            listen,
            places: Places::default(),
            state_dir: None,
            keys: Vec::new(),
            read_only: false,
            is_source: true,
            allow: None,
            trusted_proxies: Networks::default(),
            rate_limit: None,
            failed_attempts: Rate::of_failed_attempts(),
            tls: None,
            models: AllowedModels::default(),
            delete: true,
            max_delete: None,
            undo: UndoLimits::default(),
            on: SecretTables::default(),
            viewers: Viewers::default(),
            render: None,
            now: Arc::new(SystemTime::now),
            commit_log: None,
        }
    }

    /// Takes over what `[agent]` or `[instance.NAME.agent]` says.
    pub fn with_config(mut self, config: AgentToml) -> Self {
        self.places = config.places;
        self.read_only = config.read_only;
        self.is_source = config.is_source;
        self.allow = config.allow;
        self.trusted_proxies = config.trusted_proxies;
        self.rate_limit = config.rate_limit;
        self.failed_attempts = config.failed_attempts;
        self.tls = config.tls;
        self.models = config.models;
        self.delete = config.delete;
        self.max_delete = config.max_delete;
        self.undo = config.undo;
        self.on = config.on;
        self.keys.extend(config.keys);
        self.viewers = config.viewers;
        self
    }

    /// Accepts the key of the environment variable [`KEY_VARIABLE`] too, when there is one. An empty one is none.
    pub fn with_environment_key(mut self, key: Option<Secret>) -> Result<Self, EnvironmentKeyTooShort> {
        if let Some(key) = key.filter(|key| !key.expose().is_empty()) {
            self.keys.push(keys::unlimited(key.expose(), KEY_VARIABLE)?);
        }
        Ok(self)
    }

    pub(crate) fn storage(&self) -> StorageSettings {
        StorageSettings {
            root: self.root.clone(),
            places: self.places.clone(),
            state_dir: self.state_dir.clone(),
            read_only: self.read_only,
            models: self.models.clone(),
            delete: self.delete,
            max_delete: self.max_delete,
            undo: self.undo,
            on: self.on.clone(),
            now: self.now.clone(),
            commit_log: self.commit_log.clone(),
        }
    }
}

/// What an agent without any key says.
pub(crate) fn no_key_message() -> String {
    format!(
        "there is no sync key, so nobody could be let in. Give one of at least {MIN_KEY_LENGTH} characters in one of \
         these places: 'sync' => ['syncKey' => '...'] in Cockpit's config/config.php; the environment variable \
         {KEY_VARIABLE}; the command `keys new --root DIR`; keys = [\"...\"] under [agent] in the file that --config names"
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn with(key: &str) -> Result<AgentSettings, String> {
        let settings = AgentSettings::new("/nowhere", SocketAddr::from(([127, 0, 0, 1], 0)));
        settings.with_environment_key(Some(Secret::new(key))).map_err(|error| error.to_string())
    }

    #[test]
    fn the_key_of_the_environment_is_accepted_besides_others() {
        assert!(with("a key of twenty characters").unwrap().keys[0].key.matches("a key of twenty characters"));
        assert!(with("").unwrap().keys.is_empty(), "compose files set variables to nothing");
        let Err(message) = with("hush-hush") else { panic!("a short key was taken") };
        assert!(message.contains(KEY_VARIABLE) && !message.contains("hush"), "{message}");
    }
}
