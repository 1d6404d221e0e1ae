//! `serve`: what programs call and people look at, until it is told to stop.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use ::serve::{Host, Server};
use producer::schedules::{self, SystemClock};
use producer::{Problem, ProblemKind};
use protocol::viewing::Viewers;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Output;
use crate::recorder::Recorder;
use crate::session::{Need, Session, load_config};

#[derive(Debug, clap::Args)]
pub struct Serve {
    /// Where to listen. Without users in the config only on this machine
    #[arg(long, value_name = "ADDRESS:PORT", default_value = ::serve::DEFAULT_LISTEN)]
    listen: SocketAddr,
    /// Who sends this as a bearer token may look at /metrics from other machines, too
    #[arg(long, env = "COCKPIT_SYNC_METRICS_TOKEN", hide_env_values = true, hide = true)]
    metrics_token: Option<String>,
}

impl Serve {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let config = load_config(config)?;
        let recorder = Recorder::install()?;
        let opening = async {
            match config.redis {
                // It may start before its Redis, as workers may.
                Some(_) => Session::of_worker(config).await,
                None => Session::open(config, Need::Work).await,
            }
        };
        let session = tokio::select! {
            session = opening => session?,
            () = super::asked_to_stop() => return Ok(0),
        };
        let served = self.serve(&session, &recorder, output).await;
        tokio::select! {
            closed = session.close() => closed?,
            () = super::asked_to_stop() => {
                tracing::warn!("ended at once: runs that were going on go on when a host is there again");
            }
        }
        served.map(|()| 0)
    }

    async fn serve(self, session: &Session, recorder: &Recorder, output: &Output) -> Result<(), Problem> {
        let host = Host {
            config: session.config.clone(),
            directory: session.directory.clone(),
            queue: session.queue.clone(),
            viewers: Viewers::new(self.metrics_token),
            render: recorder.render(),
        };
        let entries = producer::notifications(&session.config)?;
        let is_open = session.config.users.is_empty();
        let scheme = if session.config.serve_tls.is_some() { "https" } else { "http" };
        let started = Server::start(host, self.listen).await;
        let running = started.map_err(|error| Problem::usage(error.to_string()))?;
        let address = running.address();
        output.print(&json!({ "listening": address.to_string(), "users": session.config.users.len() }), || {
            let who = match is_open {
                true => "no user is configured: this machine only, and it may do everything",
                false => "users log in with their tokens",
            };
            format!("cockpit-sync serves on {scheme}://{address} ({who})")
        })?;
        let stop = CancellationToken::new();
        let schedules = schedules::run(
            session.queue.clone(),
            Arc::new(session.config.clone()),
            session.directory.clone(),
            Arc::new(SystemClock),
            stop.clone(),
        );
        // The embedded host brings its notifications itself.
        let entries = if session.embedded.is_none() { entries } else { Vec::new() };
        let notifying = producer::notify(session.queue.clone(), entries, super::host_name(), stop.clone());
        let notifying = async { notifying.await.map_err(Problem::from) };
        let serving = async {
            let ended = running.run_until(super::asked_to_stop()).await;
            stop.cancel();
            ended.map_err(|error| Problem::new(ProblemKind::Failed, error.to_string()))
        };
        // What ends though nobody asked it to ends all.
        tokio::try_join!(serving, schedules, notifying).map(drop)
    }
}
