//! What every request has at hand.

use std::sync::Arc;

use config::Config;
use producer::{Problem, Status};
use protocol::directory::Directory;
use protocol::viewing::Viewers;
use queue::Queue;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::feed::Feed;
use crate::monitor::Monitor;
use crate::now::Now;
use crate::pages::Plans;

const PLANS: usize = 2;

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
    pub now: Now,
    /// Plans that are made at a time.
    pub plans: Arc<Semaphore>,
    pub monitor: Monitor,
    /// Those that were asked for on a page.
    pub kept_plans: Plans,
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
        let (now, plans) = (Now::default(), Arc::new(Semaphore::new(PLANS)));
        let (monitor, kept_plans) = (Monitor::default(), Plans::default());
        Self { config, directory, queue, access, feed, now, plans, monitor, kept_plans, viewers, render, stop }
    }

    /// What goes on at all targets.
    pub async fn status(&self) -> Result<Arc<Status>, Problem> {
        let known: Vec<String> = self.config.instances.keys().cloned().collect();
        self.now.status(&self.queue, &known).await
    }

    /// What destroys something there takes its name.
    pub fn is_protected(&self, instance: &str) -> bool {
        self.config.instances.get(instance).is_some_and(|instance| instance.protect)
    }
}
