//! Owner and mode of what the agent creates: as if Cockpit had created it.

use std::fs::{self, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

/// Creates an empty file owned like its directory, with the mode of its neighbours that end in `suffix`.
/// Not an error when it is there already.
pub(crate) fn create_file_like_neighbours(path: &Path, suffix: &str) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => adopt(path, suffix),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Gives a file of ours the owner of its directory and the mode of its neighbours that end in `suffix`.
pub(crate) fn adopt(path: &Path, suffix: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let parent = fs::metadata(directory)?;
    give(path, &parent)?;
    fs::set_permissions(path, Permissions::from_mode(mode_of_neighbours(path, directory, &parent, suffix)?))
}

/// Makes a directory and what is missing above it, each owned like the one it lies in and with its mode.
pub(crate) fn make_directories(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let Some(parent) = path.parent() else { return Ok(()) };
    make_directories(parent)?;
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(error),
    }
    let metadata = fs::metadata(parent)?;
    give(path, &metadata)?;
    fs::set_permissions(path, Permissions::from_mode(metadata.mode() & 0o7777))
}

/// Changes owner and group where they differ. Only root may change the owner; another user has the right one already.
pub(crate) fn give(path: &Path, like: &Metadata) -> io::Result<()> {
    let current = fs::metadata(path)?;
    let user = (current.uid() != like.uid() && nix::unistd::geteuid().is_root()).then_some(like.uid());
    let group = (current.gid() != like.gid()).then_some(like.gid());
    if user.is_none() && group.is_none() {
        return Ok(());
    }
    match chown(path, user, group) {
        // A user may only give files to groups it is in. The mode then says who may read.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && user.is_none() => Ok(()),
        other => other,
    }
}

fn mode_of_neighbours(path: &Path, directory: &Path, parent: &Metadata, suffix: &str) -> io::Result<u32> {
    for entry in fs::read_dir(directory)?.take(1000) {
        let entry = entry?;
        let is_neighbour = entry.path() != path && entry.file_name().to_string_lossy().ends_with(suffix);
        if is_neighbour
            && let Ok(metadata) = entry.metadata()
            && metadata.is_file()
        {
            return Ok(metadata.mode() & 0o666);
        }
    }
    // The directory's own mode without the right to enter it: 0755 gives 0644, 2775 gives 0664.
    Ok(parent.mode() & 0o666)
}
