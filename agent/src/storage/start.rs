//! Opening a storage: what must hold before anything is served.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use nix::sys::statfs::{FsType, statfs};
use notifying::Entry;
use protocol::event;

use super::Storage;
use super::agreed::Agreed;
use super::asset_rows::AssetRows;
use super::commit_log::CommitLog;
use super::images::Images;
use super::index::Index;
use super::memory_cache::ModelCache;
use super::model_store::ModelStore;
use super::place::Layout;
use super::settings::{StartError, StorageSettings};
use super::uploads::Uploads;
use crate::actions::Actions;
use crate::audit::{AuditLog, Kept};
use crate::cockpit_config::CockpitConfig;
use crate::grant::Grants;
use crate::keys::KeyRing;
use crate::records::Records;
use crate::state::State;

/// File systems on which SQLite's locks and shared memory do not hold.
const NETWORK_FILE_SYSTEMS: [(i64, &str); 5] =
    [(0x6969, "NFS"), (0x517B, "SMB"), (0xFF53_4D42, "CIFS"), (0xFE53_4D42, "SMB2"), (0x0102_1997, "9P")];

impl Storage {
    pub fn open(settings: StorageSettings) -> Result<Self, StartError> {
        let layout = Layout::new(&settings.root, &settings.places);
        if !settings.root.is_dir() {
            return Err(StartError::NotACockpit(settings.root));
        }
        let config = CockpitConfig::read(&settings.root, &settings.places, &|name| std::env::var(name).ok())
            .map_err(|error| StartError::File(settings.root.clone(), error))?;
        if !config.refusals.is_empty() {
            return Err(StartError::UnsupportedStorage(config.refusals.join("; ")));
        }
        for (given, place) in [(&settings.places.data, &layout.data), (&settings.places.storage, &layout.storage)] {
            if place.is_dir() {
                continue;
            }
            return Err(match given {
                Some(place) => StartError::NoSuchPlace(place.clone()),
                None => StartError::NotACockpit(settings.root),
            });
        }
        refuse_strangers(&layout.data)?;
        if !settings.read_only {
            refuse_network(&layout.data)?;
        }
        let directory = settings.state_dir.clone().unwrap_or_else(|| layout.storage.join("cockpit-sync"));
        let state = Arc::new(State::open(&directory, &layout.storage)?);
        let index = Index::open(&directory).map_err(|error| StartError::State(error.message))?;
        let commit_log =
            settings.commit_log.as_deref().map(|path| Arc::new(CommitLog::new(path, settings.now.clone())));
        let grants = Grants::load(state.clone(), settings.now.clone(), commit_log.clone())
            .map_err(|error| StartError::State(error.to_string()))?;
        if state.is_clone {
            tracing::warn!(
                instance = state.instance(),
                "this storage is a copy of another one: it got an id of its own"
            );
        }
        let state_is_clone = state.is_clone;
        let audit = AuditLog::open(state.clone(), settings.now.clone(), Kept::default());
        let audit = Arc::new(audit.map_err(|error| StartError::State(error.message))?);
        let entries = Entry::read_all(&settings.on.0, &[event::RUN_CLOSED], &settings.root)?;
        let actions = Arc::new(Actions::new(state.clone(), entries));
        let records = Arc::new(Records::new(state.clone(), audit.clone()));
        let storage = Self {
            cockpit_version: cockpit_version(&settings.root),
            commit_log,
            uploads: Uploads::new(&directory),
            layout,
            config,
            state,
            grants,
            audit,
            keys: Arc::new(KeyRing::open(&directory, settings.now.clone())),
            actions,
            images: Images::new(directory.join("undo"), settings.undo, records.clone()),
            records,
            agreed: Agreed::open(&directory, state_is_clone).map_err(|error| StartError::State(error.message))?,
            index,
            databases: Mutex::new(HashMap::new()),
            tables: Mutex::new(HashMap::new()),
            asset_rows: AssetRows::default(),
            models: ModelStore::default(),
            model_cache: ModelCache::default(),
            swept: Mutex::default(),
            rows_looked_at: AtomicU64::new(0),
            settings,
        };
        storage.give_state_to_owner();
        storage.finish_records(None);
        Ok(storage)
    }

    /// As root we leave files behind that the owner of the storage must be able to open.
    fn give_state_to_owner(&self) {
        let Ok(owner) = fs::metadata(&self.layout.storage) else { return };
        let Ok(entries) = fs::read_dir(self.state.directory()) else { return };
        for entry in entries.flatten() {
            if let Err(error) = super::owner::give(&entry.path(), &owner) {
                tracing::warn!(file = %entry.path().display(), error = %error, "not given to the storage's owner");
            }
        }
    }
}

/// What another user creates, Cockpit cannot write: the whole site would answer 500. And SQLite reads a file in WAL
/// mode only where it may write beside it, so that not even reading works as anybody else.
fn refuse_strangers(data: &Path) -> Result<(), StartError> {
    let metadata = fs::metadata(data).map_err(|error| StartError::File(data.into(), error))?;
    let user = nix::unistd::geteuid();
    if user.is_root() || user.as_raw() == metadata.uid() {
        return Ok(());
    }
    Err(StartError::NotOwner(format!(
        "{} belongs to user {}, this process runs as user {}: run the agent as its owner ({}), also where it only reads",
        data.display(),
        metadata.uid(),
        user,
        owner_name(metadata.uid())
    )))
}

fn owner_name(user: u32) -> String {
    match nix::unistd::User::from_uid(user.into()) {
        Ok(Some(known)) => format!("sudo -u {}", known.name),
        // A user that only the files know, a container's say.
        _ => format!("user {user}"),
    }
}

fn refuse_network(data: &Path) -> Result<(), StartError> {
    let stat = statfs(data).map_err(|errno| StartError::File(data.into(), errno.into()))?;
    match network_file_system(stat.filesystem_type()) {
        Some(name) => Err(StartError::NetworkFileSystem(data.into(), name.into())),
        None => Ok(()),
    }
}

fn network_file_system(kind: FsType) -> Option<&'static str> {
    #[expect(clippy::useless_conversion, reason = "the width of the type differs between platforms")]
    let magic = i64::from(kind.0);
    NETWORK_FILE_SYSTEMS.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name)
}

/// Cockpit names its version in bootstrap.php. A space is served by the code two directories above it.
fn cockpit_version(root: &Path) -> Option<String> {
    let root = root.canonicalize().ok()?;
    let above = root.ancestors().nth(2).filter(|_| root.parent().is_some_and(|parent| parent.ends_with(".spaces")));
    [Some(root.as_path()), above].into_iter().flatten().find_map(|directory| {
        let source = fs::read_to_string(directory.join("bootstrap.php")).ok()?;
        let (_, after) = source.split_once("const APP_VERSION")?;
        let after = after.trim_start().strip_prefix('=')?.trim_start();
        let quote = after.chars().next().filter(|character| matches!(character, '\'' | '"'))?;
        let (version, _) = after[1..].split_once(quote)?;
        (version.len() <= 64).then(|| version.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use nix::sys::statfs::{EXT4_SUPER_MAGIC, NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, TMPFS_MAGIC};

    use super::*;

    #[test]
    fn file_systems_of_a_network_are_told_from_those_of_this_machine() {
        for (kind, name) in [(NFS_SUPER_MAGIC, "NFS"), (SMB_SUPER_MAGIC, "SMB")] {
            assert_eq!(network_file_system(kind), Some(name));
        }
        for kind in [EXT4_SUPER_MAGIC, TMPFS_MAGIC] {
            assert_eq!(network_file_system(kind), None);
        }
        // As every test that starts an agent relies on.
        assert!(refuse_network(&std::env::temp_dir()).is_ok());
    }
}
