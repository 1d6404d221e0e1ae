//! The agents a process can reach: names of instances with where they are and the key to talk to them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::client::{AgentClient, BaseUrl};
use crate::sign::SyncKey;

/// So long in all a request goes on asking an agent that takes no more for now.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where an agent is.
#[derive(Debug, Clone)]
pub struct AgentAddress {
    pub url: BaseUrl,
    pub key: SyncKey,
    /// Where its certificates take a client of its own.
    pub http: Option<reqwest::Client>,
}

/// Name of instance -> client of its agent.
#[derive(Clone)]
pub struct Directory {
    http: reqwest::Client,
    agents: BTreeMap<String, AgentAddress>,
    /// A client remembers its agent's clock.
    clients: Arc<Mutex<Clients>>,
}

/// By name and instance id.
type Clients = BTreeMap<(String, Option<String>), AgentClient>;

/// A job names an instance that is not in this process's config.
#[derive(Debug, thiserror::Error)]
#[error("no instance is called {0:?} here: add [instance.{0}] to cockpit-sync.toml")]
pub struct UnknownInstance(pub String);

impl Directory {
    pub fn new(http: reqwest::Client, agents: BTreeMap<String, AgentAddress>) -> Self {
        Self { http, agents, clients: Arc::default() }
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.agents.keys().map(String::as_str)
    }

    /// The client for an instance. Without an instance id it may ask for the manifest only.
    pub fn client(&self, name: &str, instance: Option<&str>) -> Result<AgentClient, UnknownInstance> {
        let address = self.agents.get(name).ok_or_else(|| UnknownInstance(name.into()))?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.entry((name.to_owned(), instance.map(str::to_owned))).or_insert_with(|| {
            AgentClient::new(
                address.http.clone().unwrap_or_else(|| self.http.clone()),
                name,
                address.url.clone(),
                address.key.clone(),
                instance.map(str::to_owned),
            )
            .patient(PATIENCE)
        });
        Ok(client.clone())
    }
}
