//! The runs this worker executes jobs of: their specs are read once, not with every job.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use comparing::shaping::{Commands, Shapers};
use protocol::client::SharedAnswers;
use protocol::directory::Directory;
use protocol::run::RunSpec;
use queue::{Queue, Verdict};

use crate::scope::{Run, Shared};

/// More runs than this at once are forgotten and read again (I8).
const REMEMBERED_RUNS: usize = 64;

/// A worker that knows the instance may come meanwhile.
const UNKNOWN_INSTANCE_PAUSE: Duration = Duration::from_secs(5);

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
    pub async fn get(&self, id: &str) -> Result<Arc<Run>, Verdict> {
        if let Some(run) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(id) {
            return Ok(run.clone());
        }
        let view = match self.queue.run(id).await {
            Ok(view) => view,
            Err(error) => return Err(Verdict::retry(error)),
        };
        let spec = RunSpec::decode(&view.spec)
            .map_err(|error| Verdict::Fail { error: format!("the spec of run {id} cannot be read: {error}") })?;
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
