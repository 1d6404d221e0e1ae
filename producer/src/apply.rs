//! Carries out a plan that was made before: exactly that, or nothing.

use config::Config;
use protocol::directory::Directory;
use protocol::job::Job;
use protocol::run::Endpoint;
use queue::{IfBusy, Queue};

use crate::error::Problem;
use crate::plan::plan;
use crate::plan_file::PlanFile;
use crate::preflight::preflight;
use crate::request::{SyncRequest, enqueue};
use crate::schema::check_schema;
use crate::survey::{Part, Survey};

/// Enqueues the run of a plan, if both sides are still what they were when it was made. Gives back the run's id.
///
/// The run asks once more before it writes anything: it may wait in line until then.
pub async fn apply(
    file: PlanFile,
    accept_schema_changes: bool,
    if_busy: IfBusy,
    started_by: String,
    config: &Config,
    directory: &Directory,
    queue: &Queue,
) -> Result<String, Problem> {
    let PlanFile { made, spec } = file;
    let mut request = SyncRequest::again(spec.clone(), if_busy, started_by)?;
    request.accept_schema_changes |= accept_schema_changes;
    let ends = preflight(&request, config, directory, queue).await?;
    let mut plan = plan(&request, &ends, config, directory).await?;
    check_same(&spec.source, &plan.spec.source, &made)?;
    check_same(&spec.target, &plan.spec.target, &made)?;
    if plan.spec.shapings != spec.shapings {
        return Err(Problem::refused(format!(
            "the config has other transforms than when the plan was made ({made}): make a new plan. Nothing was written"
        )));
    }
    let survey = Survey::of(&ends, config, directory)?;
    let parts = Part::all(&plan);
    let collections = parts.iter().map(|part| &part.collection);
    if !collections.eq(spec.planned.iter().map(|planned| &planned.collection)) {
        return Err(Problem::refused(format!(
            "{} has other models than when the plan was made ({made}): make a new plan. Nothing was written",
            spec.source.name
        )));
    }
    for (part, planned) in parts.iter().zip(&spec.planned) {
        let (source, target) = survey.summaries(part).await?;
        if let Some(moved) = spec.moved(planned, &source.summary, &target.summary) {
            return Err(Problem::refused(format!("{moved}. Nothing was written")));
        }
    }
    check_schema(&plan.spec, &ends, &survey).await?;
    plan.spec.planned = spec.planned;
    plan.stages.insert(0, ("plan", vec![("expect".into(), Job::Expect)]));
    enqueue(&request, &ends, plan, directory, queue).await
}

fn check_same(planned: &Endpoint, now: &Endpoint, made: &str) -> Result<(), Problem> {
    if planned == now {
        return Ok(());
    }
    Err(Problem::usage(format!(
        "the plan of {made} was made for {} (id {}); here that is {} (id {}), another instance: make a plan for it",
        planned.name, planned.instance, now.name, now.instance
    )))
}
