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
    /// Jobs under this grant that are being executed.
    at_work: usize,
    last_job: Instant,
}

type Grants = Arc<Mutex<HashMap<String, Kept>>>;

/// A job under a grant is being executed as long as this lives.
pub struct AtWork {
    kept: Grants,
    token: String,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if let Some(grant) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&self.token) {
            grant.at_work -= 1;
            grant.last_job = Instant::now();
        }
    }
}

/// A background task that renews, and the list it works from. Ends with its owner.
pub struct Renewal {
    kept: Grants,
    task: JoinHandle<()>,
}

impl Renewal {
    pub fn start(lease: Duration) -> Self {
        let kept = Grants::default();
        let task = tokio::spawn(renew(kept.clone(), lease));
        Self { kept, task }
    }

    /// A job under this grant is being executed here.
    pub fn keep(&self, target: &AgentClient, fence: &[u8]) -> AtWork {
        let token = String::from_utf8_lossy(fence).into_owned();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Kept { target: target.clone(), at_work: 0, last_job: Instant::now() };
        kept.entry(token.clone()).or_insert_with(new).at_work += 1;
        AtWork { kept: self.kept.clone(), token }
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn renew(kept: Grants, lease: Duration) {
    let ttl = grant_ttl(lease);
    let mut ticks = tokio::time::interval(ttl / 4);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let due: Vec<(String, AgentClient)> = {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.retain(|_, grant| grant.at_work > 0 || grant.last_job.elapsed() < ttl);
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
