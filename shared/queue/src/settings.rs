//! What can be set about a deployment. Every process of one deployment must use the same prefix and lease.

use std::time::Duration;

use crate::Server;

/// How to reach Redis and how patient to be.
#[derive(Debug, Clone)]
pub struct Settings {
    pub server: Server,
    /// The start of every key: a hash tag, so that all keys of a deployment live in one slot of a cluster.
    pub prefix: String,
    /// How long a claim and a lease outlive the last sign of life.
    pub lease: Duration,
    /// How long final runs stay readable.
    pub retention: Duration,
    /// How long a run that ends early waits for its close job.
    pub close_within: Duration,
    /// How long claimed jobs of a run may take to settle when it makes room for an urgent one; also how long urgent runs
    /// may hold a target one after the other while another run waits.
    pub yield_within: Duration,
    /// How many events can be replayed, about.
    pub event_log: u32,
    /// How long a command may take.
    pub response_timeout: Duration,
    /// Connections for commands.
    pub connections: usize,
}

impl Settings {
    /// For one server: `redis://`, `rediss://`, `unix://` or `redis+unix://`.
    pub fn new(url: impl Into<String>) -> Self {
        Self { server: Server::at(url), ..Self::default() }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            server: Server::default(),
            prefix: "{cs}".into(),
            lease: Duration::from_secs(15),
            retention: Duration::from_secs(7 * 24 * 3600),
            close_within: Duration::from_secs(30),
            yield_within: Duration::from_secs(10),
            event_log: 10_000,
            response_timeout: Duration::from_secs(5),
            connections: 8,
        }
    }
}
