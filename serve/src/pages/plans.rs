//! Plans that were asked for on the page *Run sync*: made in the background, kept in memory, the latest of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use producer::{Change, Detail, Forecast, Forecasting, SyncRequest};

use crate::state::Shared;

/// Plans that are kept.
const KEPT: usize = 20;
/// Changes of a plan that are shown; all are counted.
const NAMED: usize = 100;
/// And how many bytes of their fields: a page is no place for whole documents.
const FIELD_BYTES: usize = 24 << 10;

/// The plans of this process.
#[derive(Default)]
pub struct Plans(Mutex<VecDeque<Arc<Plan>>>);

pub struct Plan {
    pub id: String,
    pub request: SyncRequest,
    pub target: String,
    progress: Mutex<Progress>,
}

/// How far a plan is.
#[derive(Clone, Default)]
pub struct Progress {
    /// The first changes.
    pub changes: Vec<Change>,
    pub changes_total: u64,
    bytes: usize,
    /// What came of it, once it is made.
    pub made: Option<Result<Arc<Forecast>, String>>,
    pub made_at: String,
}

impl Plan {
    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plans {
    pub fn find(&self, id: &str) -> Option<Arc<Plan>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().find(|plan| plan.id == id).cloned()
    }

    /// Begins to make a plan.
    pub fn make(shared: &Shared, request: SyncRequest) -> Arc<Plan> {
        let target = request.target(&shared.config).to_owned();
        let id = uuid::Uuid::now_v7().to_string();
        let plan = Arc::new(Plan { id, request, target, progress: Mutex::default() });
        let mut plans = shared.kept_plans.0.lock().unwrap_or_else(PoisonError::into_inner);
        plans.push_back(plan.clone());
        if plans.len() > KEPT {
            plans.pop_front();
        }
        drop(plans);
        let (shared, made) = (shared.clone(), plan.clone());
        let runtime = tokio::runtime::Handle::current();
        // A thread of its own: what compares cannot move from one to another.
        tokio::task::spawn_blocking(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = make(&shared, &made) => {}
                    () = shared.stop.cancelled() => {}
                }
            });
        });
        plan
    }
}

async fn make(shared: &Shared, plan: &Plan) {
    let _turn = shared.plans.acquire().await;
    let forecast = async {
        let begun =
            Forecasting::begin(&plan.request, Detail::Fields, &shared.config, &shared.directory, &shared.queue).await?;
        plan.progress().made_at.clone_from(&begun.head.made);
        let tell = |change: &Change| {
            plan.progress().remember(change);
            Ok(())
        };
        begun.finish(tell).await
    };
    let made = forecast.await.map(Arc::new).map_err(|problem| problem.message);
    plan.progress().made = Some(made);
}

impl Progress {
    fn remember(&mut self, change: &Change) {
        self.changes_total += 1;
        if self.changes.len() >= NAMED {
            return;
        }
        let fields =
            change.fields.as_ref().map_or(0, |fields| serde_json::to_string(fields).map_or(0, |text| text.len()));
        let mut change = change.clone();
        if self.bytes + fields > FIELD_BYTES {
            change.fields = None;
        } else {
            self.bytes += fields;
        }
        self.changes.push(change);
    }
}
