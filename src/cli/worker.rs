//! `worker`: executes jobs until it is told to stop.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ::worker::{Watching, WorkerSettings};
use producer::{Problem, ProblemKind};
use protocol::viewing::Viewers;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::DEFAULT_CONCURRENCY;
use crate::recorder::Recorder;
use crate::session::{Session, load_config};

#[derive(Debug, clap::Args)]
pub struct Worker {
    /// Jobs executed at the same time
    #[arg(long, default_value_t = DEFAULT_CONCURRENCY, value_parser = clap::value_parser!(u32).range(1..=256))]
    concurrency: u32,
    /// After SIGTERM or Ctrl-C, running jobs get so many seconds to finish; a second signal ends them at once
    #[arg(long, default_value_t = 25, value_name = "SECONDS")]
    grace: u64,
    /// Serve /metrics, /healthz and /readyz there (docs/metrics.md)
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<SocketAddr>,
    /// Who sends this as a bearer token may look from other machines, too
    #[arg(long, env = "COCKPIT_SYNC_METRICS_TOKEN", hide_env_values = true, hide = true)]
    metrics_token: Option<String>,
}

impl Worker {
    pub async fn run(self, config: Option<&Path>) -> Result<u8, Problem> {
        let config = load_config(config)?;
        if config.redis.is_none() {
            return Err(Problem::usage(format!(
                "{} names no redis: without it, push and pull bring their own worker. Set redis = \"redis://HOST\" \
                 (and a url for every instance) to run workers of their own",
                config.file.display()
            )));
        }
        let settings = WorkerSettings {
            host: super::host_name(),
            concurrency: self.concurrency,
            grace: Duration::from_secs(self.grace),
            commands: producer::commands(&config),
        };
        let recorder = self.metrics.map(|_| Recorder::install()).transpose()?;
        let watched = match (self.metrics, &recorder) {
            (Some(address), Some(recorder)) => Some(watching(address, self.metrics_token, recorder).await?.start()),
            _ => None,
        };
        let session = tokio::select! {
            session = Session::of_worker(config) => session?,
            () = super::asked_to_stop() => return Ok(0),
        };
        let stop = CancellationToken::new();
        let (queue, directory) = (session.queue.clone(), session.directory.clone());
        let serve = ::worker::serve(queue, directory, settings, watched.as_ref(), stop.clone());
        tokio::pin!(serve);
        let served = tokio::select! {
            served = &mut serve => served,
            () = super::asked_to_stop() => {
                // A soft stop (I9): takes nothing new and lets running jobs finish.
                tracing::info!("stopping: running jobs finish, the others go back; a second signal ends it at once");
                stop.cancel();
                tokio::select! {
                    served = &mut serve => served,
                    () = super::asked_to_stop() => {
                        return Err(Problem::new(
                            ProblemKind::Failed,
                            "ended at once: other workers take over what was running when its claims have expired",
                        ));
                    }
                }
            }
        };
        served.map_err(Problem::from)?;
        Ok(0)
    }
}

async fn watching(address: SocketAddr, token: Option<String>, recorder: &Recorder) -> Result<Watching, Problem> {
    let wrong = |error: std::io::Error| Problem::usage(format!("--metrics {address}: {error}"));
    let listener = TcpListener::bind(address).await.map_err(wrong)?;
    let address = listener.local_addr().map_err(wrong)?;
    tracing::info!(%address, "metrics are served");
    Ok(Watching { listener, viewers: Viewers::new(token), render: recorder.render() })
}
