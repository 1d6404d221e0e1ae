//! `workers`: who is alive.

use std::path::Path;

use producer::{Problem, utc};
use serde_json::json;

use super::Output;
use super::table::table;
use crate::session::{Need, Session, load_config};

#[derive(Debug, clap::Args)]
pub struct Workers {}

impl Workers {
    pub async fn run(self, config: Option<&Path>, output: &Output) -> Result<u8, Problem> {
        let session = Session::open(load_config(config)?, Need::Look).await?;
        let workers = session.queue.workers().await?;
        let value: Vec<_> = workers
            .iter()
            .map(|worker| {
                json!({
                    "worker": worker.consumer, "host": worker.host, "pid": worker.pid, "version": worker.version,
                    "instances": worker.instances, "slots": worker.slots, "held": worker.held,
                    "since": utc(worker.since), "seen": utc(worker.seen),
                })
            })
            .collect();
        output.print(&value, || {
            let mut rows = table(&["host", "pid", "jobs", "instances", "since", "last seen", "version"]);
            for worker in &workers {
                rows.add_row([
                    worker.host.clone(),
                    worker.pid.to_string(),
                    format!("{}/{}", worker.held, worker.slots),
                    worker.instances.join(", "),
                    utc(worker.since),
                    utc(worker.seen),
                    worker.version.clone(),
                ]);
            }
            rows.to_string()
        })?;
        session.close().await?;
        Ok(0)
    }
}
