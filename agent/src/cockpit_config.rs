//! What an instance's `config/config.php` decides about its storage, read without running it.
//!
//! Owns: which settings select a storage that is not served here, and where the sync key stands. A config may hold any PHP:
//! what is computed is stepped over where it does not matter and refused, by name and line, where it does.
//! It must not know what the agent does with a refusal.

mod dotenv;
mod expression;
mod judgement;
mod lookup;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use dotenv::Variables;
use expression::Scope;
use judgement::Judgement;

use crate::storage::Places;

const CONFIG: &str = "config/config.php";
const BOOTSTRAP: &str = "config/bootstrap.php";
/// The event by which code replaces the file storage.
const STORAGE_EVENT: &str = "app.filestorage.init";

/// What of an instance's configuration concerns a sync. The default is what holds without a `config.php`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CockpitConfig {
    /// `sync.syncKey`: secret.
    pub sync_key: Option<String>,
    /// `debug`, where it is set: Cockpit then reads model files at every request.
    pub debug: Option<bool>,
    /// Models are rows of `content/models`, not files (`content.models.storage`).
    pub models_in_database: bool,
    /// Each says what cannot be served and where that is set. With any of them nothing may be written.
    pub refusals: Vec<String>,
    /// What an operator should know and can live with.
    pub notes: Vec<String>,
}

impl CockpitConfig {
    /// Reads the configuration of the instance at `root`, whose operator says that it keeps what in these `places`.
    /// `environment` is asked for variables that no `.env` file sets.
    pub fn read(root: &Path, places: &Places, environment: &dyn Fn(&str) -> Option<String>) -> io::Result<Self> {
        let root = root
            .canonicalize()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", root.display())))?;
        let app = app_directory(&root);
        let mut variables = Variables::new(environment);
        variables.load(&app.join(".env"))?;
        if app != root {
            variables.load(&root.join(".env"))?;
        }
        let mut config = Self::default();
        if let Some(source) = read_if_there(&root.join(CONFIG))? {
            // PHP's __DIR__ is where the file really is.
            let file = root.join(CONFIG).canonicalize()?;
            let config_directory = file.parent().unwrap_or(&root).to_owned();
            let scope = Scope { config_directory, app_directory: app, variables: &variables };
            match expression::returned_entries(&source, &scope) {
                Ok(entries) => Judgement { root: &root, places, config: &mut config }.judge(&entries),
                Err(problem) => config
                    .refusals
                    .push(format!("{CONFIG} {problem}: cockpit-sync cannot tell which storage it selects")),
            }
        }
        if let Some(source) = read_if_there(&root.join(BOOTSTRAP))?
            && String::from_utf8_lossy(&source).contains(STORAGE_EVENT)
        {
            config.refusals.push(format!(
                "{BOOTSTRAP} changes where files are stored ({STORAGE_EVENT}): cockpit-sync serves local files only"
            ));
        }
        Ok(config)
    }
}

impl fmt::Debug for CockpitConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CockpitConfig")
            .field("sync_key", &self.sync_key.as_ref().map(|_| "***"))
            .field("debug", &self.debug)
            .field("models_in_database", &self.models_in_database)
            .field("refusals", &self.refusals)
            .field("notes", &self.notes)
            .finish()
    }
}

/// The directory of Cockpit's code: the instance itself, or what its space belongs to.
fn app_directory(root: &Path) -> PathBuf {
    let spaces = root.parent().filter(|parent| parent.ends_with(".spaces"));
    spaces.and_then(Path::parent).unwrap_or(root).to_owned()
}

fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
}
