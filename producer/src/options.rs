//! What somebody may ask of a sync: the same names on the command line, in a preset of the config and in a job file.
//!
//! Owns the names and what they mean. It must not ask agents: what a name stands for there is found out later
//! ([`crate::choice`]).

mod choosing;
mod jobs;
mod reading;
pub mod values;

use std::time::Duration;

use clap::Args;
use config::Config;
use protocol::filter::Filter;
use protocol::mirror::MaxDelete;
use protocol::pace::{Pace, Rate};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::choice::Choice;
use crate::error::Problem;
use crate::request::{Mirror, Resource};

pub use jobs::read_jobs;

/// Everything is optional: what is left out is as usual.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Args)]
#[serde(rename_all = "camelCase", default)]
#[group(skip)]
pub struct Options {
    #[serde(flatten)]
    #[command(flatten)]
    pub what: What,
    #[serde(flatten)]
    #[command(flatten)]
    pub how: How,
    /// Names that nobody knows: refused where they are read.
    #[serde(flatten)]
    #[arg(skip)]
    unknown: Map<String, Value>,
}

/// What is brought. What is left out is not narrowed.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Args)]
#[serde(rename_all = "camelCase", default)]
pub struct What {
    /// Everything: what is meant where nothing else is said
    #[arg(long, conflicts_with_all = ["models", "resources"])]
    #[serde(alias = "syncAll")]
    pub all: bool,
    /// Only these models, with their definitions and items (and locales, but no assets unless --resources has them)
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub models: Option<Vec<String>>,
    /// Only these resources: locales, models, assets, content, pages, lokalize, layout, those of the config [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub resources: Option<Vec<Resource>>,
    /// Also the assets that the chosen documents embed, with their folders
    #[arg(long)]
    pub with_assets: bool,
    /// Of pages only the pages themselves (with --menus and --settings: these too)
    #[arg(long)]
    pub pages: bool,
    /// Of pages only the menus
    #[arg(long)]
    pub menus: bool,
    /// Of pages only the settings
    #[arg(long)]
    pub settings: bool,
    /// Of lokalize only these projects, by name, key or id
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub projects: Option<Vec<String>>,
    /// Of lokalize only keys that the target lacks, at every level; what it has stays
    #[arg(long, conflicts_with = "override")]
    pub missing_keys_only: bool,
    /// Of lokalize whole projects, whatever the config says
    #[arg(long = "override", id = "override")]
    #[serde(rename = "override")]
    pub replace_keys: bool,
    /// Only items and singletons that match, as in MongoDB: '{"_state": 1, "rating": {"$gte": 3}}'. Operators: $eq $ne $gt $gte
    /// $lt $lte $in $nin $exists $regex $and $or $nor $not
    #[arg(long, value_name = "JSON")]
    #[serde(deserialize_with = "reading::filter")]
    pub filter: Option<Filter>,
    /// Only items and singletons in these states: published, unpublished, archived
    #[arg(long, value_delimiter = ',', value_name = "STATE,...")]
    #[serde(deserialize_with = "reading::states")]
    pub state: Option<Vec<State>>,
    /// Only what was changed at the source since then: "7 days ago", 2026-11-22, 2026-11-22T10:00:00Z, Unix seconds
    #[arg(long, value_name = "TIME", value_parser = values::since)]
    #[serde(deserialize_with = "reading::since")]
    pub modified_since: Option<i64>,
    /// Of assets only the folders; with names, paths or ids: these folders and what is in them
    #[arg(long, value_name = "FOLDER,...", num_args = 0..=1, default_missing_value = "", value_parser = Chosen::read)]
    pub folders: Option<Chosen>,
    /// Of assets only the files, without folders; with ids, paths or titles: only these files
    #[arg(long, value_name = "FILE,...", num_args = 0..=1, default_missing_value = "", value_parser = Chosen::read)]
    pub files: Option<Chosen>,
    /// Leave out assets whose file is larger than --max-file-size, or 10 MiB
    #[arg(long)]
    pub skip_large_files: bool,
    /// Leave out assets whose file is larger: 10MiB
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    #[serde(deserialize_with = "reading::size")]
    pub max_file_size: Option<u64>,
    /// Of a job for content alone: whether locales come along.
    #[arg(skip)]
    pub locales: Option<bool>,
}

/// What else is done with it, and how fast.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Args)]
#[serde(rename_all = "camelCase", default)]
pub struct How {
    /// Also delete on the target what the source does not have, of what is synced (never models, locales or anything of add-ons). Nothing at all is
    /// written if that is more than may be deleted
    #[arg(long)]
    pub mirror: bool,
    /// The most that a mirror may delete of each model: 50 (documents), 10% [default: 20% or 100, whichever is more]
    #[arg(long, value_name = "MOST")]
    #[serde(deserialize_with = "reading::max_delete")]
    pub max_delete: Option<MaxDelete>,
    /// Mirror although the source is empty, or has lost most of its documents since the last sync
    #[arg(long)]
    pub allow_shrunk: bool,
    /// As a job file has it, where only jobs for content say whether they mirror.
    #[arg(skip)]
    #[serde(skip)]
    pub mirrors_content_only: bool,
    /// Rows per batch job [default: 2000]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch_size: Option<u32>,
    /// The most jobs in workers' hands at a time; fewer while the target refuses some (429, 503) or is slow [default: 16]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub window: Option<u16>,
    /// Rest so long after each batch, with one batch at a time: 500ms, 2s
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    #[serde(deserialize_with = "reading::duration")]
    pub pause_between_batches: Option<Duration>,
    /// Write no faster to the target, all workers together: 100/s (items), 5MiB/s
    #[arg(long, value_name = "RATE", value_parser = values::rate)]
    #[serde(deserialize_with = "reading::rate")]
    pub max_rate: Option<Rate>,
    /// Begin no batch any more after so long: 30m, "1h 30m". What is left is brought by the next push
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    #[serde(deserialize_with = "reading::duration")]
    pub time_limit: Option<Duration>,
    /// Go before other syncs to the target: one that is running makes room within 10 seconds and goes on afterwards. For
    /// what is small; the same urgent request, waiting already, is joined instead of enqueued again
    #[arg(long)]
    pub urgent: bool,
}

/// `_state` of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Published,
    Unpublished,
    Archived,
}

impl State {
    fn number(self) -> i8 {
        match self {
            Self::Published => 1,
            Self::Unpublished => 0,
            Self::Archived => -1,
        }
    }
}

impl std::str::FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "published" => Ok(Self::Published),
            "unpublished" => Ok(Self::Unpublished),
            "archived" => Ok(Self::Archived),
            _ => Err(format!("{text:?} is no state; there are published, unpublished and archived")),
        }
    }
}

/// Whether a kind of thing is wanted at all, or which of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Chosen {
    Whether(bool),
    These(Vec<String>),
}

impl Chosen {
    /// As typed: names with commas between them, or none.
    fn read(text: &str) -> Result<Self, std::convert::Infallible> {
        let names: Vec<String> = text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Ok(if names.is_empty() { Self::Whether(true) } else { Self::These(names) })
    }
}

impl Options {
    /// Settings under their documented names (`modifiedSince`; also `modified-since` and `modified_since`).
    pub fn read(settings: Map<String, Value>) -> Result<Self, String> {
        let settings: Map<String, Value> = settings.into_iter().map(|(key, value)| (camel_case(&key), value)).collect();
        let options: Self = serde_json::from_value(Value::Object(settings)).map_err(|error| error.to_string())?;
        if let Some(name) = options.unknown.keys().next() {
            return Err(format!("there is no option {name}"));
        }
        if options.how.batch_size.is_some_and(|rows| !(1..=100_000).contains(&rows)) {
            return Err("batchSize lies between 1 and 100000".into());
        }
        if options.how.window.is_some_and(|jobs| !(1..=256).contains(&jobs)) {
            return Err("window lies between 1 and 256".into());
        }
        Ok(options)
    }

    /// These, and where nothing is said what `other` says.
    pub fn or(self, other: Self) -> Self {
        Self { what: self.what.or(other.what), how: self.how.or(other.how), ..Self::default() }
    }

    /// Whether they say what is brought or deleted, and not only how.
    pub fn say_what(&self) -> bool {
        self.what != What::default() || self.how.mirror
    }

    /// What may be deleted, if anything.
    pub fn mirror(&self) -> Result<Option<Mirror>, Problem> {
        self.how.mirror()
    }

    /// What they choose.
    pub fn choice(&self) -> Result<Choice, Problem> {
        self.what.choice()
    }
}

impl How {
    fn or(self, other: Self) -> Self {
        Self {
            mirror: self.mirror || other.mirror,
            max_delete: self.max_delete.or(other.max_delete),
            allow_shrunk: self.allow_shrunk || other.allow_shrunk,
            mirrors_content_only: self.mirrors_content_only || other.mirrors_content_only,
            batch_size: self.batch_size.or(other.batch_size),
            window: self.window.or(other.window),
            pause_between_batches: self.pause_between_batches.or(other.pause_between_batches),
            max_rate: self.max_rate.or(other.max_rate),
            time_limit: self.time_limit.or(other.time_limit),
            urgent: self.urgent || other.urgent,
        }
    }

    pub fn pace(&self) -> Pace {
        Pace { pause: self.pause_between_batches, max_rate: self.max_rate, time_limit: self.time_limit }
    }

    fn mirror(&self) -> Result<Option<Mirror>, Problem> {
        let Self { max_delete, allow_shrunk, mirrors_content_only: content_only, .. } = *self;
        match (self.mirror, self.time_limit) {
            (true, None) => Ok(Some(Mirror { max_delete, allow_shrunk, content_only })),
            (true, Some(_)) => Err(Problem::usage(
                "a mirror deletes after everything was written, which a time limit may prevent: leave --time-limit out",
            )),
            (false, _) if max_delete.is_some() || allow_shrunk => {
                Err(Problem::usage("--max-delete and --allow-shrunk say what --mirror may do: nothing else deletes"))
            }
            (false, _) => Ok(None),
        }
    }
}

impl What {
    fn or(self, other: Self) -> Self {
        let scope_is_said = self.all || self.models.is_some() || self.resources.is_some();
        let scope = if scope_is_said { self.clone() } else { other.clone() };
        Self {
            all: scope.all,
            models: scope.models,
            resources: scope.resources,
            filter: self.filter.or(other.filter),
            state: self.state.or(other.state),
            modified_since: self.modified_since.or(other.modified_since),
            with_assets: self.with_assets || other.with_assets,
            pages: self.pages || other.pages,
            menus: self.menus || other.menus,
            settings: self.settings || other.settings,
            projects: self.projects.or(other.projects),
            // One of the two that is typed goes before the other that a preset has.
            missing_keys_only: self.missing_keys_only || (other.missing_keys_only && !self.replace_keys),
            replace_keys: self.replace_keys || (other.replace_keys && !self.missing_keys_only),
            folders: self.folders.or(other.folders),
            files: self.files.or(other.files),
            skip_large_files: self.skip_large_files || other.skip_large_files,
            max_file_size: self.max_file_size.or(other.max_file_size),
            locales: self.locales.or(other.locales),
        }
    }
}

/// What `[preset.NAME]` says.
pub fn preset(config: &Config, name: &str) -> Result<Options, Problem> {
    let wrong = |problem: String| Problem::usage(format!("[preset.{name}]: {problem}"));
    let options = Options::read(preset_settings(config, name)?).map_err(wrong)?;
    let what = &options.what;
    match (what.all && (what.models.is_some() || what.resources.is_some()), what.locales) {
        (true, _) => Err(wrong("all stands beside models or resources: give either".into())),
        (_, Some(_)) => Err(wrong("locales is for content jobs of a job file: name it in resources".into())),
        _ => Ok(options),
    }
}

/// The same as it is written, under the documented names (`modifiedSince`), and not checked.
pub fn preset_settings(config: &Config, name: &str) -> Result<Map<String, Value>, Problem> {
    let Some(settings) = config.presets.get(name) else {
        let known: Vec<&str> = config.presets.keys().map(String::as_str).collect();
        let there_are = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let file = config.file.display();
        return Err(Problem::usage(format!("there is no [preset.{name}] in {file}; there are: {there_are}")));
    };
    Ok(settings.iter().map(|(key, value)| (camel_case(key), value.clone())).collect())
}

/// `modified-since` and `modified_since` as `modifiedSince`.
pub(crate) fn camel_case(key: &str) -> String {
    let mut words = key.split(['-', '_']);
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}
