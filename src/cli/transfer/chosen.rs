//! The options of push and pull that say what is brought and how fast: as in presets and job files.

use std::time::{Duration, SystemTime};

use producer::Resource;
use producer::options::{Chosen, Options, State, values};
use protocol::filter::Filter;
use protocol::mirror::MaxDelete;
use protocol::pace::Rate;

#[derive(Debug, clap::Args)]
pub struct ChosenOptions {
    /// Everything: what is meant where nothing else is said
    #[arg(long, conflicts_with_all = ["models", "resources"])]
    all: bool,
    /// Only these models, with their definitions and items (and locales, but no assets unless --resources has them)
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    models: Option<Vec<String>>,
    /// Only these resources: locales, models, assets, content, pages, lokalize, layout, those of the config [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    resources: Option<Vec<Resource>>,
    /// Also the assets that the chosen documents embed, with their folders
    #[arg(long)]
    with_assets: bool,
    /// Of pages only the pages themselves (with --menus and --settings: these too)
    #[arg(long)]
    pages: bool,
    /// Of pages only the menus
    #[arg(long)]
    menus: bool,
    /// Of pages only the settings
    #[arg(long)]
    settings: bool,
    /// Of lokalize only these projects, by name, key or id
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    projects: Option<Vec<String>>,
    /// Of lokalize only keys that the target lacks, at every level; what it has stays
    #[arg(long, conflicts_with = "override")]
    missing_keys_only: bool,
    /// Of lokalize whole projects, whatever the config says
    #[arg(long = "override", id = "override")]
    replace_keys: bool,
    /// Only items and singletons that match, as in MongoDB: '{"_state": 1, "rating": {"$gte": 3}}'. Operators: $eq $ne $gt $gte
    /// $lt $lte $in $nin $exists $regex $and $or $nor $not
    #[arg(long, value_name = "JSON")]
    filter: Option<Filter>,
    /// Only items and singletons in these states: published, unpublished, archived
    #[arg(long, value_delimiter = ',', value_name = "STATE,...")]
    state: Option<Vec<State>>,
    /// Only what was changed at the source since then: "7 days ago", 2026-11-22, 2026-11-22T10:00:00Z, Unix seconds
    #[arg(long, value_name = "TIME", value_parser = since)]
    modified_since: Option<i64>,
    /// Of assets only the folders; with names, paths or ids: these folders and what is in them
    #[arg(long, value_delimiter = ',', value_name = "FOLDER,...", num_args = 0..=1)]
    folders: Option<Vec<String>>,
    /// Of assets only the files, without folders; with ids, paths or titles: only these files
    #[arg(long, value_delimiter = ',', value_name = "FILE,...", num_args = 0..=1)]
    files: Option<Vec<String>>,
    /// Leave out assets whose file is larger than --max-file-size, or 10 MiB
    #[arg(long)]
    skip_large_files: bool,
    /// Leave out assets whose file is larger: 10MiB
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    max_file_size: Option<u64>,
    /// Also delete on the target what the source does not have, of what is synced (never models, locales or anything of add-ons). Nothing at all is
    /// written if that is more than may be deleted
    #[arg(long)]
    mirror: bool,
    /// The most that a mirror may delete of each model: 50 (documents), 10% [default: 20% or 100, whichever is more]
    #[arg(long, value_name = "MOST")]
    max_delete: Option<MaxDelete>,
    /// Mirror although the source is empty, or has lost most of its documents since the last sync
    #[arg(long)]
    allow_shrunk: bool,
    /// Rows per batch job [default: 2000]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch_size: Option<u32>,
    /// The most jobs in workers' hands at a time; fewer while the target refuses some (429, 503) or is slow [default: 16]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    window: Option<u16>,
    /// Rest so long after each batch, with one batch at a time: 500ms, 2s
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pause_between_batches: Option<Duration>,
    /// Write no faster to the target, all workers together: 100/s (items), 5MiB/s
    #[arg(long, value_name = "RATE", value_parser = values::rate)]
    max_rate: Option<Rate>,
    /// Begin no batch any more after so long: 30m, "1h 30m". What is left is brought by the next push
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    time_limit: Option<Duration>,
    /// Go before other syncs to the target: one that is running makes room within 10 seconds and goes on afterwards. For
    /// what is small; the same urgent request, waiting already, is joined instead of enqueued again
    #[arg(long)]
    urgent: bool,
}

fn since(text: &str) -> Result<i64, String> {
    values::point_in_time(text, SystemTime::now())
}

impl ChosenOptions {
    pub fn options(&self) -> Options {
        Options {
            all: self.all,
            models: self.models.clone(),
            resources: self.resources.clone(),
            filter: self.filter.clone(),
            state: self.state.clone(),
            modified_since: self.modified_since,
            with_assets: self.with_assets,
            pages: self.pages,
            menus: self.menus,
            settings: self.settings,
            projects: self.projects.clone(),
            missing_keys_only: self.missing_keys_only,
            replace_keys: self.replace_keys,
            folders: self.folders.as_deref().map(whether_or_these),
            files: self.files.as_deref().map(whether_or_these),
            skip_large_files: self.skip_large_files,
            max_file_size: self.max_file_size,
            mirror: self.mirror,
            max_delete: self.max_delete,
            allow_shrunk: self.allow_shrunk,
            mirrors_content_only: false,
            batch_size: self.batch_size,
            window: self.window,
            pause_between_batches: self.pause_between_batches,
            max_rate: self.max_rate,
            time_limit: self.time_limit,
            urgent: self.urgent,
            locales: None,
        }
    }
}

fn whether_or_these(names: &[String]) -> Chosen {
    if names.is_empty() { Chosen::Whether(true) } else { Chosen::These(names.to_vec()) }
}
