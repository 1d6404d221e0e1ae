//! Executes jobs: moves data between two agents. The queue's consumer claims and settles; this crate is its handler.
//!
//! A worker keeps no state: what a job needs stands in its payload, in its run's spec and at the two agents.
//! It must not know where jobs come from.

mod executor;
mod failure;
mod handlers;
mod pace;
mod renewal;
mod runs;
mod scope;
mod tally;
mod watching;

use std::sync::Arc;
use std::time::Duration;

pub use comparing::shaping::{CommandSettings, Commands};
use protocol::directory::Directory;
use queue::{Consumer, ConsumerSettings, Queue};
use tokio_util::sync::CancellationToken;

use crate::executor::Executor;
use crate::renewal::Renewal;

pub use crate::watching::{Render, Watched, Watching};

/// How a worker runs.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Shown in lists of workers.
    pub host: String,
    /// Jobs executed at the same time.
    pub concurrency: u32,
    /// After a soft stop, running jobs get so long to finish.
    pub grace: Duration,
    /// The programs of its config that may shape documents.
    pub commands: Commands,
}

/// Serves the instances of `directory`, and is what the pages of `watched` are about, until `shutdown` (I9): then takes nothing new, hands unstarted claims back,
/// and lets running jobs finish within the grace time.
pub async fn serve(
    queue: Queue,
    directory: Directory,
    settings: WorkerSettings,
    watched: Option<&Watched>,
    shutdown: CancellationToken,
) -> Result<(), queue::Error> {
    let names: Vec<String> = directory.names().map(str::to_owned).collect();
    let renewal = Renewal::start(queue.clone());
    let executor = Executor::new(queue.clone(), directory, settings.commands, renewal);
    let mut consumer = ConsumerSettings::new(names.clone());
    consumer.targets = names.clone();
    consumer.concurrency = settings.concurrency as usize;
    consumer.host = settings.host;
    consumer.grace = settings.grace;
    consumer.version = env!("CARGO_PKG_VERSION").into();
    let consumer = Consumer::new(queue.clone(), consumer, Arc::new(executor));
    if let Some(watched) = watched {
        watched.begins(watching::Worker { queue, consumer: consumer.name().into(), names, shutdown: shutdown.clone() });
    }
    consumer.run(shutdown).await
}
