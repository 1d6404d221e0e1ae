//! Keeps the grants alive of runs this worker executes jobs of: an agent lets another authority take over a grant that
//! nobody renewed for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::api::{ErrorCode, RenewGrant};
use protocol::client::AgentClient;
use tokio::task::JoinHandle;
use tracing::debug;

/// A grant outlives its last renewal by so many leases.
const LEASES_PER_GRANT: u32 = 4;

/// How long a grant outlives its last renewal.
pub fn grant_ttl(lease: Duration) -> Duration {
    lease * LEASES_PER_GRANT
}

struct Kept {
    target: AgentClient,
    last_job: Instant,
}

/// A background task that renews, and the list it works from. Ends with its owner.
pub struct Renewal {
    kept: Arc<Mutex<HashMap<String, Kept>>>,
    task: JoinHandle<()>,
}

impl Renewal {
    pub fn start(lease: Duration) -> Self {
        let kept = Arc::<Mutex<HashMap<String, Kept>>>::default();
        let task = tokio::spawn(renew(kept.clone(), lease));
        Self { kept, task }
    }

    /// A job under this grant is being executed here.
    pub fn keep(&self, target: &AgentClient, fence: &[u8]) {
        let token = String::from_utf8_lossy(fence).into_owned();
        let kept = Kept { target: target.clone(), last_job: Instant::now() };
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(token, kept);
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn renew(kept: Arc<Mutex<HashMap<String, Kept>>>, lease: Duration) {
    let ttl = grant_ttl(lease);
    let mut ticks = tokio::time::interval(ttl / 4);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let due: Vec<(String, AgentClient)> = {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.retain(|_, grant| grant.last_job.elapsed() < ttl);
            kept.iter().map(|(token, grant)| (token.clone(), grant.target.clone())).collect()
        };
        for (token, target) in due {
            let Err(error) = target.call(&RenewGrant { token: token.clone() }).await else { continue };
            // A refusal is no news for anybody: the next write meets it, and says so.
            debug!(error = %error, "a grant was not renewed");
            if error.code() == Some(ErrorCode::GrantLost) {
                // Over for good, as tokens never come back. Asking on would fill the agent's log.
                kept.lock().unwrap_or_else(PoisonError::into_inner).remove(&token);
            }
        }
    }
}
