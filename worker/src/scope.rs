//! What a handler has in its hands: the job, its run, and the two agents.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use comparing::Ends;
use comparing::shaping::{Shaper, Shapers};
use protocol::api::Call;
use protocol::client::{AgentClient, CallError, SharedAnswers};
use protocol::collection::Collection;
use protocol::mirror::SignedOrder;
use protocol::run::{OnLocked, RunSpec};
use queue::{ClaimedJob, JobContext, Queue, Verdict};

use crate::failure::{verdict_of, verdict_of_shaping};

/// A run as its jobs need it.
pub struct Run {
    pub id: String,
    pub spec: RunSpec,
    pub source: AgentClient,
    pub target: AgentClient,
    pub shapers: Shapers,
    /// Of runs that bring the same to several targets.
    pub shared: Option<Shared>,
    pub refused: Mutex<HashSet<String>>,
    /// When it first had its turn, milliseconds since 1970.
    pub began_ms: u64,
}

/// What a run that brings the same as others has of what they have asked the source.
pub struct Shared {
    answers: Arc<SharedAnswers>,
    /// By when it had looked at a collection.
    looked: Mutex<BTreeMap<Collection, Instant>>,
}

impl Shared {
    pub fn new(answers: Arc<SharedAnswers>) -> Self {
        Self { answers, looked: Mutex::default() }
    }

    /// What was answered to others after this run's first look is as good as an answer of its own: what changes later is
    /// told apart. To be called after that look.
    fn source(&self, source: &AgentClient, collection: &Collection) -> AgentClient {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *looked.entry(collection.clone()).or_insert_with(Instant::now);
        source.sharing(self.answers.clone(), since)
    }
}

impl Run {
    /// Jobs that an agent refused, and that went back to the queue for it.
    pub fn refused(&self) -> MutexGuard<'_, HashSet<String>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What changes the documents of a collection on their way; none for most.
    pub fn shaper(&self, collection: &Collection) -> Result<Option<Arc<Shaper>>, Verdict> {
        match self.spec.shaping(collection) {
            None => Ok(None),
            Some(shaping) => self.shapers.of(collection, shaping).map_err(verdict_of_shaping),
        }
    }
}

/// One execution of one job.
pub struct Scope {
    pub run: Arc<Run>,
    source: AgentClient,
    sharing: OnceLock<AgentClient>,
    pub target: AgentClient,
    pub job: ClaimedJob,
    pub context: JobContext,
    pub queue: Queue,
    /// The target was slow to answer: it gets fewer jobs at a time.
    pub slow: AtomicBool,
}

/// A target that takes longer over a write than this has too much to do, and so is slow for its editors, too. A write is
/// a transaction of some 25 ms, so this is a long queue in the agent, a busy machine, or a line that is full.
const SLOW: Duration = Duration::from_secs(2);

/// So long in all a request of a job goes on asking an agent that takes no more for now, once the job went back for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Editors are waited for so long, and asked after so often.
const LOCKED_PATIENCE: Duration = Duration::from_secs(600);
const LOCKED_PAUSE: Duration = Duration::from_secs(2);

impl Scope {
    /// A job that an agent refuses goes back, so that all of its target's jobs are handed out more slowly. It does so
    /// once: where each job may ask once before the next refusal, one that needs two answers would never get both.
    pub fn new(run: Arc<Run>, job: ClaimedJob, context: JobContext, queue: Queue) -> Self {
        let patience = if run.refused().contains(&job.id) { PATIENCE } else { Duration::ZERO };
        let (source, target) = (run.source.patient(patience), run.target.patient(patience));
        Self { run, source, sharing: OnceLock::new(), target, job, context, queue, slow: AtomicBool::new(false) }
    }

    pub fn source(&self) -> &AgentClient {
        self.sharing.get().unwrap_or(&self.source)
    }

    /// From now on this job, which brings a batch, may have what others have read. One that failed reads for itself.
    pub fn reads_with_others(&self, collection: &Collection) {
        if let Some(shared) = self.run.shared.as_ref().filter(|_| self.job.attempts == 0) {
            self.sharing.get_or_init(|| shared.source(&self.source, collection));
        }
    }

    /// Asks the source.
    pub async fn read<C: Call>(&self, call: &C) -> Result<C::Answer, Verdict> {
        self.ask(self.source(), call).await
    }

    /// Asks the target.
    pub async fn target<C: Call>(&self, call: &C) -> Result<C::Answer, Verdict> {
        self.ask(&self.target, call).await
    }

    async fn ask<C: Call>(&self, agent: &AgentClient, call: &C) -> Result<C::Answer, Verdict> {
        let answer = agent.call(call).await.map_err(verdict_of);
        self.context.progress();
        answer
    }

    /// Writes to the target, noticing how long it takes.
    pub async fn write<C: Call>(&self, call: &C) -> Result<C::Answer, CallError> {
        let begun = Instant::now();
        let answer = self.target.call(call).await;
        if begun.elapsed() > SLOW {
            self.slow.store(true, Ordering::Relaxed);
        }
        if answer.is_ok() {
            self.context.progress();
        }
        answer
    }

    /// Whether what editors have open is asked for once more; true comes after a pause.
    pub async fn waits_for_editors(&self, begun: Instant) -> bool {
        if self.run.spec.on_locked != OnLocked::Wait || begun.elapsed() >= LOCKED_PATIENCE {
            return false;
        }
        tokio::time::sleep(LOCKED_PAUSE).await;
        self.context.progress();
        true
    }

    /// Whether what editors have open is changed all the same.
    pub fn overrides_locks(&self) -> bool {
        self.run.spec.on_locked == OnLocked::Override
    }

    /// Both ends, to be compared.
    pub fn ends(&self) -> Ends<'_> {
        Ends { source: self.source(), target: &self.target, run: &self.run.id }
    }

    /// What somebody lets this run delete.
    pub fn order(&self) -> Result<SignedOrder, Verdict> {
        let order = self.run.spec.mirror.clone();
        order.ok_or_else(|| Verdict::Fail { error: "a job of a mirror in a run that is none".into() })
    }

    /// The token of the grant this job was fed under.
    pub fn token(&self) -> String {
        String::from_utf8_lossy(&self.job.fence).into_owned()
    }
}
