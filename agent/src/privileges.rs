//! An agent that was started as root becomes the user that owns the storage: a file created as root would be one that
//! Cockpit cannot write.

use std::ffi::CString;
use std::os::unix::fs::MetadataExt;

use nix::unistd::{Gid, Uid, User, geteuid, initgroups, setgid, setuid};

use crate::settings::AgentSettings;
use crate::storage::Layout;

/// Takes on the owner of Cockpit's `storage/data`, for good. Does nothing when not root, when root owns it, or when
/// there is no such directory (which opening the storage says in better words).
pub fn become_owner(settings: &AgentSettings) -> std::io::Result<()> {
    let layout = Layout::new(&settings.root, &settings.places);
    let Ok(data) = std::fs::metadata(layout.data) else { return Ok(()) };
    let (user, group) = (Uid::from_raw(data.uid()), Gid::from_raw(data.gid()));
    if !geteuid().is_root() || user.is_root() {
        return Ok(());
    }
    // A user that only the files know (a container's, say) has no other groups.
    if let Some(name) = User::from_uid(user)?.and_then(|known| CString::new(known.name).ok()) {
        initgroups(&name, group)?;
    }
    setgid(group)?;
    setuid(user)?;
    tracing::info!(
        user = user.as_raw(),
        group = group.as_raw(),
        "started as root, goes on as the owner of the storage"
    );
    Ok(())
}
