//! Where Cockpit keeps what: below its root directory, or where its config says.

use std::path::{Path, PathBuf};

use protocol::collection::Collection;

use super::settings::Places;

/// The directories of one Cockpit.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub storage: PathBuf,
    pub data: PathBuf,
    pub uploads: PathBuf,
    pub tmp: PathBuf,
    /// The file of [`MEMORY_FILE`].
    pub memory: PathBuf,
}

impl Layout {
    /// Each is by default below the root, whatever else was moved: so it is in Cockpit.
    pub fn new(root: &Path, places: &Places) -> Self {
        let place = |moved: &Option<PathBuf>, default: &str| moved.clone().unwrap_or_else(|| root.join(default));
        Self {
            storage: place(&places.storage, "storage"),
            data: place(&places.data, "storage/data"),
            uploads: place(&places.uploads, "storage/uploads"),
            tmp: place(&places.tmp, "storage/tmp"),
            memory: place(&places.memory, "storage/data/app.memory.sqlite"),
        }
    }

    /// One of Cockpit's SQLite files.
    pub fn database(&self, name: &str) -> PathBuf {
        if name == MEMORY_FILE { self.memory.clone() } else { self.data.join(name) }
    }

    pub fn models(&self) -> PathBuf {
        self.storage.join("content")
    }

    pub fn model_file(&self, name: &str) -> PathBuf {
        self.models().join(format!("{name}{MODEL_SUFFIX}"))
    }

    pub fn thumbnails(&self) -> PathBuf {
        self.tmp.join("thumbs")
    }

    /// Written by Cockpit's own Sync add-on while it runs; never by us.
    pub fn sync_lock(&self) -> PathBuf {
        self.tmp.join("sync.lock")
    }
}

pub(crate) const MODEL_SUFFIX: &str = ".model.php";
/// Cockpit's key/value store, where it caches models and locales.
pub(crate) const MEMORY_FILE: &str = "app.memory.sqlite";

/// The SQLite file and the table of a collection. None for the models, which are files of their own.
///
/// The first slash of a logical name parts the file from the table; without a slash the file is app.sqlite.
pub(crate) fn table_of(collection: &Collection) -> Option<(String, String)> {
    if *collection == Collection::Models {
        return None;
    }
    let name = match collection {
        Collection::Custom(custom) => custom.name().to_owned(),
        cockpits => cockpits.name(),
    };
    Some(match name.split_once('/') {
        Some((file, table)) => (format!("{file}.sqlite"), table.replace('/', "_")),
        None => ("app.sqlite".into(), name),
    })
}

/// Device and inode: which file this is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    pub device: u64,
    pub inode: u64,
}

impl FileId {
    pub fn of(metadata: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// None when there is no such file.
    pub fn at(path: &Path) -> std::io::Result<Option<Self>> {
        match std::fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self::of(&metadata))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
