//! Keeps the grants alive of runs this worker executes jobs of: an agent lets another authority take over a grant that
//! nobody renewed for a while. Of a run that Redis has lost it gives the grant back, so that nobody has to wait for that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// A grant, and whatever it takes to renew it.
struct Kept<R> {
    run: R,
    /// Jobs under this grant that are being executed. As long as there are any, it is in the list: they are counted here.
    at_work: usize,
    last_job: Instant,
    /// For good, as tokens never come back. Asking on would fill the agent's log.
    is_over: bool,
}

/// By token.
type List<R> = Mutex<HashMap<String, Kept<R>>>;

struct Grants<R>(Arc<List<R>>);

impl<R: Clone> Grants<R> {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Kept<R>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, run: R, token: String) -> AtWork<R> {
        let new = || Kept { run, at_work: 0, last_job: Instant::now(), is_over: false };
        self.lock().entry(token.clone()).or_insert_with(new).at_work += 1;
        AtWork { kept: Grants(self.0.clone()), token }
    }

    /// Those to be renewed; forgets those that nobody needs any more.
    fn due(&self, ttl: Duration) -> Vec<(String, R)> {
        let mut kept = self.lock();
        kept.retain(|_, grant| grant.at_work > 0 || (!grant.is_over && grant.last_job.elapsed() < ttl));
        let due = kept.iter().filter(|(_, grant)| !grant.is_over);
        due.map(|(token, grant)| (token.clone(), grant.run.clone())).collect()
    }

    fn mark_as_over(&self, token: &str) {
        if let Some(grant) = self.lock().get_mut(token) {
            grant.is_over = true;
        }
    }
}

/// A job under a grant is being executed as long as this lives.
pub struct AtWork<R: Clone = Arc<Run>> {
    kept: Grants<R>,
    token: String,
}

impl<R: Clone> Drop for AtWork<R> {
    fn drop(&mut self) {
        if let Some(grant) = self.kept.lock().get_mut(&self.token) {
            grant.at_work -= 1;
            grant.last_job = Instant::now();
        }
    }
}

/// A background task that renews, and the list it works from. Ends with its owner.
pub struct Renewal {
    kept: Grants<Arc<Run>>,
    task: JoinHandle<()>,
}

impl Renewal {
    pub fn start(queue: Queue) -> Self {
        let kept = Grants(Arc::default());
        let task = tokio::spawn(renew(Grants(kept.0.clone()), queue));
        Self { kept, task }
    }

    /// A job under this grant is being executed here.
    pub fn keep(&self, run: &Arc<Run>, fence: &[u8]) -> AtWork {
        self.kept.keep(run.clone(), String::from_utf8_lossy(fence).into_owned())
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn renew(kept: Grants<Arc<Run>>, queue: Queue) {
    let ttl = grant_ttl(queue.settings().lease);
    let mut ticks = tokio::time::interval(ttl / 4);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        for (token, run) in kept.due(ttl) {
            let known = queue.run(&run.id).await;
            if known.as_ref().is_ok_and(|view| view.state.is_final()) {
                // Its grant is closed: to ask for it would be refused, and stand in the agent's audit log.
                kept.mark_as_over(&token);
                continue;
            }
            let is_lost = matches!(known, Err(queue::Error::UnknownRun(_)));
            let answered =
                if is_lost { give_back(&run).await } else { renew_one(&run.target.patient(ttl / 8), &token).await };
            let is_over = match answered {
                Ok(()) => is_lost,
                Err(error) => {
                    // A refusal is no news for anybody: the next write meets it, and says so.
                    debug!(error = %error, "a grant was not renewed");
                    error.code() == Some(ErrorCode::GrantLost)
                }
            };
            if is_over {
                kept.mark_as_over(&token);
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

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(3600);

    #[test]
    fn a_job_that_comes_under_a_grant_that_is_over_ends_like_any_other() {
        let kept = Grants(Arc::default());
        let early = kept.keep((), "token".into());
        assert_eq!(kept.due(TTL), [("token".into(), ())]);
        // The agent refused to renew it while the job was at work; then another one was claimed.
        kept.mark_as_over("token");
        assert_eq!(kept.due(TTL), []);
        let late = kept.keep((), "token".into());
        assert_eq!(kept.due(TTL), [], "nobody asks for it again");
        drop(early);
        assert_eq!(kept.lock()["token"].at_work, 1);
        drop(late);
        kept.due(TTL);
        assert!(kept.lock().is_empty(), "a grant that is over is forgotten with its last job");
    }
}
