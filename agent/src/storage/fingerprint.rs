//! Whether a SQLite file is still exactly what it was, told without opening it.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::place::FileId;

/// Two changes within one tick of a file system's clock look the same: what is younger than this proves nothing.
const COARSEST_CLOCK: Duration = Duration::from_secs(2);

/// What is compared. Text, because it is only ever stored and compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub text: String,
    newest_change: SystemTime,
}

impl Fingerprint {
    /// Of a SQLite file and its -wal. A -wal of no length is the same as none. None when there is no file.
    pub fn of_database(path: &Path) -> io::Result<Option<Self>> {
        let Some(main) = metadata(path)? else { return Ok(None) };
        let wal = metadata(&wal_of(path))?.filter(|wal| wal.len() > 0);
        let mut text = part(&main);
        let mut newest_change = main.modified()?;
        if let Some(wal) = wal {
            text = format!("{text} {}", part(&wal));
            newest_change = newest_change.max(wal.modified()?);
        }
        Ok(Some(Self { text, newest_change }))
    }

    /// Of any one file.
    pub fn of_file(metadata: &Metadata) -> io::Result<Self> {
        Ok(Self { text: part(metadata), newest_change: metadata.modified()? })
    }

    /// Whether any later change would show: the newest one is old enough, and not from the future.
    pub fn is_settled(&self) -> bool {
        SystemTime::now().duration_since(self.newest_change).is_ok_and(|age| age > COARSEST_CLOCK)
    }
}

pub(crate) fn wal_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn part(metadata: &Metadata) -> String {
    let id = FileId::of(metadata);
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    // The time of the inode's last change cannot be set back by a program, the other one can.
    format!(
        "{}:{}:{}:{}:{}.{}",
        id.device,
        id.inode,
        metadata.len(),
        modified.as_nanos(),
        metadata.ctime(),
        metadata.ctime_nsec()
    )
}

fn metadata(path: &Path) -> io::Result<Option<Metadata>> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
