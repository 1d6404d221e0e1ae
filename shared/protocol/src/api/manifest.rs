//! What an instance has: asked once, before a run is made.

use serde::{Deserialize, Serialize};

use super::{Call, GrantInfo};
use crate::canonical::DocHash;

/// Asks what the instance has. The only signed request that may be addressed to "any" instance.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ManifestRequest {}

impl Call for ManifestRequest {
    const PATH: &'static str = "manifest";
    type Answer = Manifest;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// [`crate::PROTOCOL_VERSION`] of the agent.
    pub protocol: u32,
    pub agent_version: String,
    /// From Cockpit's composer.json or package.json; none when the root holds storage alone.
    pub cockpit_version: Option<String>,
    /// The random id of this instance: the audience of every other request.
    pub instance: String,
    /// The agent's clock, milliseconds since 1970.
    pub time_ms: i64,
    pub capabilities: Vec<String>,
    /// The agent takes no writes, whoever asks.
    pub read_only: bool,
    /// Sorted by name.
    pub models: Vec<ModelInfo>,
    /// Codes as in Cockpit (`default` only where a row renames it).
    pub locales: Vec<String>,
    /// Rows, counted from row ids: an upper bound that costs nothing.
    pub singletons: u64,
    pub assets: u64,
    pub folders: u64,
    /// Tables of add-ons, in the order of their names.
    #[serde(default)]
    pub tables: Vec<TableInfo>,
    /// Who may write at this moment.
    pub grant: Option<GrantInfo>,
    /// Cockpit's own `storage/tmp/sync.lock` exists.
    pub sync_lock: Option<SyncLock>,
    /// What is kept so that runs can be undone. None: an agent that keeps nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<UndoRoom>,
    /// How the storage fares. None: an agent that does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageHealth>,
    /// Things a person should know and that stop nothing (a model file that cannot be read, say).
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ModelInfo {
    pub name: String,
    pub kind: ModelKind,
    /// Hash of the definition.
    pub hash: DocHash,
    /// Upper bound of the number of items; 1 for a singleton.
    pub items: u64,
}

/// A table that is none of Cockpit's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableInfo {
    /// The logical name of its collection: "pages/menus".
    pub name: String,
    /// Upper bound of the number of its documents.
    pub rows: u64,
    /// Its documents have `key` and `val`, as Cockpit's own key/value helper writes them: that key is what they are
    /// recognised by.
    pub keyed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    Collection,
    Singleton,
    Tree,
}

/// How much of what a run overwrites is kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoRoom {
    /// 0: undo is turned off.
    pub bytes: u64,
    pub days: u64,
    /// What the files of documents take here: a run overwrites no more than that, besides files of assets.
    pub documents: u64,
}

/// Whether the agent's user can work on the storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageHealth {
    /// The user the agent runs as, by name where it has one.
    pub user: String,
    /// What that user may not write to, though runs would have to.
    pub not_writable: Vec<String>,
    /// The agent remembers what it has read and hashed. Without it the next run reads everything once.
    pub index: bool,
    /// Free for this user on the disk of the databases, and the size of that disk.
    pub free_bytes: u64,
    pub disk_bytes: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SyncLock {
    pub path: String,
    pub age_seconds: u64,
}
