//! From the transforms of the config to what a run does with the documents of each of its collections.

use std::sync::Arc;

use comparing::shaping::{CommandSettings, Commands, NO_COMMAND_FOR_ASSETS, check};
use config::{Config, Transform};
use protocol::api::Manifest;
use protocol::collection::Collection;
use protocol::run::Direction;
use protocol::shaping::{Change, Shaped, Shaping, Step};

use crate::addons::Addon;
use crate::error::Problem;

/// Whether every transform of the config can be carried out: said when the config is read, not document by document.
pub fn check_transforms(config: &Config) -> Result<(), Problem> {
    let wrong = |problem: String| Problem::usage(format!("{}: {problem}", config.file.display()));
    for transform in &config.shaping.transforms {
        for step in transform.steps(None) {
            if transform.resource == "assets" && matches!(step.change, Change::Command { .. }) {
                return Err(wrong(format!("[{}]: {NO_COMMAND_FOR_ASSETS}", step.entry)));
            }
            check(&step).map_err(wrong)?;
        }
    }
    Ok(())
}

/// The programs of the config that may shape documents in this process.
pub fn commands(config: &Config) -> Commands {
    let folder = config.file.parent().unwrap_or(std::path::Path::new(".")).to_path_buf();
    let settings = config.shaping.commands.iter().map(|(name, entry)| {
        let settings =
            CommandSettings { run: entry.run.clone(), time_limit: entry.time_limit(), folder: folder.clone() };
        (name.clone(), settings)
    });
    Commands::new(settings.collect())
}

/// What happens to the documents of these collections.
pub(crate) fn shapings(
    transforms: &[Transform],
    direction: Direction,
    collections: impl Iterator<Item = Collection>,
    addons: &[Addon],
) -> Vec<Shaped> {
    let chosen: Vec<&Transform> =
        transforms.iter().filter(|transform| transform.on.is_none_or(|on| on == direction)).collect();
    let copies: Arc<[Step]> = steps(&chosen, &Collection::Assets, None).into();
    let shaped = collections.map(|collection| {
        let embeds =
            !matches!(collection, Collection::Locales | Collection::Models | Collection::Folders | Collection::Assets);
        let copies = if embeds { copies.to_vec() } else { Vec::new() };
        let addon = addons.iter().find(|addon| addon.collection == collection);
        let steps = steps(&chosen, &collection, addon);
        let shaping = Shaping { steps, copies, merge: addon.map(|addon| addon.merge).unwrap_or_default() };
        Shaped { collection, shaping }
    });
    shaped.filter(|shaped| !shaped.shaping.is_nothing()).collect()
}

fn steps(transforms: &[&Transform], collection: &Collection, addon: Option<&Addon>) -> Vec<Step> {
    let (resource, model) = match (collection, addon) {
        (Collection::Folders, _) => ("folders", ""),
        (custom, Some(addon)) => (addon.resource.name(), custom.resource().1),
        (other, None) => other.resource(),
    };
    // Where one collection holds something of every model, a model is one of its documents.
    let is_of_all_models = matches!(collection, Collection::Singletons | Collection::Models | Collection::Locales);
    let of_resource = transforms.iter().filter(|transform| transform.resource == resource);
    let steps = of_resource.flat_map(|transform| -> Vec<Step> {
        match transform.model.as_deref() {
            None => transform.steps(None).collect(),
            Some(name) if is_of_all_models => transform.steps(Some(name)).collect(),
            Some(name) if name == model => transform.steps(None).collect(),
            Some(_) => Vec::new(),
        }
    });
    steps.collect()
}

/// A transform that is about a model that is not there may be a misspelt mask.
pub(crate) fn warn_of_unknown_models(transforms: &[Transform], source: &str, manifest: &Manifest) {
    for transform in transforms.iter().filter(|transform| ["content", "models"].contains(&transform.resource.as_str()))
    {
        let Some(model) = &transform.model else { continue };
        if !manifest.models.iter().any(|info| info.name == *model) {
            tracing::warn!("[{}] does nothing: {source} has no model {model:?}", transform.entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transform(resource: &str, model: Option<&str>, on: Option<Direction>) -> Transform {
        let entry = [Some(resource), model].into_iter().flatten().collect::<Vec<_>>().join(".");
        let changes = vec![Change::Jq(".".into())];
        Transform { entry, resource: resource.into(), model: model.map(str::to_owned), on, changes }
    }

    #[test]
    fn each_collection_gets_the_steps_of_its_resource_and_its_model_in_this_direction() {
        let transforms = [
            transform("content", None, None),
            transform("content", Some("posts"), None),
            transform("content", Some("settings"), Some(Direction::Pull)),
            transform("assets", None, Some(Direction::Push)),
        ];
        let posts = Collection::Items("posts".into());
        let all = [Collection::Locales, Collection::Folders, Collection::Assets, Collection::Singletons, posts];
        let told = |direction| -> Vec<String> {
            let shaped = shapings(&transforms, direction, all.iter().cloned(), &[]);
            let told = shaped.iter().map(|shaped| {
                let steps = shaped.shaping.steps.iter().map(|step| format!("{}{:?}", step.entry, step.only));
                let copies = shaped.shaping.copies.len();
                format!("{} {} {copies}", shaped.collection, steps.collect::<Vec<_>>().join(" "))
            });
            told.collect()
        };
        assert_eq!(
            told(Direction::Push),
            [
                "assets assetsNone 0",
                "content/singletons contentNone content.postsSome(\"posts\") 1",
                "content/collections/posts contentNone content.postsNone 1",
            ]
        );
        assert_eq!(
            told(Direction::Pull),
            [
                "content/singletons contentNone content.postsSome(\"posts\") content.settingsSome(\"settings\") 0",
                "content/collections/posts contentNone content.postsNone 0",
            ]
        );
    }
}
