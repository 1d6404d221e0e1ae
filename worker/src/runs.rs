//! The runs this worker executes jobs of: their specs are read once, not with every job.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use comparing::shaping::{Commands, Shapers};
use protocol::client::SharedAnswers;
use protocol::directory::Directory;
use protocol::msgpack;
use protocol::run::RunSpec;
use queue::{ClaimedJob, Queue, Verdict};

use crate::scope::{Run, Shared};

/// More runs than this at once are forgotten and read again (I8).
const REMEMBERED_RUNS: usize = 64;

/// A worker that knows the instance may come meanwhile.
const UNKNOWN_INSTANCE_PAUSE: Duration = Duration::from_secs(5);

/// A job of a newer version waits so long for a worker that knows it, before any worker is given it again.
const PARKED: Duration = Duration::from_secs(30);

/// What becomes of a job that only a newer worker understands: it is left to one, and no attempt is counted.
pub fn parked(job: &ClaimedJob, reason: String) -> Verdict {
    tracing::warn!(run.id = job.run, job.id = job.id, job.kind = job.kind, reason, "job parked");
    Verdict::Return { after: Some(PARKED), reason }
}

pub struct Runs {
    queue: Queue,
    directory: Directory,
    commands: Commands,
    answers: Arc<SharedAnswers>,
    known: Mutex<HashMap<String, Arc<Run>>>,
}

impl Runs {
    pub fn new(queue: Queue, directory: Directory, commands: Commands) -> Self {
        Self { queue, directory, commands, answers: Arc::default(), known: Mutex::default() }
    }

    /// The run, or what becomes of its job when it cannot be had.
    pub async fn get(&self, job: &ClaimedJob) -> Result<Arc<Run>, Verdict> {
        let id = job.run.as_str();
        if let Some(run) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(id) {
            return Ok(run.clone());
        }
        let view = match self.queue.run(id).await {
            Ok(view) => view,
            Err(error) => return Err(Verdict::retry(error)),
        };
        let spec = RunSpec::decode(&view.spec).map_err(|error| match msgpack::unknown_word(&error) {
            Some(word) => parked(
                job,
                format!("the run was made by a newer version of cockpit-sync ({word}): a newer worker is needed"),
            ),
            None => Verdict::Fail { error: format!("the spec of run {id} cannot be read: {error}") },
        })?;
        let client = |end: &protocol::run::Endpoint| {
            self.directory
                .client(&end.name, Some(&end.instance))
                .map_err(|error| Verdict::Return { after: Some(UNKNOWN_INSTANCE_PAUSE), reason: error.to_string() })
        };
        let (source, target) = (client(&spec.source)?, client(&spec.target)?);
        let shapers = Shapers::new(self.commands.clone());
        let began_ms = view.started.unwrap_or(view.created);
        let refused = Mutex::default();
        let shared = spec.shares_source.then(|| Shared::new(self.answers.clone()));
        let run = Arc::new(Run { id: id.into(), source, target, spec, shapers, shared, refused, began_ms });
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_RUNS {
            known.clear();
        }
        known.insert(id.into(), run.clone());
        Ok(run)
    }
}
