//! Keeps the grants alive of runs this worker executes jobs of: an agent lets another authority take over a grant that
//! nobody renewed for a while. Of a run that Redis has lost it gives the grant back, so that nobody has to wait for that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::api::{CloseGrant, CloseWhich, ErrorCode, RenewGrant};
use protocol::client::{AgentClient, CallError};
use queue::Queue;
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use crate::scope::Run;

/// A grant outlives its last renewal by so many leases.
const LEASES_PER_GRANT: u32 = 4;

/// How long a grant outlives its last renewal.
pub fn grant_ttl(lease: Duration) -> Duration {
    lease * LEASES_PER_GRANT
}

struct Kept {
    run: Arc<Run>,
    /// Jobs under this grant that are being executed. As long as there are any, it is in the list: they are counted here.
    at_work: usize,
    last_job: Instant,
    /// For good, as tokens never come back. Asking on would fill the agent's log.
    is_over: bool,
}

impl Kept {
    fn is_needed(&self, ttl: Duration) -> bool {
        self.at_work > 0 || (!self.is_over && self.last_job.elapsed() < ttl)
    }
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
    pub fn start(queue: Queue) -> Self {
        let kept = Grants::default();
        let task = tokio::spawn(renew(kept.clone(), queue));
        Self { kept, task }
    }

    /// A job under this grant is being executed here.
    pub fn keep(&self, run: &Arc<Run>, fence: &[u8]) -> AtWork {
        let token = String::from_utf8_lossy(fence).into_owned();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Kept { run: run.clone(), at_work: 0, last_job: Instant::now(), is_over: false };
        kept.entry(token.clone()).or_insert_with(new).at_work += 1;
        AtWork { kept: self.kept.clone(), token }
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn renew(kept: Grants, queue: Queue) {
    let ttl = grant_ttl(queue.settings().lease);
    let mut ticks = tokio::time::interval(ttl / 4);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let due: Vec<(String, Arc<Run>)> = {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.retain(|_, grant| grant.is_needed(ttl));
            let due = kept.iter().filter(|(_, grant)| !grant.is_over);
            due.map(|(token, grant)| (token.clone(), grant.run.clone())).collect()
        };
        for (token, run) in due {
            let is_lost = matches!(queue.run(&run.id).await, Err(queue::Error::UnknownRun(_)));
            let answered = if is_lost { give_back(&run).await } else { renew_one(&run.target, &token).await };
            let is_over = match answered {
                Ok(()) => is_lost,
                Err(error) => {
                    // A refusal is no news for anybody: the next write meets it, and says so.
                    debug!(error = %error, "a grant was not renewed");
                    error.code() == Some(ErrorCode::GrantLost)
                }
            };
            if is_over && let Some(grant) = kept.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&token) {
                grant.is_over = true;
            }
        }
    }
}

async fn renew_one(target: &AgentClient, token: &str) -> Result<(), CallError> {
    target.call(&RenewGrant { token: token.into() }).await.map(drop)
}

/// Nobody can go on with a run that Redis does not know any more; whoever starts it again is a stranger to the agent.
async fn give_back(run: &Run) -> Result<(), CallError> {
    let which = CloseWhich::Run(run.id.clone());
    run.target.call(&CloseGrant { which, reason: "Redis lost the run".into() }).await?;
    warn!(run.id = run.id, "Redis does not know the run any more: its grant is given back");
    Ok(())
}
