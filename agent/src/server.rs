//! The agent as a running thing: starts, listens, looks after its storage every second, ends.
//!
//! Owns the tasks. What a request goes through is in `server/exchange.rs`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use listening::{ListenError, Listener, Peer};
use protocol::audit::Action;
use protocol::sign::KeyTooShort;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::audit::{Durable, by_itself};
use crate::auth::Authority;
use crate::keys::{self, AcceptedKey};
use crate::routes::Rules;
use crate::settings::{AgentSettings, no_key_message};
use crate::storage::{self, Storage};

mod answer;
mod body;
mod check;
mod exchange;
mod limits;
mod metrics;
mod origin;
mod pages;
mod rates;

use exchange::Exchange;
use limits::Limits;
use rates::{Attempts, KeyRates};

/// An agent that is not running yet has no state: see [`Agent::start`].
pub struct Agent;

/// Serves until it is shut down. Dropped, it ends on its own time.
pub struct RunningAgent {
    address: SocketAddr,
    instance: String,
    stop: CancellationToken,
    _stops_when_dropped: DropGuard,
    serving: JoinHandle<Result<(), AgentFailed>>,
}

/// Why an agent does not start, in words for the person who starts it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Storage(#[from] storage::StartError),
    #[error("{}", no_key_message())]
    NoKey,
    #[error("sync.syncKey in config/config.php: {0}")]
    ConfigKey(KeyTooShort),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("opening the storage failed unexpectedly: {0}")]
    Opening(JoinError),
}

/// A running agent ended though nobody asked it to.
#[derive(Debug, thiserror::Error)]
pub enum AgentFailed {
    #[error("the agent's {0} ended unexpectedly: {1}")]
    Task(&'static str, JoinError),
}

impl Agent {
    /// Opens the storage and listens. When this returns, requests are answered.
    pub async fn start(settings: AgentSettings) -> Result<RunningAgent, StartError> {
        let storage_settings = settings.storage();
        let opened = tokio::task::spawn_blocking(move || open_with_key(storage_settings)).await;
        let (storage, config_key) = opened.map_err(StartError::Opening)??;
        match Self::serve(&settings, &storage, config_key).await {
            Ok(running) => Ok(running),
            Err(error) => {
                close(storage).await.map_err(StartError::Opening)?;
                Err(error)
            }
        }
    }

    async fn serve(
        settings: &AgentSettings,
        storage: &Arc<Storage>,
        config_key: Option<String>,
    ) -> Result<RunningAgent, StartError> {
        let keys = storage.keys().clone();
        keys.give(given_keys(&settings.keys, config_key)?);
        if keys.all().is_empty() {
            return Err(StartError::NoKey);
        }
        let listener = Listener::bind(settings.listen, settings.tls.clone()).await?;
        let address = listener.address();
        let instance = storage.instance().to_owned();
        let exchange = Arc::new(Exchange {
            rules: Arc::new(Rules {
                read_only: settings.read_only,
                is_source: settings.is_source,
                models: settings.models.clone(),
                keys: keys.clone(),
            }),
            authority: Authority::new(keys, instance.clone(), settings.now.clone()),
            allow: settings.allow.clone(),
            trusted_proxies: settings.trusted_proxies.clone(),
            limits: Limits::default(),
            viewers: settings.viewers.clone(),
            render: settings.render.clone(),
            attempts: Attempts::new(settings.failed_attempts),
            key_rates: KeyRates::new(settings.rate_limit),
            storage: storage.clone(),
        });
        metrics::start();
        let started = by_itself(Action::AgentStarted, format!("{} listens on {address}", env!("CARGO_PKG_VERSION")));
        if let Err(error) = storage.audit().append(started, Durable::Soon) {
            tracing::error!(%error, "the start could not be written to the audit log");
        }
        let stop = CancellationToken::new();
        let serving = tokio::spawn(supervise(listener, exchange, stop.clone()));
        tracing::info!(address = %address, instance = %instance, root = %settings.root.display(), "agent listens");
        Ok(RunningAgent { address, instance, _stops_when_dropped: stop.clone().drop_guard(), stop, serving })
    }
}

impl RunningAgent {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The random id of the instance it serves.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Takes no new requests, answers those it has (for at most ten seconds), closes the storage.
    pub async fn shutdown(self) -> Result<(), AgentFailed> {
        self.stop.cancel();
        ended(self.serving.await)
    }

    /// Serves until `stop` is done. An end that comes before is an error.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) -> Result<(), AgentFailed> {
        tokio::select! {
            early = &mut self.serving => return ended(early),
            () = stop => {}
        }
        self.shutdown().await
    }
}

fn ended(serving: Result<Result<(), AgentFailed>, JoinError>) -> Result<(), AgentFailed> {
    serving.unwrap_or_else(|error| Err(AgentFailed::Task("server", error)))
}

/// Runs until `stop`, or until one of its parts ends; then everything ends in order.
async fn supervise(listener: Listener, exchange: Arc<Exchange>, stop: CancellationToken) -> Result<(), AgentFailed> {
    let mut connections = tokio::spawn({
        let exchange = exchange.clone();
        let answer = move |peer: Peer, request| {
            let exchange = exchange.clone();
            async move { exchange.answer(peer.address.ip(), request).await }
        };
        listener.serve(answer, stop.clone())
    });
    let actions = tokio::spawn(exchange.storage.actions().clone().carry_out(stop.clone()));
    let mut care = tokio::spawn(look_after(exchange.clone(), stop.clone()));
    let (connections_ended, care_ended) = tokio::select! {
        ended = &mut connections => { stop.cancel(); (ended, care.await) }
        ended = &mut care => { stop.cancel(); (connections.await, ended) }
    };
    let actions_ended = actions.await;
    // A request whose connection is gone may still be at work in the storage.
    exchange.limits.all_done().await;
    close(exchange.storage.clone()).await.map_err(|error| AgentFailed::Task("closing of the storage", error))?;
    connections_ended.map_err(|error| AgentFailed::Task("listener", error))?;
    actions_ended.map_err(|error| AgentFailed::Task("actions after runs", error))?;
    care_ended.map_err(|error| AgentFailed::Task("care of the storage", error))?;
    tracing::info!("agent ended");
    Ok(())
}

async fn look_after(exchange: Arc<Exchange>, stop: CancellationToken) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = second.tick() => {}
        }
        let idle = exchange.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || idle.storage.idle()).await {
            // Its panic is not the end of the agent: requests are still answered, and the next second tries again.
            tracing::error!(%error, "looking after the storage failed");
        }
    }
}

fn open_with_key(settings: storage::StorageSettings) -> Result<(Arc<Storage>, Option<String>), storage::StartError> {
    let storage = Storage::open(settings)?;
    let key = storage.config_key();
    Ok((Arc::new(storage), key))
}

async fn close(storage: Arc<Storage>) -> Result<(), JoinError> {
    tokio::task::spawn_blocking(move || storage.close()).await
}

fn given_keys(given: &[AcceptedKey], config_key: Option<String>) -> Result<Vec<AcceptedKey>, StartError> {
    let mut keys = given.to_vec();
    if let Some(key) = config_key.filter(|key| !key.is_empty()) {
        keys.push(keys::unlimited(&key, "config/config.php").map_err(StartError::ConfigKey)?);
    }
    Ok(keys)
}
