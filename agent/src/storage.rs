//! One Cockpit storage: reads and writes its documents and files for signed requests.
//!
//! Owns everything that touches Cockpit's files. It must not know HTTP, keys or Redis. All of it blocks: call it from
//! threads that may.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use protocol::api::{
    AgentError, CloseGrant, Diff, DiffRequest, Documents, DocumentsRequest, ErrorCode, Extent, ExtentRequest,
    FileBytes, FileStats, Files, FilesRequest, GrantClosed, GrantOpened, ListRequest, Listing, Manifest,
    ManifestRequest, Nothing, OpenGrant, PlaceFilesRequest, ReadFileRequest, RenewGrant, StatFilesRequest, Summary,
    SummaryRequest, UploadRequest, Uploaded, WriteRequest, Written,
};

/// Where "now" comes from.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// What a storage is opened with.
#[derive(Clone)]
pub struct StorageSettings {
    /// The directory that holds `storage/data` (and usually `config/config.php`).
    pub root: PathBuf,
    /// The agent's own state; none = `ROOT/storage/cockpit-sync`.
    pub state_dir: Option<PathBuf>,
    /// Takes no writes, whoever asks.
    pub read_only: bool,
    /// Only these models may be read and written; all when none.
    pub models: Option<Vec<String>>,
    pub now: Clock,
    /// A testing aid: one line of JSON per commit.
    pub commit_log: Option<PathBuf>,
}

impl StorageSettings {
    /// Serves all of `root`, with the clock of the system.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            state_dir: None,
            read_only: false,
            models: None,
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
    #[error("this Cockpit keeps its data where the agent cannot serve it: {0}")]
    UnsupportedStorage(String),
    #[error("another agent serves this storage: {0}")]
    Held(String),
    #[error("{0}")]
    NotOwner(String),
    #[error("{0} lies on a network file system ({1}), where SQLite must not be written")]
    NetworkFileSystem(PathBuf, String),
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    #[error("the agent's own state: {0}")]
    State(String),
}

/// An open storage. Many threads may call it at once.
pub struct Storage {
    instance: String,
}

fn not_built<T>() -> Result<T, AgentError> {
    Err(AgentError::new(ErrorCode::Internal, "this request is not implemented yet"))
}

impl Storage {
    pub fn open(settings: StorageSettings) -> Result<Self, StartError> {
        Err(StartError::State(format!("{}: opening is not implemented yet", settings.root.display())))
    }

    /// The random id of this instance.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// `sync.syncKey` of Cockpit's own config.php.
    pub fn config_key(&self) -> Option<String> {
        None
    }

    /// Cockpit's version, for `check`.
    pub fn version_for_check(&self) -> Option<String> {
        None
    }

    /// To be called about every second.
    pub fn idle(&self) {}

    /// Gives everything back. No call may follow.
    pub fn close(&self) {}

    pub fn manifest(&self, _: &ManifestRequest) -> Result<Manifest, AgentError> {
        not_built()
    }
    pub fn extent(&self, _: &ExtentRequest) -> Result<Extent, AgentError> {
        not_built()
    }
    pub fn summary(&self, _: &SummaryRequest) -> Result<Summary, AgentError> {
        not_built()
    }
    pub fn list(&self, _: &ListRequest) -> Result<Listing, AgentError> {
        not_built()
    }
    pub fn documents(&self, _: &DocumentsRequest) -> Result<Documents, AgentError> {
        not_built()
    }
    pub fn diff(&self, _: &DiffRequest) -> Result<Diff, AgentError> {
        not_built()
    }
    pub fn files(&self, _: &FilesRequest) -> Result<Files, AgentError> {
        not_built()
    }
    pub fn read_file(&self, _: &ReadFileRequest) -> Result<FileBytes, AgentError> {
        not_built()
    }
    pub fn stat_files(&self, _: &StatFilesRequest) -> Result<FileStats, AgentError> {
        not_built()
    }
    pub fn upload(&self, _: &UploadRequest) -> Result<Uploaded, AgentError> {
        not_built()
    }
    pub fn place_files(&self, _: &PlaceFilesRequest) -> Result<Nothing, AgentError> {
        not_built()
    }
    pub fn write(&self, _: &WriteRequest) -> Result<Written, AgentError> {
        not_built()
    }
    pub fn open_grant(&self, _: &OpenGrant) -> Result<GrantOpened, AgentError> {
        not_built()
    }
    pub fn renew_grant(&self, _: &RenewGrant) -> Result<Nothing, AgentError> {
        not_built()
    }
    pub fn close_grant(&self, _: &CloseGrant) -> Result<GrantClosed, AgentError> {
        not_built()
    }
}
