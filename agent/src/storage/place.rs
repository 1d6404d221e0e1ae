//! Where Cockpit keeps what, below its root directory.

use std::path::{Path, PathBuf};

use protocol::collection::Collection;

/// The directories of one Cockpit.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub root: PathBuf,
}

impl Layout {
    pub fn storage(&self) -> PathBuf {
        self.root.join("storage")
    }

    pub fn data(&self) -> PathBuf {
        self.root.join("storage/data")
    }

    pub fn uploads(&self) -> PathBuf {
        self.root.join("storage/uploads")
    }

    pub fn models(&self) -> PathBuf {
        self.root.join("storage/content")
    }

    pub fn model_file(&self, name: &str) -> PathBuf {
        self.models().join(format!("{name}{MODEL_SUFFIX}"))
    }

    pub fn thumbnails(&self) -> PathBuf {
        self.root.join("storage/tmp/thumbs")
    }

    /// Written by Cockpit's own Sync add-on while it runs; never by us.
    pub fn sync_lock(&self) -> PathBuf {
        self.root.join("storage/tmp/sync.lock")
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
    let name = collection.name();
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
