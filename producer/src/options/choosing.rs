//! What the options choose: filters, assets, parts of add-ons.

use std::collections::BTreeSet;

use protocol::filter::Filter;
use serde_json::json;

use super::{Chosen, What};
use crate::addons::{AddonChoice, PagesPart};
use crate::choice::{AssetChoice, Choice, ContentFilter};
use crate::error::Problem;
use crate::request::Resource;

/// `--skip-large-files` alone means files larger than this.
const LARGE_FILE: u64 = 10 << 20;

impl What {
    /// What is chosen.
    pub fn choice(&self) -> Result<Choice, Problem> {
        let content = self.content_filter().map_err(Problem::usage)?;
        let choice = Choice {
            models: self.models.clone(),
            resources: self.resources.clone().map(BTreeSet::from_iter),
            content: content.map(|filter| ContentFilter { models: None, filter }).into_iter().collect(),
            assets: self.asset_choice()?,
            with_assets: self.with_assets,
            addons: self.addon_choice()?,
            ..Choice::default()
        };
        match self.without_effect(&choice) {
            None => Ok(choice),
            Some((option, resource)) => Err(Problem::usage(format!(
                "{option} would have no effect: {} is not among what is brought; add it to --resources",
                resource.name()
            ))),
        }
    }

    /// What narrows something that is not brought, which was meant otherwise.
    fn without_effect(&self, choice: &Choice) -> Option<(&'static str, Resource)> {
        let of_content = [
            ("--filter", self.filter.is_some()),
            ("--state", self.state.is_some()),
            ("--with-assets", self.with_assets),
            ("--modified-since", self.modified_since.is_some() && !choice.wants(Resource::Assets)),
        ];
        let of_assets = [
            ("--folders", self.folders.is_some()),
            ("--files", self.files.is_some()),
            ("--skip-large-files", self.skip_large_files),
            ("--max-file-size", self.max_file_size.is_some()),
        ];
        let first = |options: &[(&'static str, bool)], resource| {
            let named = options.iter().find(|(_, is_named)| *is_named && !choice.wants(resource));
            named.map(|(option, _)| (*option, resource))
        };
        first(&of_content, Resource::Content).or_else(|| first(&of_assets, Resource::Assets))
    }

    fn addon_choice(&self) -> Result<AddonChoice, Problem> {
        let parts =
            [(self.pages, PagesPart::Pages), (self.menus, PagesPart::Menus), (self.settings, PagesPart::Settings)];
        let parts: BTreeSet<PagesPart> = parts.into_iter().filter_map(|(asked, part)| asked.then_some(part)).collect();
        let missing_keys_only = match (self.missing_keys_only, self.replace_keys) {
            (true, true) => return Err(Problem::usage("override and missing-keys-only exclude each other")),
            (false, false) => None,
            (missing_only, _) => Some(missing_only),
        };
        let parts = (!parts.is_empty()).then_some(parts);
        Ok(AddonChoice { parts, projects: self.projects.clone(), missing_keys_only })
    }

    /// What documents of models are narrowed to.
    fn content_filter(&self) -> Result<Option<Filter>, String> {
        let mut filters: Vec<Filter> = self.filter.iter().cloned().collect();
        if let Some(states) = &self.state {
            let numbers: Vec<i8> = states.iter().map(|state| state.number()).collect();
            filters.push(made(&json!({ "_state": { "$in": numbers } })));
        }
        filters.extend(self.since_filter());
        Filter::all(&filters).map_err(|error| error.to_string())
    }

    fn asset_choice(&self) -> Result<AssetChoice, Problem> {
        let mut filters: Vec<Filter> = self.since_filter().into_iter().collect();
        if self.skip_large_files || self.max_file_size.is_some() {
            // An asset that does not say how large it is, is not called large.
            let size = self.max_file_size.unwrap_or(LARGE_FILE);
            filters.push(made(&json!({ "$nor": [{ "size": { "$gt": size } }] })));
        }
        if let Some(Chosen::These(files)) = &self.files {
            let one_of = json!({ "$in": files });
            filters.push(made(&json!({ "$or": [{ "_id": one_of }, { "path": one_of }, { "title": one_of }] })));
        }
        let (folders, files) = match (&self.folders, &self.files) {
            (Some(Chosen::Whether(true)), None) => (true, false),
            (None, Some(Chosen::Whether(true))) => (false, true),
            (folders, files) => {
                let is_wanted = |chosen: &Option<Chosen>| *chosen != Some(Chosen::Whether(false));
                (is_wanted(folders), is_wanted(files))
            }
        };
        let in_folders = match &self.folders {
            Some(Chosen::These(names)) => Some(names.clone()),
            _ => None,
        };
        let filter = Filter::all(&filters).map_err(|error| Problem::usage(error.to_string()))?;
        Ok(AssetChoice { folders, files, in_folders, filter })
    }

    fn since_filter(&self) -> Option<Filter> {
        self.modified_since.map(|since| made(&json!({ "_modified": { "$gte": since } })))
    }
}

/// A filter that we made ourselves.
fn made(filter: &serde_json::Value) -> Filter {
    Filter::parse(&filter.to_string()).expect("it has known operators only, and is short")
}
