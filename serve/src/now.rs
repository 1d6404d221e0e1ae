//! What goes on now, looked at once for all who ask at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use producer::{Meter, Problem, Status, check, check_report};
use protocol::directory::Directory;
use queue::Queue;
use serde_json::Value;
use tokio::sync::Mutex;

/// What agents said so lately is shown again.
const AGENTS_FRESH: Duration = Duration::from_secs(5);
/// How long they are waited for.
const AGENTS_PATIENCE: Duration = Duration::from_secs(3);

/// By name of the instance.
pub type Agents = BTreeMap<String, Value>;

type Looked = Result<Arc<Status>, Problem>;

/// When the look began, and what was seen.
type Seen<T> = Option<(Instant, T)>;

#[derive(Default)]
pub struct Now {
    status: Mutex<(Meter, Seen<Looked>)>,
    agents: Mutex<Seen<Arc<Agents>>>,
}

impl Now {
    /// Of all targets, and never as it was before somebody asked: whoever saw a run end finds it ended. Those who wait
    /// while others look share the look that comes next, so there is one at a time, however many ask.
    pub async fn status(&self, queue: &Queue, known: &[String]) -> Looked {
        let asked = Instant::now();
        let mut latest = self.status.lock().await;
        if let Some((began, seen)) = &latest.1
            && *began >= asked
        {
            return seen.clone();
        }
        let began = Instant::now();
        let seen = latest.0.look(queue, known, None).await.map(Arc::new);
        latest.1 = Some((began, seen.clone()));
        seen
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
