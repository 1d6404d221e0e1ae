//! What every command that talks to the queue needs: the agents by name, and the queue itself. With `redis` in the
//! config they are elsewhere; without, this process joins the embedded host or becomes it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::{Config, Environment, Instance, Place, Redis, RedisPlace, Secret};
use producer::Problem;
use protocol::client::{AgentClient, BaseUrl, HttpSettings, PlainHttp, http_client};
use protocol::directory::{AgentAddress, Directory};
use protocol::sign::SyncKey;
use queue::Queue;

use crate::embedded::{self, Embedded};
use crate::logs;

/// What a command wants of the embedded host, should it have to be the host itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Look at runs or end them: Redis and the agents.
    Look,
    /// Runs are to get on: a worker as well; ends when all runs have ended.
    Work,
}

pub struct Session {
    pub config: Config,
    pub directory: Directory,
    pub queue: Queue,
    pub embedded: Option<Embedded>,
    /// What is unwise about the Redis of the config.
    pub redis_warnings: Vec<String>,
}

impl Session {
    pub async fn open(config: Config, need: Need) -> Result<Self, Problem> {
        if let Some(redis) = &config.redis {
            let directory = directory(remote_agents(&config)?)?;
            let connected = Queue::connect(queue_settings(&config, server(redis))).await?;
            return Ok(Self::distributed(config, directory, connected));
        }
        let embedded = embedded::join_or_host(&config, need).await?;
        let mut agents = remote_agents(&config)?;
        agents.extend(embedded.agents()?);
        let directory = directory(agents)?;
        let (queue, _) = Queue::connect(queue_settings(&config, queue::Server::at(embedded.redis_url()))).await?;
        let entries = producer::notifications(&config)?;
        if need == Need::Work && embedded.is_host() {
            producer::listen(&queue, &entries).await?;
        }
        logs::keep_in(&queue);
        let mut session = Self { config, directory, queue, embedded: None, redis_warnings: Vec::new() };
        let embedded = embedded.with_worker(
            need,
            &session.queue,
            &session.directory,
            producer::commands(&session.config),
            entries,
        );
        session.embedded = Some(embedded);
        Ok(session)
    }

    /// Waits for a Redis that is not there yet: services start in any order.
    pub async fn of_worker(config: Config) -> Result<Self, Problem> {
        let redis = config.redis.as_ref().ok_or_else(|| Problem::usage("the config names no redis".to_owned()))?;
        let directory = directory(remote_agents(&config)?)?;
        let connected = Queue::connect_when_there(queue_settings(&config, server(redis))).await?;
        Ok(Self::distributed(config, directory, connected))
    }

    fn distributed(config: Config, directory: Directory, (queue, warnings): (Queue, Vec<String>)) -> Self {
        logs::keep_in(&queue);
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        Self { config, directory, queue, embedded: None, redis_warnings: warnings }
    }

    /// Ends the session. A host stays until its clients and, when it works, all runs are done.
    pub async fn close(self) -> Result<(), Problem> {
        match self.embedded {
            Some(embedded) => embedded.close(&self.queue).await,
            None => Ok(()),
        }
    }
}

/// The agents that have a url in the config, for whoever needs no queue.
pub fn directory_of(config: &Config) -> Result<Directory, Problem> {
    directory(remote_agents(config)?)
}

/// Agents that have a url in the config.
fn remote_agents(config: &Config) -> Result<BTreeMap<String, AgentAddress>, Problem> {
    let mut agents = BTreeMap::new();
    for (name, instance) in &config.instances {
        if let Some(address) = address(name, instance)? {
            agents.insert(name.clone(), address);
        }
    }
    Ok(agents)
}

/// None for an instance that has a path.
fn address(name: &str, instance: &Instance) -> Result<Option<AgentAddress>, Problem> {
    let Place::Url { url, sync_key, allow_http, tls } = &instance.at else { return Ok(None) };
    let plain_http = if *allow_http { PlainHttp::Allowed } else { PlainHttp::LoopbackOnly };
    let in_instance = |problem: String| Problem::usage(format!("[instance.{name}]: {problem}"));
    let url = BaseUrl::parse(url, plain_http).map_err(|error| in_instance(error.to_string()))?;
    let key = SyncKey::new(sync_key.expose()).map_err(|error| in_instance(error.to_string()))?;
    let own = HttpSettings { ca: tls.ca.clone(), certificate: tls.certificate.clone(), ..HttpSettings::default() };
    let is_own = own.ca.is_some() || own.certificate.is_some();
    let http = is_own.then(|| http_client(&own)).transpose().map_err(|error| in_instance(error.to_string()))?;
    Ok(Some(AgentAddress { url, key, http }))
}

/// The agent of one instance, with its key or another one, and that key's id. Nothing else is needed: no Redis.
pub fn one_agent(config: &Config, name: &str, other_key: Option<String>) -> Result<(AgentClient, String), Problem> {
    let unknown = || Problem::usage(format!("no instance is called {name:?} in the config"));
    let instance = config.instances.get(name).ok_or_else(unknown)?;
    let no_key = || Problem::usage(format!("[instance.{name}] has a path: it needs no key"));
    let mut address = address(name, instance)?.ok_or_else(no_key)?;
    if let Some(key) = other_key {
        address.key = SyncKey::new(key).map_err(|error| Problem::usage(error.to_string()))?;
    }
    let kid = address.key.id().to_owned();
    let directory = directory([(name.to_owned(), address)].into())?;
    Ok((directory.client(name, None)?, kid))
}

fn directory(agents: BTreeMap<String, AgentAddress>) -> Result<Directory, Problem> {
    let http = http_client(&HttpSettings::default()).map_err(|error| Problem::usage(error.to_string()))?;
    Ok(Directory::new(http, agents))
}

/// Settings of the queue, as the config has them.
pub fn queue_settings(config: &Config, server: queue::Server) -> queue::Settings {
    queue::Settings {
        // A hash tag: all keys of a deployment live in one slot of a cluster.
        prefix: format!("{{{}}}", config.queue.prefix),
        lease: config.queue.lease(),
        retention: config.queue.retention(),
        server,
        ..queue::Settings::default()
    }
}

/// The Redis of the config, in the queue's words.
fn server(redis: &Redis) -> queue::Server {
    let exposed = |urls: &[Secret]| urls.iter().map(|url| url.expose().to_owned()).collect();
    queue::Server {
        place: match &redis.place {
            RedisPlace::At(url) => queue::Place::At(url.expose().to_owned()),
            RedisPlace::Sentinels { urls, master } => {
                queue::Place::Sentinels { urls: exposed(urls), master: master.clone() }
            }
            RedisPlace::Cluster(nodes) => queue::Place::Cluster(exposed(nodes)),
        },
        username: redis.username.clone(),
        password: redis.password.as_ref().map(|password| password.expose().to_owned()),
        certificates: queue::Certificates { ca: redis.ca.clone(), client: redis.certificate.clone() },
        resp3: redis.resp3,
    }
}

/// The agent of a `path` instance: what its own table in the config allows.
pub fn agent_settings(
    config: &Config,
    name: &str,
    root: &Path,
    key: &SyncKey,
) -> Result<agent::AgentSettings, Problem> {
    let in_instance = |error: String| Problem::usage(format!("[instance.{name}]: {error}"));
    let table = config.instances.get(name).map(|instance| instance.agent.clone()).unwrap_or_default();
    let toml = agent::AgentToml::from_table(table).map_err(|error| in_instance(error.to_string()))?;
    let loopback = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let mut settings = agent::AgentSettings::new(root, loopback).with_config(toml);
    settings.keys.push(key.clone().into());
    // Nothing of it leaves this machine.
    settings.tls = None;
    Ok(settings)
}

/// Why an agent did not start, and which exit code that is.
pub fn agent_problem(name: &str, error: &agent::StartError) -> Problem {
    let message = format!("{name}: {error}");
    match error {
        agent::StartError::Storage(agent::storage::StartError::Held(_)) => Problem::refused(message),
        _ => Problem::usage(message),
    }
}

/// The environment variable that may name the config.
const CONFIG_VARIABLE: &str = "COCKPIT_SYNC_CONFIG";

/// The config that `--config` or the environment names, or the one in this directory.
pub fn load_config(file: Option<&Path>) -> Result<Config, Problem> {
    let from_environment = std::env::var_os(CONFIG_VARIABLE).map(PathBuf::from);
    let file = file.or(from_environment.as_deref()).unwrap_or(Path::new(config::DEFAULT_FILE));
    let config = Config::load(file, &Environment::of_process()).map_err(|error| Problem::usage(error.to_string()))?;
    producer::check_transforms(&config)?;
    producer::schedules::check(&config)?;
    producer::notifications(&config)?;
    Ok(config)
}
