//! From what is asked for and what both ends have to the stages of a run.

use config::Config;
use protocol::api::{Manifest, ModelInfo, ModelKind};
use protocol::collection::Collection;
use protocol::directory::Directory;
use protocol::job::{Embedded, Job};
use protocol::mirror::is_mirrored;
use protocol::run::{Endpoint, RunSpec};
use protocol::selection::Selected;

use crate::addons::{addons, chosen_resources, select};
use crate::error::Problem;
use crate::preflight::Ends;
use crate::request::{Resource, SyncRequest};
use crate::shapes::{shapings, warn_of_unknown_models};

/// About so many names of assets fit a worker's memory at a time (I8).
const ASSETS_OF_A_PART: u64 = 50_000;

/// Names of stages, and their jobs with their ids.
pub type Stages = Vec<(&'static str, Vec<(String, Job)>)>;

/// What a run consists of.
pub struct Plan {
    pub spec: RunSpec,
    /// Empty ones are left out.
    pub stages: Stages,
    /// About how many documents the source has of it.
    pub items: u64,
    /// Of a mirror: what it may delete from.
    pub mirrored: Vec<Selected>,
}

/// One job per model or other collection, in the order that keeps what is referred to before what refers to it (I7).
pub async fn plan(request: &SyncRequest, ends: &Ends, config: &Config, directory: &Directory) -> Result<Plan, Problem> {
    let (source_name, source) = &ends.source;
    let mut models = chosen_models(request, source_name, source)?;
    let client = |(name, manifest): &(String, Manifest)| directory.client(name, Some(&manifest.instance));
    let mut selections = request.choice.selections(source, &client(&ends.source)?, &client(&ends.target)?).await?;
    if request.choice.only_selected {
        models.retain(|model| is_selected(&selections, model));
    }
    let wants = |resource| request.choice.wants(resource);
    check_models_are_there(request, ends, &models, wants(Resource::Models))?;

    let mut stages: Vec<(&'static str, Vec<Collection>)> = Vec::new();
    let mut items = 0;
    if wants(Resource::Locales) {
        stages.push(("locales", vec![Collection::Locales]));
        items += source.locales.len() as u64;
    }
    if wants(Resource::Models) {
        stages.push(("models", vec![Collection::Models]));
        items += models.len() as u64;
    }
    if wants(Resource::Assets) {
        stages.push(("folders", vec![Collection::Folders]));
        stages.push(("assets", vec![Collection::Assets]));
        items += source.folders + source.assets;
    } else if request.choice.with_assets {
        stages.extend([("folders", Vec::new()), ("assets", Vec::new())]);
    }
    if wants(Resource::Content) {
        let mut content = Vec::new();
        if models.iter().any(|model| model.kind == ModelKind::Singleton) {
            content.push(Collection::Singletons);
        }
        let has_items = |model: &&&ModelInfo| model.kind != ModelKind::Singleton;
        content.extend(models.iter().filter(has_items).map(|model| Collection::Items(model.name.clone())));
        items += models.iter().map(|model| model.items).sum::<u64>();
        stages.push(("content", content));
    }
    let addons = addons(&request.choice, config, source_name, source)?;
    select(&addons, &request.choice.addons, &mut selections)?;
    items += addons.iter().filter(|addon| !addon.left_out).map(|addon| addon.rows).sum::<u64>();
    stages.push(("addons", addons.iter().map(|addon| addon.collection.clone()).collect()));
    let is_left_out =
        |collection: &Collection| match selections.iter().find(|selected| selected.collection == *collection) {
            Some(selected) => selected.selection.only.as_ref().is_some_and(Vec::is_empty),
            None => request.choice.only_selected,
        };
    stages.iter_mut().for_each(|(_, collections)| collections.retain(|collection| !is_left_out(collection)));
    if request.choice.only_selected {
        items = selections
            .iter()
            .filter_map(|selected| selected.selection.only.as_ref())
            .map(|only| only.len() as u64)
            .sum();
        in_order_of(&selections, &mut stages);
    }
    let everything: Vec<Collection> = stages.iter().flat_map(|(_, collections)| collections.clone()).collect();
    let mut spec = spec(request, ends, &models, selections);
    spec.resources =
        chosen_resources(&request.choice, config).iter().map(|resource| resource.name().to_owned()).collect();
    let mut planned: Vec<(&'static str, Vec<(String, Job)>)> = stages
        .iter()
        .map(|(name, collections)| (*name, jobs("sync", collections, |collection| Job::Collection { collection })))
        .collect();
    let mut mirrored = Vec::new();
    if let Some(mirror) = request.mirror {
        let is_meant = |of: &&Collection| {
            is_mirrored(of) && !(mirror.content_only && matches!(of, Collection::Assets | Collection::Folders))
        };
        let collections: Vec<Collection> = everything.iter().filter(is_meant).cloned().collect();
        planned.splice(0..0, decisions(&collections));
        planned.extend(deletions(&collections));
        let selected = |collection: Collection| Selected { selection: spec.selection(&collection), collection };
        mirrored = collections.into_iter().map(selected).collect();
    }
    planned.push(("verify", jobs("verify", &everything, |collection| Job::Verify { collection })));
    let parts = u32::try_from(source.assets / ASSETS_OF_A_PART).unwrap_or(u32::MAX).saturating_add(1);
    let content = stages.iter().find(|(name, _)| *name == "content").map(|(_, collections)| collections.clone());
    for (stage, wanted, parts) in [("folders", Collection::Folders, 1), ("assets", Collection::Assets, parts)] {
        let by = content.clone().unwrap_or_default();
        if !spec.with_assets || by.is_empty() || spec.selection_of_assets(&wanted).is_everything() {
            continue;
        }
        for part in 0..parts {
            let what = Embedded { wanted: wanted.clone(), by: by.clone(), part, parts };
            let both = [(stage, Job::Embedded(what.clone())), ("verify", Job::VerifyEmbedded(what))];
            for (stage, job) in both {
                let jobs = planned.iter_mut().filter(|(name, _)| *name == stage).map(|(_, jobs)| jobs);
                jobs.for_each(|jobs| jobs.push((format!("{}:embedded:{wanted}.{part}", job.kind()), job.clone())));
            }
        }
    }
    planned.retain(|(_, jobs)| !jobs.is_empty());
    let transforms = &config.shaping.transforms;
    warn_of_unknown_models(transforms, source_name, source);
    spec.on_conflict = request.on_conflict.clone().unwrap_or_else(|| config.conflicts.clone());
    spec.shapings = shapings(transforms, request.direction, everything.into_iter(), &addons);
    Ok(Plan { spec, stages: planned, items, mirrored })
}

fn jobs(prefix: &str, collections: &[Collection], job: fn(Collection) -> Job) -> Vec<(String, Job)> {
    collections.iter().map(|collection| (format!("{prefix}:{collection}"), job(collection.clone()))).collect()
}

/// Before the first write of a mirror: what it would delete, and whether it may (I6).
fn decisions(collections: &[Collection]) -> [(&'static str, Vec<(String, Job)>); 2] {
    [
        ("candidates", jobs("candidates", collections, |collection| Job::Candidates { collection })),
        ("decide", vec![("decide".to_owned(), Job::Decide)]),
    ]
}

/// After its last write: what uses something before what it uses.
fn deletions(collections: &[Collection]) -> [(&'static str, Vec<(String, Job)>); 3] {
    let of = |is_meant: fn(&Collection) -> bool| {
        let meant: Vec<Collection> = collections.iter().filter(|collection| is_meant(collection)).cloned().collect();
        jobs("deletes", &meant, |collection| Job::Deletes { collection })
    };
    [
        ("deletes", of(|collection| !matches!(collection, Collection::Assets | Collection::Folders))),
        ("assets-deletes", of(|collection| *collection == Collection::Assets)),
        ("folders-deletes", of(|collection| *collection == Collection::Folders)),
    ]
}

fn is_selected(selections: &[Selected], model: &ModelInfo) -> bool {
    selections.iter().any(|selected| match &selected.collection {
        Collection::Items(name) => *name == model.name,
        Collection::Singletons => selected.selection.only.iter().flatten().any(|name| *name == model.name),
        _ => false,
    })
}

/// Collections of content in a stage each: what is linked to before what links to it.
fn in_order_of(selections: &[Selected], stages: &mut Vec<(&'static str, Vec<Collection>)>) {
    let Some(at) = stages.iter().position(|(name, _)| *name == "content") else { return };
    let (_, mut content) = stages.remove(at);
    let place = |collection: &Collection| selections.iter().position(|selected| selected.collection == *collection);
    content.sort_by_key(place);
    let last = content.pop();
    stages.extend(content.into_iter().map(|collection| ("links", vec![collection])));
    stages.extend(last.map(|collection| ("content", vec![collection])));
}

fn spec(request: &SyncRequest, ends: &Ends, models: &[&ModelInfo], selections: Vec<Selected>) -> RunSpec {
    let end =
        |(name, manifest): &(String, Manifest)| Endpoint { name: name.clone(), instance: manifest.instance.clone() };
    let trees = models.iter().filter(|model| model.kind == ModelKind::Tree).map(|model| model.name.clone());
    RunSpec {
        direction: request.direction,
        source: end(&ends.source),
        target: end(&ends.target),
        started_by: request.started_by.clone(),
        batch_size: request.batch_size,
        on_locked: request.on_locked,
        models: request.choice.models.clone(),
        selections,
        planned: Vec::new(),
        on_conflict: Default::default(),
        accept_schema_changes: request.accept_schema_changes,
        only_selected: request.choice.only_selected,
        with_assets: request.choice.with_assets,
        pace: request.pace,
        resources: Vec::new(),
        missing_keys_only: request.choice.addons.missing_keys_only,
        shapings: Vec::new(),
        window: request.window,
        trees: trees.collect(),
        // The target's clock: what its editors save is stamped by it too.
        modified: ends.target.1.time_ms / 1000,
        source_began: ends.source.1.time_ms / 1000,
        undo: None,
        undo_order: None,
        // Made when the run has its id.
        mirror: None,
        shares_source: request.shares_source,
        traceparent: protocol::trace::current(),
    }
}

fn chosen_models<'a>(request: &SyncRequest, name: &str, source: &'a Manifest) -> Result<Vec<&'a ModelInfo>, Problem> {
    let Some(wanted) = &request.choice.models else { return Ok(source.models.iter().collect()) };
    wanted
        .iter()
        .map(|model| {
            source.models.iter().find(|info| info.name == *model).ok_or_else(|| {
                let known: Vec<&str> = source.models.iter().map(|info| info.name.as_str()).collect();
                Problem::usage(format!("{name} has no model {model:?}; it has: {}", known.join(", ")))
            })
        })
        .collect()
}

/// Content without its definitions would be held, document by document: better said before anything starts.
fn check_models_are_there(
    request: &SyncRequest,
    ends: &Ends,
    models: &[&ModelInfo],
    brings_models: bool,
) -> Result<(), Problem> {
    let brings_content = request.choice.wants(Resource::Content);
    if brings_models || !brings_content {
        return Ok(());
    }
    let (target_name, target) = &ends.target;
    let is_missing = |model: &&&ModelInfo| !target.models.iter().any(|info| info.name == model.name);
    let missing: Vec<&str> = models.iter().filter(is_missing).map(|model| model.name.as_str()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Problem::usage(format!(
        "{target_name} has no model {0}: bring the definition too (push --models {0}, or add models to --resources)",
        missing.join(",")
    )))
}
