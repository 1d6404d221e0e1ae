//! The embedded default: without `redis` in the config, one process hosts a private redis-server, an agent for each
//! instance given by `path`, and a worker; other commands join it as clients.
//!
//! Who is host is decided by a lock on a file, which ends with its process however that ends. A client holds a shared
//! lock on a second file; the host leaves only when it gets that one alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use config::{Config, Place};
use notifying::Entry;
use producer::Problem;
use protocol::client::{BaseUrl, PlainHttp};
use protocol::directory::{AgentAddress, Directory};
use protocol::sign::SyncKey;
use queue::Queue;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use worker::Commands;

use crate::session::{Need, agent_problem, agent_settings};

mod folder;
mod redis_server;

pub use redis_server::exec_guarded;

use folder::{HostFile, HostFolder, Lock};
use redis_server::RedisServer;

/// How often a host that is to end looks whether its clients and runs are done.
const LEAVING: Duration = Duration::from_millis(50);
/// How long it may take then to bring notifications.
const NOTIFYING: Duration = Duration::from_secs(60);

/// This process's part in the embedded host.
pub struct Embedded {
    redis_url: String,
    /// Name of instance -> URL and key.
    agents: BTreeMap<String, (String, String)>,
    role: Role,
}

enum Role {
    /// The shared lock keeps the host alive.
    Client {
        _stay: Lock,
    },
    Host(Box<Host>),
}

struct Host {
    folder: HostFolder,
    _host_lock: Lock,
    redis: RedisServer,
    agents: Vec<agent::RunningAgent>,
    worker: Option<JoinHandle<Result<(), queue::Error>>>,
    notifier: Option<JoinHandle<Result<(), queue::Error>>>,
    stop: CancellationToken,
}

/// Joins the host of this config, or becomes it.
pub async fn join_or_host(config: &Config, need: Need) -> Result<Embedded, Problem> {
    let folder = HostFolder::at(config.host_folder())?;
    let mut said = false;
    loop {
        let stay = folder.lock_as_client().await?;
        if let Some(host_lock) = folder.try_lock_as_host()? {
            // Nobody hosts. As host this process is not its own client.
            drop(stay);
            return host(config, folder, host_lock).await;
        }
        if let Some(file) = folder.host_file()? {
            if need == Need::Look || file.works {
                let role = Role::Client { _stay: stay };
                return Ok(Embedded { redis_url: file.redis, agents: file.agents, role });
            }
            if !std::mem::replace(&mut said, true) {
                tracing::warn!("waiting for process {}, which only looks, to give up being the host", file.pid);
            }
        }
        // The host is just starting, or leaving.
        drop(stay);
        tokio::time::sleep(LEAVING).await;
    }
}

async fn host(config: &Config, folder: HostFolder, host_lock: Lock) -> Result<Embedded, Problem> {
    let redis = RedisServer::start(&folder).await?;
    let mut agents = Vec::new();
    let mut reachable = BTreeMap::new();
    for (name, instance) in &config.instances {
        let Place::Path(root) = &instance.at else { continue };
        let secret = hex::encode(rand::random::<[u8; 32]>());
        let key = SyncKey::new(&secret).map_err(|error| Problem::usage(error.to_string()))?;
        let settings = agent_settings(config, name, root, &key)?;
        let running = agent::Agent::start(settings).await.map_err(|error| agent_problem(name, &error))?;
        let url = format!("http://{}", running.address());
        reachable.insert(name.clone(), (url, secret));
        agents.push(running);
    }
    let redis_url = redis.url();
    let host = Host {
        folder,
        _host_lock: host_lock,
        redis,
        agents,
        worker: None,
        notifier: None,
        stop: CancellationToken::new(),
    };
    Ok(Embedded { redis_url, agents: reachable, role: Role::Host(Box::new(host)) })
}

impl Embedded {
    pub fn redis_url(&self) -> &str {
        &self.redis_url
    }

    /// The agents of `path` instances.
    pub fn agents(&self) -> Result<BTreeMap<String, AgentAddress>, Problem> {
        let wrong = |error: &dyn std::error::Error| Problem::usage(error.to_string());
        let address = |(name, (url, secret)): (&String, &(String, String))| {
            let url = BaseUrl::parse(url, PlainHttp::LoopbackOnly).map_err(|error| wrong(&error))?;
            let key = SyncKey::new(secret).map_err(|error| wrong(&error))?;
            Ok((name.clone(), AgentAddress { url, key, http: None }))
        };
        self.agents.iter().map(address).collect()
    }

    pub fn is_host(&self) -> bool {
        matches!(self.role, Role::Host(_))
    }

    /// Starts the host's worker when work is wanted, and what brings its notifications, and tells others where everything is.
    pub fn with_worker(
        mut self,
        need: Need,
        queue: &Queue,
        directory: &Directory,
        commands: Commands,
        entries: Vec<Entry>,
    ) -> Self {
        let Role::Host(host) = &mut self.role else { return self };
        if need == Need::Work {
            let settings = worker::WorkerSettings {
                host: crate::cli::host_name(),
                concurrency: crate::cli::DEFAULT_CONCURRENCY,
                grace: Duration::from_secs(25),
                commands,
            };
            let serve = worker::serve(queue.clone(), directory.clone(), settings, None, host.stop.clone());
            host.worker = Some(tokio::spawn(serve));
            let notify = producer::notify(queue.clone(), entries, crate::cli::host_name(), host.stop.clone());
            host.notifier = Some(tokio::spawn(notify));
        }
        let file = HostFile {
            pid: std::process::id(),
            redis: self.redis_url.clone(),
            agents: self.agents.clone(),
            works: need == Need::Work,
        };
        if let Err(problem) = host.folder.write_host_file(&file) {
            // Others cannot join then, but this command can do its own work.
            tracing::warn!("{}", problem.message);
        }
        self
    }

    /// A client just leaves. A host waits for its clients and, when it works, for all runs; then it ends everything.
    pub async fn close(self, queue: &Queue) -> Result<(), Problem> {
        let Role::Host(host) = self.role else { return Ok(()) };
        let mut said = false;
        let alone = loop {
            if host.worker.as_ref().is_none_or(|worker| !worker.is_finished())
                && host.worker.is_some()
                && !queue.live_runs().await?.is_empty()
            {
                if !std::mem::replace(&mut said, true) {
                    tracing::info!("this process is the host of other runs too: it ends when they have ended");
                }
            } else if let Some(alone) = host.folder.try_lock_alone()? {
                break alone;
            }
            tokio::time::sleep(LEAVING).await;
        };
        bring_the_rest(queue).await;
        host.folder.remove_host_file();
        host.stop.cancel();
        if let Some(worker) = host.worker {
            // Nothing is left to do: its blocking read need not be waited for.
            worker.abort();
            let _aborted = worker.await;
        }
        if let Some(notifier) = host.notifier {
            notifier.abort();
            let _aborted = notifier.await;
        }
        for agent in host.agents {
            if let Err(error) = agent.shutdown().await {
                tracing::warn!(%error, "an agent did not end well");
            }
        }
        crate::logs::flush().await;
        drop(host.redis);
        drop(alone);
        Ok(())
    }
}

/// Notifications of what this host did last are on their way. What cannot be brought now is left to the next host.
async fn bring_the_rest(queue: &Queue) {
    let until = Instant::now() + NOTIFYING;
    while let Ok(reports) = producer::notification_reports(queue).await {
        let left = reports.iter().any(|report| report.served && report.open > report.delayed);
        if !left || Instant::now() > until {
            return;
        }
        tokio::time::sleep(LEAVING).await;
    }
}
