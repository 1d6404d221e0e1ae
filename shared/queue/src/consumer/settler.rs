//! Reports results. It takes everything that waits, so under load it batches, and it adds no delay.
//! While Redis is away it keeps the results: the claims stand as long as nobody took them.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Shared, metrics};
use crate::connection::Link;
use crate::retry;
use crate::settlement::{AT_ONCE, Settlement};

/// Ends when all senders are gone and everything is reported.
pub(super) async fn run(shared: Arc<Shared>, mut settlements: mpsc::Receiver<Settlement>) {
    let mut connection: Option<Link> = None;
    let mut batch = Vec::with_capacity(AT_ONCE);
    while settlements.recv_many(&mut batch, AT_ONCE).await > 0 {
        more(&mut settlements, &mut batch).await;
        let mut backoff = retry::reconnect();
        loop {
            match settle(&shared, &mut connection, &batch).await {
                Ok(stood) => {
                    for (settlement, stood) in batch.iter().zip(stood) {
                        metrics::settled(settlement.verdict, stood);
                        if stood {
                            continue;
                        }
                        tracing::info!(run.id = %settlement.claim.run, job.id = %settlement.claim.job, "the claim was lost; its result is dropped");
                    }
                    break;
                }
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, results = batch.len(), "settling failed; the results are kept");
                    connection = None;
                    tokio::time::sleep(retry::next(&mut backoff)).await;
                }
                Err(error) => {
                    // A script that says no will say no again. The claims lapse and are reclaimed.
                    tracing::error!(%error, results = batch.len(), "settling failed for good; the jobs will be executed again");
                    break;
                }
            }
        }
        for settlement in batch.drain(..) {
            shared.held.remove(&settlement.claim.target, &settlement.claim.entry);
        }
    }
}

/// Jobs that need no time come in bursts: as long as each turn of the runtime brings more results, the next is awaited.
async fn more(settlements: &mut mpsc::Receiver<Settlement>, batch: &mut Vec<Settlement>) {
    let mut before = 0;
    while before < batch.len() && batch.len() < AT_ONCE {
        before = batch.len();
        tokio::task::yield_now().await;
        while batch.len() < AT_ONCE
            && let Ok(settlement) = settlements.try_recv()
        {
            batch.push(settlement);
        }
    }
}

async fn settle(shared: &Shared, connection: &mut Option<Link>, batch: &[Settlement]) -> crate::Result<Vec<bool>> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(shared.queue.kept_connection().await?),
    };
    shared.queue.settle(connection, &shared.name, batch).await
}
