//! Whether this process can work on the storage at all: rights, index, room. Looks only; writes nothing.

use std::path::Path;

use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, User, access, geteuid};
use protocol::api::StorageHealth;

use super::Storage;

impl Storage {
    pub(super) fn health(&self) -> StorageHealth {
        let data = &self.layout.data;
        let (free_bytes, disk_bytes) = statvfs(data).map_or((0, 0), |disk| {
            let bytes = |blocks: u64| blocks.saturating_mul(disk.fragment_size());
            (bytes(disk.blocks_available()), bytes(disk.blocks()))
        });
        StorageHealth {
            user: user(),
            not_writable: self.not_writable(),
            index: self.state.directory().join(super::index::FILE).is_file(),
            free_bytes,
            disk_bytes,
        }
    }

    /// Directories, since SQLite and files that are replaced need those, and the databases themselves.
    fn not_writable(&self) -> Vec<String> {
        let directories = [&self.layout.data, &self.layout.uploads, &self.layout.tmp].map(|path| path.to_path_buf());
        let databases = ["content.sqlite", "app.sqlite", "assets.sqlite"].map(|name| self.database_path(name));
        let own = [self.layout.models(), self.state.directory().to_path_buf()];
        let all = directories.into_iter().chain(databases).chain(own);
        // What is not there is made when it is needed.
        let refused = all.filter(|path| path.exists() && !is_writable(path));
        refused.map(|path| path.display().to_string()).collect()
    }
}

fn is_writable(path: &Path) -> bool {
    let wanted = if path.is_dir() { AccessFlags::W_OK | AccessFlags::X_OK } else { AccessFlags::W_OK };
    access(path, wanted).is_ok()
}

fn user() -> String {
    let uid = geteuid();
    User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}
