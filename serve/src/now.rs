//! What goes on now, looked at once for all who ask at about the same time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use producer::{Meter, Problem, Status, check, check_report};
use protocol::directory::Directory;
use queue::Queue;
use serde_json::Value;
use tokio::sync::Mutex;

/// What was looked at so lately is shown again.
const FRESH: Duration = Duration::from_millis(500);
/// The same for what agents said, and how long they are waited for.
const AGENTS_FRESH: Duration = Duration::from_secs(5);
const AGENTS_PATIENCE: Duration = Duration::from_secs(3);

/// By name of the instance.
pub type Agents = BTreeMap<String, Value>;

/// When it was looked at, and what was there.
type Seen<T> = (Instant, Arc<T>);

#[derive(Default)]
pub struct Now {
    status: Mutex<(Meter, Option<Seen<Status>>)>,
    agents: Mutex<Option<Seen<Agents>>>,
}

impl Now {
    /// Of all targets.
    pub async fn status(&self, queue: &Queue, known: &[String]) -> Result<Arc<Status>, Problem> {
        let mut known_now = self.status.lock().await;
        if let Some((when, status)) = &known_now.1
            && when.elapsed() < FRESH
        {
            return Ok(status.clone());
        }
        let status = Arc::new(known_now.0.look(queue, known, None).await?);
        known_now.1 = Some((Instant::now(), status.clone()));
        Ok(status)
    }

    /// Somebody has changed something here: who asks next is told of it.
    pub async fn look_again(&self) {
        self.status.lock().await.1 = None;
    }

    /// What each agent answers when it is asked; one that takes long is as good as away here.
    pub async fn agents(&self, directory: &Directory) -> Arc<Agents> {
        let mut known = self.agents.lock().await;
        if let Some((when, agents)) = &*known
            && when.elapsed() < AGENTS_FRESH
        {
            return agents.clone();
        }
        let asked = directory.names().map(async |name| {
            let answer = tokio::time::timeout(AGENTS_PATIENCE, check(directory, name)).await;
            let answer = answer.unwrap_or_else(|_| {
                let seconds = AGENTS_PATIENCE.as_secs();
                Err(Problem::unreachable(format!("its agent did not answer within {seconds} s")))
            });
            (name.to_owned(), check_report(name, &answer))
        });
        let agents = Arc::new(join_all(asked).await.into_iter().collect::<Agents>());
        *known = Some((Instant::now(), agents.clone()));
        agents
    }
}
