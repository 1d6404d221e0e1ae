//! Reports results. It takes everything that waits, and under load a moment's more, so it batches, and adds no delay when idle.
//! While Redis is away it keeps the results: the claims stand as long as nobody took them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Shared, metrics};
use crate::connection::Link;
use crate::retry;
use crate::settlement::{AT_ONCE, Settlement};

/// So many results while Redis was busy with the ones before: jobs are over faster than they can be reported one by one.
const FLOOD: usize = 16;
/// How long a result waits for others to be reported with it.
const MOMENT: Duration = Duration::from_millis(1);

/// Ends when all senders are gone and everything is reported.
pub(super) async fn run(shared: Arc<Shared>, mut settlements: mpsc::Receiver<Settlement>) {
    let mut connection: Option<Link> = None;
    let mut batch = Vec::with_capacity(AT_ONCE);
    while settlements.recv_many(&mut batch, AT_ONCE).await > 0 {
        fill(&mut batch, &mut settlements, &shared).await;
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

/// In a flood, when more jobs are held than have ended, more will end in a moment, and a call to Redis costs it as much as
/// ten jobs do.
async fn fill(batch: &mut Vec<Settlement>, settlements: &mut mpsc::Receiver<Settlement>, shared: &Shared) {
    if batch.len() < FLOOD {
        return;
    }
    let at_once = |batch: &Vec<Settlement>| AT_ONCE.min(shared.held.len() / 2).saturating_sub(batch.len());
    let more = async { while at_once(batch) > 0 && settlements.recv_many(batch, at_once(batch)).await > 0 {} };
    // What came until then stays in the batch.
    let _ = tokio::time::timeout(MOMENT, more).await;
}

async fn settle(shared: &Shared, connection: &mut Option<Link>, batch: &[Settlement]) -> crate::Result<Vec<bool>> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(shared.queue.kept_connection().await?),
    };
    shared.queue.settle(connection, &shared.name, batch).await
}
