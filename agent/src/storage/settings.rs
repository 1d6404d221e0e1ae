//! What a storage is opened with, and why it may not be.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use config::SecretTables;
use protocol::mirror::MaxDelete;

use super::images::UndoLimits;
use crate::allowed::AllowedModels;

/// Where "now" comes from.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// What a storage is opened with.
#[derive(Clone)]
pub struct StorageSettings {
    /// The directory that holds `storage/data` (and usually `config/config.php`).
    pub root: PathBuf,
    /// Where Cockpit keeps what lies elsewhere than below the root.
    pub places: Places,
    /// The agent's own state; none = `cockpit-sync` in Cockpit's storage directory.
    pub state_dir: Option<PathBuf>,
    /// Takes no writes, whoever asks.
    pub read_only: bool,
    /// Which models may be read, and which written.
    pub models: AllowedModels,
    /// Whether a mirror may delete here.
    pub delete: bool,
    /// The most that one run may delete here: so many documents in all, or such a share of each collection.
    pub max_delete: Option<MaxDelete>,
    /// What is kept so that runs can be undone.
    pub undo: UndoLimits,
    /// `[[on]]`: what is done after a run that wrote here.
    pub on: SecretTables,
    pub now: Clock,
    /// A testing aid: one line of JSON per commit.
    pub commit_log: Option<PathBuf>,
}

/// What Cockpit's config can move, as whole paths. What is none lies where Cockpit has it by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// `paths.#storage`: the models are in `content` there.
    pub storage: Option<PathBuf>,
    /// `database.server`: the SQLite files.
    pub data: Option<PathBuf>,
    /// `paths.#uploads`, or `fileStorage.uploads`.
    pub uploads: Option<PathBuf>,
    /// `paths.#tmp`: thumbnails.
    pub tmp: Option<PathBuf>,
    /// `memory.server`: the file of Cockpit's own caches.
    pub memory: Option<PathBuf>,
}

impl StorageSettings {
    /// Serves all of `root`, with the clock of the system.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            places: Places::default(),
            state_dir: None,
            read_only: false,
            models: AllowedModels::default(),
            delete: true,
            max_delete: None,
            undo: UndoLimits::default(),
            on: SecretTables::default(),
            now: Arc::new(SystemTime::now),
            commit_log: None,
        }
    }
}

/// Why a storage cannot be served, in words for the person who starts the agent.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0} is not a Cockpit: there is no storage/data in it")]
    NotACockpit(PathBuf),
    #[error("{0} is given as a place of this Cockpit's storage, and there is no such directory")]
    NoSuchPlace(PathBuf),
    #[error("the storage of this Cockpit cannot be served like this: {0}")]
    UnsupportedStorage(String),
    #[error("another agent serves this storage: {0}")]
    Held(String),
    #[error("{0}")]
    NotOwner(String),
    #[error("{0} lies on a network file system ({1}), where SQLite must not be written")]
    NetworkFileSystem(PathBuf, String),
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    #[error("the agent's config: {0}")]
    Actions(#[from] notifying::EntryError),
    #[error("the agent's own state: {0}")]
    State(String),
}
