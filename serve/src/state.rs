//! What every request has at hand.

use std::sync::Arc;

use config::Config;
use protocol::directory::Directory;
use protocol::viewing::Viewers;
use queue::Queue;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::feed::Feed;

/// All that is recorded in this process, as Prometheus reads it.
pub type Render = Arc<dyn Fn() -> String + Send + Sync>;

/// What the process that serves has: the same as every command.
pub struct Host {
    pub config: Config,
    pub directory: Directory,
    pub queue: Queue,
    /// Who may look at `/metrics`, `/healthz` and `/readyz` besides users.
    pub viewers: Viewers,
    pub render: Render,
}

/// Shared by all requests.
pub type Shared = Arc<Serving>;

pub struct Serving {
    pub config: Config,
    pub directory: Directory,
    pub queue: Queue,
    pub access: Access,
    pub feed: Feed,
    pub viewers: Viewers,
    pub render: Render,
    /// Streams end when the server stops.
    pub stop: CancellationToken,
}

impl Serving {
    pub fn new(host: Host, stop: CancellationToken) -> Self {
        let Host { config, directory, queue, viewers, render } = host;
        let access = Access::new(&config, queue.clone());
        let feed = Feed::new(queue.clone(), stop.clone());
        Self { config, directory, queue, access, feed, viewers, render, stop }
    }
}
