//! A job file: what Cockpit's documentation passes to its own sync, `[{"name": "content", "syncSettings": {...}}]`.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{How, Options, camel_case};
use crate::choice::Choice;
use crate::error::Problem;
use crate::request::Resource;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Job {
    name: String,
    /// An empty array where PHP has nothing to say.
    #[serde(default)]
    sync_settings: Value,
}

/// Settings of the run as a whole, allowed in any job.
const OF_THE_RUN: [&str; 6] = ["batchSize", "window", "pauseBetweenBatches", "maxRate", "timeLimit", "urgent"];
const OF_CONTENT: [&str; 11] = [
    "syncAll",
    "all",
    "models",
    "locales",
    "filter",
    "state",
    "modifiedSince",
    "withAssets",
    "mirror",
    "maxDelete",
    "allowShrunk",
];
const OF_ASSETS: [&str; 7] = ["syncAll", "all", "folders", "files", "modifiedSince", "skipLargeFiles", "maxFileSize"];

const OF_PAGES: [&str; 5] = ["syncAll", "all", "pages", "menus", "settings"];
const OF_LOKALIZE: [&str; 5] = ["syncAll", "all", "projects", "missingKeysOnly", "override"];
const OF_LAYOUT: [&str; 2] = ["syncAll", "all"];

/// What the jobs choose together, and what they say of the run as a whole. They are one run: in the usual order, whatever
/// their order in the file.
pub fn read_jobs(text: &str) -> Result<(Choice, Options), Problem> {
    let wrong = |problem: String| Problem::usage(format!("job file: {problem}"));
    let jobs: Vec<Job> = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let mut run = Options::default();
    let mut together = Choice { models: Some(Vec::new()), resources: Some(BTreeSet::new()), ..Choice::default() };
    let (mut has_assets, mut has_content) = (false, false);
    for (number, job) in (1..).zip(jobs) {
        let here = |problem: String| wrong(format!("job {number} ({}): {problem}", job.name));
        let settings = settings(job.sync_settings.clone()).map_err(here)?;
        match job.name.as_str() {
            "content" => {
                let mut options = read(settings, &OF_CONTENT).map_err(here)?;
                options.how.mirrors_content_only = options.how.mirror;
                let of_mirror = |of: &How| (of.mirror, of.max_delete, of.allow_shrunk);
                if has_content && of_mirror(&options.how) != of_mirror(&run.how) {
                    return Err(here(
                        "mirror is for all jobs of content or for none, and so is what it may delete".into(),
                    ));
                }
                has_content = true;
                add_content(&mut together, &options).map_err(|problem| here(problem.message))?;
                run.how = merged(run.how, options.how);
            }
            "assets" if std::mem::replace(&mut has_assets, true) => return Err(here("there is one already".into())),
            "assets" => {
                let options = read(settings, &OF_ASSETS).map_err(here)?;
                together.assets = options.choice().map_err(|problem| here(problem.message))?.assets;
                together.resources.get_or_insert_default().insert(Resource::Assets);
                run.how = merged(run.how, options.how);
            }
            "pages" => {
                let options = read(settings, &OF_PAGES).map_err(here)?;
                let parts = options.choice().map_err(|problem| here(problem.message))?.addons.parts;
                together.addons.parts = parts.filter(|_| !options.what.all);
                together.resources.get_or_insert_default().insert(Resource::Pages);
                run.how = merged(run.how, options.how);
            }
            "lokalize" => {
                let options = read(settings, &OF_LOKALIZE).map_err(here)?;
                let addons = options.choice().map_err(|problem| here(problem.message))?.addons;
                together.addons.projects = addons.projects.filter(|_| !options.what.all);
                together.addons.missing_keys_only = addons.missing_keys_only;
                together.resources.get_or_insert_default().insert(Resource::Lokalize);
                run.how = merged(run.how, options.how);
            }
            "layout" => {
                let options = read(settings, &OF_LAYOUT).map_err(here)?;
                together.resources.get_or_insert_default().insert(Resource::Layout);
                run.how = merged(run.how, options.how);
            }
            _ => return Err(here("there are jobs content, assets, pages, lokalize and layout".into())),
        }
    }
    let resources = together.resources.get_or_insert_default();
    if resources.is_empty() {
        return Err(wrong("it has no job".into()));
    }
    if !resources.contains(&Resource::Content) {
        together.models = None;
    }
    Ok((together, run))
}

/// `[]` is what PHP makes of no settings.
fn settings(value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Null => Ok(Map::new()),
        Value::Array(none) if none.is_empty() => Ok(Map::new()),
        Value::Object(settings) => Ok(settings),
        _ => Err("syncSettings is not an object".into()),
    }
}

fn read(settings: Map<String, Value>, allowed: &[&str]) -> Result<Options, String> {
    for key in settings.keys() {
        let name = camel_case(key);
        match name.as_str() {
            name if allowed.contains(&name) || OF_THE_RUN.contains(&name) => {}
            _ => return Err(format!("{key} is no setting of this job; there are {}", allowed.join(", "))),
        }
    }
    Options::read(settings)
}

fn add_content(together: &mut Choice, options: &Options) -> Result<(), Problem> {
    let choice = options.choice()?;
    let models = choice.models.filter(|_| !options.what.all);
    let is_first = !together.resources.get_or_insert_default().contains(&Resource::Content);
    for mut content in choice.content {
        content.models.clone_from(&models);
        together.content.push(content);
    }
    let overlaps = match (&mut together.models, models) {
        (Some(chosen), Some(more)) => {
            let overlaps = more.iter().any(|model| chosen.contains(model));
            chosen.extend(more);
            overlaps
        }
        (chosen, _) => {
            *chosen = None;
            !is_first
        }
    };
    if overlaps {
        return Err(Problem::usage("its models are those of another content job, too: make one job of both"));
    }
    together.with_assets |= choice.with_assets;
    let resources = together.resources.get_or_insert_default();
    resources.extend([Resource::Models, Resource::Content]);
    if options.what.locales.unwrap_or(true) {
        resources.insert(Resource::Locales);
    }
    Ok(())
}

/// Where jobs differ in what can only be one thing for a run, the gentler one holds.
fn merged(one: How, other: How) -> How {
    let least = |one: Option<u32>, other: Option<u32>| one.into_iter().chain(other).min();
    let batch_size = least(one.batch_size, other.batch_size);
    let window = one.window.into_iter().chain(other.window).min();
    let pause_between_batches = one.pause_between_batches.max(other.pause_between_batches);
    let time_limit = one.time_limit.into_iter().chain(other.time_limit).min();
    let max_rate = one.max_rate.or(other.max_rate);
    How {
        batch_size,
        window,
        pause_between_batches,
        time_limit,
        max_rate,
        urgent: one.urgent || other.urgent,
        mirror: one.mirror || other.mirror,
        max_delete: one.max_delete.or(other.max_delete),
        allow_shrunk: one.allow_shrunk || other.allow_shrunk,
        mirrors_content_only: one.mirrors_content_only || other.mirrors_content_only,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::addons::PagesPart;
    use protocol::mirror::MaxDelete;

    fn error(text: &str) -> String {
        read_jobs(text).unwrap_err().message
    }

    #[test]
    fn the_documented_jobs_are_read() {
        let documented =
            r#"[{"name": "content", "syncSettings": {"syncAll": true}}, {"name": "assets", "syncSettings": []}]"#;
        let (choice, _) = read_jobs(documented).unwrap();
        assert_eq!(choice.models, None);
        assert_eq!(choice.resources, Some(BTreeSet::from(Resource::ALL)));
        assert!(choice.assets.folders && choice.assets.files && choice.content.is_empty());

        let narrowed = r#"[
            {"name": "content", "syncSettings": {"models": ["posts"], "locales": false, "batchSize": 100, "mirror": false,
                "filter": {"_state": 1, "_modified": {"$gte": 1700000000}}}},
            {"name": "content", "syncSettings": {"models": ["pages"], "locales": false, "batch-size": 50}},
            {"name": "assets", "syncSettings": {"files": true, "modifiedSince": "2026-01-01", "skipLargeFiles": true, "maxFileSize": 10485760}}]"#;
        let (choice, run) = read_jobs(narrowed).unwrap();
        assert_eq!(choice.models, Some(vec!["posts".to_owned(), "pages".to_owned()]));
        assert!(!choice.resources.unwrap().contains(&Resource::Locales));
        assert_eq!((choice.content.len(), choice.content[0].models.as_deref()), (1, Some(&["posts".to_owned()][..])));
        assert_eq!(run.how.batch_size, Some(50));
        assert!(!choice.assets.folders && choice.assets.filter.unwrap().text().contains("10485760"));
    }

    #[test]
    fn jobs_of_add_ons_are_read() {
        let jobs = r#"[{"name": "pages", "syncSettings": {"syncAll": false, "menus": true}}, {"name": "layout"},
            {"name": "lokalize", "syncSettings": {"projects": ["web"], "missingKeysOnly": true}}]"#;
        let (choice, _) = read_jobs(jobs).unwrap();
        assert_eq!(choice.resources, Some(BTreeSet::from(Resource::ADDONS)));
        assert_eq!(choice.addons.parts, Some(BTreeSet::from([PagesPart::Menus])));
        assert_eq!(
            (choice.addons.projects, choice.addons.missing_keys_only),
            (Some(vec!["web".to_owned()]), Some(true))
        );
    }

    #[test]
    fn a_job_that_mirrors_content_deletes_no_assets() {
        let text = r#"[{"name": "assets"}, {"name": "content", "syncSettings": {"mirror": true, "maxDelete": "10%"}}]"#;
        let mirror = read_jobs(text).unwrap().1.mirror().unwrap().unwrap();
        assert_eq!((mirror.content_only, mirror.max_delete), (true, Some(MaxDelete::Percent(10))));
        let text = r#"[{"name": "content", "syncSettings": {"mirror": false}}]"#;
        assert_eq!(read_jobs(text).unwrap().1.mirror().unwrap(), None);
    }

    #[test]
    fn each_mistake_is_named() {
        assert!(error("{}").contains("job file"));
        assert!(error("[]").contains("no job"));
        assert!(error(r#"[{"name": "users"}]"#).contains("job 1 (users)"));
        let both = r#"[{"name": "lokalize", "syncSettings": {"override": true, "missingKeysOnly": true}}]"#;
        assert!(error(both).contains("exclude each other"));
        assert!(error(r#"[{"name": "assets", "syncSettings": {"mirror": true}}]"#).contains("mirror"));
        let unlike = r#"[{"name": "content", "syncSettings": {"models": ["a"], "mirror": true}},
            {"name": "content", "syncSettings": {"models": ["b"]}}]"#;
        assert!(error(unlike).contains("for all jobs of content or for none"));
        assert!(error(r#"[{"name": "assets", "syncSettings": {"models": ["a"]}}]"#).contains("models is no setting"));
        assert!(error(r#"[{"name": "content", "syncSettings": {"filter": {"a": {"$size": 1}}}}]"#).contains("$size"));
        assert!(error(r#"[{"name": "content", "syncSettings": {"modifiedSince": "soon"}}]"#).contains("7 days ago"));
        let twice =
            r#"[{"name": "content", "syncSettings": {"models": ["a"]}}, {"name": "content", "syncSettings": {}}]"#;
        assert!(error(twice).contains("another content job"));
        assert!(error(r#"[{"name": "assets"}, {"name": "assets"}]"#).contains("one already"));
    }
}
