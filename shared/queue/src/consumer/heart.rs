//! Signs of life for all claims, each quarter of a lease, from a thread of its own that no handler can block.
//! Stops the tasks of claims that are lost, and of jobs that make no progress.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::Shared;
use super::held::{HeldClaim, Stop};
use crate::connection::Link;
use crate::keeping::Held;
use crate::settlement::AT_ONCE;
use crate::{Error, Result, retry};

pub(super) fn spawn(shared: Arc<Shared>) -> JoinHandle<Result<()>> {
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::Broken("heart", error.to_string()))?;
        runtime.block_on(run(&shared));
        Ok(())
    })
}

async fn run(shared: &Shared) {
    let mut connection: Option<Link> = None;
    let mut backoff = retry::reconnect();
    let mut pause = shared.queue.settings().lease / 4;
    loop {
        tokio::select! {
            () = shared.drained.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = shared.beat_now.notified() => {}
        }
        pause = match beat(shared, &mut connection).await {
            Ok(()) => {
                backoff = retry::reconnect();
                shared.queue.settings().lease / 4
            }
            Err(error) => {
                tracing::warn!(%error, "extending claims failed; trying again");
                connection = None;
                retry::next(&mut backoff)
            }
        };
    }
}

async fn beat(shared: &Shared, connection: &mut Option<Link>) -> Result<()> {
    let mut alive: Vec<Arc<HeldClaim>> = Vec::new();
    for held in shared.held.all() {
        if held.is_stuck(shared.settings.progress_deadline) {
            tracing::warn!(run.id = %held.claim.run, job.id = %held.claim.job, "no progress; the job is stopped");
            held.stop(Stop::Stuck);
        } else {
            alive.push(held);
        }
    }
    for some in alive.chunks(AT_ONCE) {
        let claims: Vec<Held> = some
            .iter()
            .map(|held| Held(held.claim.target.clone(), held.claim.entry.clone(), held.has_started()))
            .collect();
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(shared.queue.kept_connection().await?),
        };
        let stands = shared.queue.extend(connection, &shared.name, &claims).await?;
        for (held, _) in some.iter().zip(stands).filter(|(_, stands)| !stands) {
            // One that was just settled is gone as well; stopping it then has no effect.
            held.stop(Stop::Lost);
        }
    }
    Ok(())
}
