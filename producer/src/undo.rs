//! Undoing a run: what it would do, and the run that does it.

use std::collections::BTreeMap;

use config::Config;
use protocol::api::{HeldDocument, Receipt, UndoPart, UndoPlanRequest};
use protocol::client::AgentClient;
use protocol::collection::Collection;
use protocol::conflicts::ConflictRules;
use protocol::directory::Directory;
use protocol::event;
use protocol::job::Job;
use protocol::mirror::UndoOrder;
use protocol::pace::Pace;
use protocol::run::{Direction, Endpoint, OnLocked, RunSpec, UNDO};
use queue::{IfBusy, Queue};
use serde::Serialize;

use crate::error::{Problem, ProblemKind};
use crate::plan::Stages;
use crate::preflight::{check_writable, uri};
use crate::receipt::receipt;
use crate::request::{BATCH_SIZE, WINDOW, accepted, new_run_of, submit_surely};

/// So many conflicts are named before the undo; all of them are held by name by its run.
const CONFLICTS_NAMED: usize = 1000;

/// What undoing a run would do.
#[derive(Debug, Clone, Serialize)]
pub struct UndoReport {
    /// The run that would be undone.
    pub undoes: String,
    pub target: String,
    /// By the collection's name; files of assets are `assets/files`.
    pub collections: BTreeMap<String, UndoCounts>,
    /// Changed since: they stay as they are.
    pub conflicts: Vec<UndoConflict>,
    #[serde(skip)]
    receipt: Receipt,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct UndoCounts {
    /// What the run overwrote or deleted comes back; bytes of it.
    pub put_back: u64,
    pub bytes: u64,
    /// What the run created goes.
    pub remove: u64,
    /// As before the run already.
    pub same: u64,
    pub conflicts: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct UndoConflict {
    pub collection: String,
    #[serde(flatten)]
    pub document: HeldDocument,
}

impl UndoReport {
    pub fn total(&self) -> UndoCounts {
        let mut total = UndoCounts::default();
        for counts in self.collections.values() {
            total.put_back += counts.put_back;
            total.bytes += counts.bytes;
            total.remove += counts.remove;
            total.same += counts.same;
            total.conflicts += counts.conflicts;
        }
        total
    }
}

/// Asks the agent of `target` what undoing a run would do. `run` as for a receipt.
pub async fn plan_undo(directory: &Directory, target: &str, run: &str) -> Result<UndoReport, Problem> {
    let receipt = receipt(directory, target, run).await?;
    let run = receipt.run.clone();
    if let Some(reason) = &receipt.undo.reason {
        return Err(Problem::refused(format!("run {run} cannot be undone: {reason}")));
    }
    if receipt.ended_ms.is_none() {
        return Err(Problem::refused(format!("run {run} is not over: end it first (cockpit-sync cancel {run})")));
    }
    let agent = directory.client(target, Some(&receipt.instance))?;
    let mut collections = BTreeMap::new();
    let mut conflicts = Vec::new();
    for (collection, landed) in &receipt.collections {
        if landed.created + landed.updated + landed.deleted > 0 {
            let counts = count_undo(&agent, &run, collection, &mut conflicts).await?;
            collections.insert(collection.clone(), counts);
        }
    }
    Ok(UndoReport { undoes: run, target: target.into(), collections, conflicts, receipt })
}

async fn count_undo(
    agent: &AgentClient,
    run: &str,
    collection: &str,
    conflicts: &mut Vec<UndoConflict>,
) -> Result<UndoCounts, Problem> {
    let mut counts = UndoCounts::default();
    let mut after = None;
    loop {
        let request = UndoPlanRequest { run: run.into(), collection: collection.into(), after };
        let page = agent.call(&request).await?;
        counts.put_back += page.put_back;
        counts.bytes += page.bytes;
        counts.remove += page.remove;
        counts.same += page.same;
        counts.conflicts += page.conflicts.len() as u64;
        let room = CONFLICTS_NAMED.saturating_sub(conflicts.len());
        let named = page.conflicts.into_iter().take(room);
        conflicts.extend(named.map(|document| UndoConflict { collection: collection.into(), document }));
        after = page.next;
        if after.is_none() {
            return Ok(counts);
        }
    }
}

/// Enqueues the run that undoes it. Gives back its id.
pub async fn submit_undo(
    report: &UndoReport,
    config: &Config,
    directory: &Directory,
    queue: &Queue,
    on_locked: OnLocked,
    started_by: String,
) -> Result<String, Problem> {
    let manifest = directory.client(&report.target, None)?.manifest().await?;
    if manifest.instance != report.receipt.instance {
        return Err(Problem::refused(format!("{} is another instance than the run wrote to", report.target)));
    }
    check_writable(&report.target, &manifest)?;
    let end = Endpoint { name: report.target.clone(), instance: manifest.instance };
    let now = manifest.time_ms / 1000;
    let mut spec = RunSpec {
        only_selected: false,
        direction: Direction::Push,
        source: end.clone(),
        target: end,
        started_by,
        batch_size: BATCH_SIZE,
        models: None,
        selections: Vec::new(),
        missing_keys_only: None,
        with_assets: false,
        pace: Pace::default(),
        planned: Vec::new(),
        on_conflict: ConflictRules::default(),
        accept_schema_changes: false,
        shapings: Vec::new(),
        on_locked,
        resources: Vec::new(),
        window: WINDOW,
        trees: Vec::new(),
        modified: now,
        source_began: now,
        undo: Some(report.undoes.clone()),
        undo_order: None,
        mirror: None,
        shares_source: false,
        traceparent: protocol::trace::current(),
    };
    let total = report.total();
    let items = total.put_back + total.remove + total.same + total.conflicts;
    let place = uri(config, &report.target);
    let stages = stages(report.collections.keys());
    let mut run = new_run_of(&spec, UNDO, event::UNDO_FINISHED, (&place, &place), stages, items, IfBusy::Wait);
    let order = UndoOrder { run: run.id.clone(), target: spec.target.instance.clone(), undoes: report.undoes.clone() };
    spec.undo_order = Some(directory.client(&report.target, None)?.approve(order.encode()));
    run.spec = spec.encode();
    accepted(&run, submit_surely(queue, &run).await?)
}

/// What an undo run left over.
pub(crate) async fn undo_again(
    spec: &RunSpec,
    undone: &str,
    config: &Config,
    directory: &Directory,
    queue: &Queue,
    started_by: String,
) -> Result<String, Problem> {
    let report = plan_undo(directory, &spec.target.name, undone).await?;
    submit_undo(&report, config, directory, queue, spec.on_locked, started_by).await
}

/// What is put back goes in the order of a sync, what is removed in the reverse order (I7): so a document never embeds an
/// asset that is not there, and an asset's file is there as long as its row.
fn stages<'c>(collections: impl Iterator<Item = &'c String>) -> Stages {
    const ORDER: [(&str, &str); 4] = [
        ("put back basics", "remove basics"),
        ("put back files", "remove files"),
        ("put back assets", "remove assets"),
        ("put back content", "remove content"),
    ];
    let rank = |name: &str| match Collection::try_from(name.to_owned()) {
        Ok(Collection::Locales | Collection::Models | Collection::Folders) => 0,
        Ok(Collection::Assets) => 2,
        Ok(Collection::Singletons | Collection::Items(_) | Collection::Custom(_)) => 3,
        Err(_) => 1,
    };
    let undo = |collection: &str, part| Job::Undo { collection: collection.into(), part };
    let mut back: Stages = ORDER.iter().map(|(name, _)| (*name, Vec::new())).collect();
    let mut remove: Stages = ORDER.iter().map(|(_, name)| (*name, Vec::new())).collect();
    let mut verify = Vec::new();
    for collection in collections {
        let rank = rank(collection);
        back[rank].1.push((format!("back:{collection}"), undo(collection, UndoPart::PutBack)));
        remove[rank].1.push((format!("remove:{collection}"), undo(collection, UndoPart::Remove)));
        verify.push((format!("verify:{collection}"), Job::VerifyUndo { collection: collection.clone() }));
    }
    remove.reverse();
    let mut stages = back;
    stages.append(&mut remove);
    stages.push(("verify", verify));
    stages.retain(|(_, jobs)| !jobs.is_empty());
    stages
}

/// Nothing to undo: a run that wrote nothing.
pub fn nothing_to_undo(report: &UndoReport) -> Option<Problem> {
    let total = report.total();
    (total.put_back + total.remove + total.conflicts == 0).then(|| {
        let message = format!("run {} left nothing to undo: {} is as it was before it", report.undoes, report.target);
        Problem::new(ProblemKind::Refused, message)
    })
}

#[cfg(test)]
mod tests {
    use protocol::api::ASSET_FILES;

    use super::*;

    #[test]
    fn what_is_put_back_goes_in_the_order_of_a_sync_and_what_is_removed_in_the_reverse() {
        let names = ["assets", "content/collections/posts", "content/models", ASSET_FILES].map(str::to_owned);
        let stages: Vec<&str> = stages(names.iter()).into_iter().map(|(name, _)| name).collect();
        let expected = [
            "put back basics",
            "put back files",
            "put back assets",
            "put back content",
            "remove content",
            "remove assets",
            "remove files",
            "remove basics",
            "verify",
        ];
        assert_eq!(stages, expected);
    }
}
