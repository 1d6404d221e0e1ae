//! Files belong to the user that Cockpit runs as, whoever starts the agent.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::support::{Rig, small, wait_until};

/// www-data or nobody: any user that is not root does.
const OWNER: u32 = 33;

fn give(path: &Path, owner: u32) {
    std::os::unix::fs::chown(path, Some(owner), Some(owner)).unwrap();
    if path.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path(), owner));
    }
}

/// The target belongs to another user than root, and so does its agent.
pub fn give_target_away(rig: &mut Rig) {
    rig.agent("target").kill();
    // The rig's folder is for root alone, but the agent and its commit log are not root's any more.
    let folder = rig.target().parent().unwrap().to_path_buf();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    std::fs::remove_file(folder.join("target.commits")).ok();
    give(&rig.target(), OWNER);
    rig.start_agent("target");
}

fn strangers_below(path: &Path, owner: u32) -> Vec<String> {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    let mut found = Vec::new();
    if metadata.uid() != owner {
        found.push(path.display().to_string());
    }
    if metadata.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| found.extend(strangers_below(&entry.unwrap().path(), owner)));
    }
    found
}

#[test]
fn an_agent_started_as_root_goes_on_as_the_owner_of_the_storage_and_so_do_its_files() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: this test changes owners, so it needs root");
        return;
    }
    let mut rig = Rig::new(&small());
    give_target_away(&mut rig);
    let status = format!("/proc/{}/status", rig.agent("target").pid());
    wait_until("the agent is the owner", || {
        std::fs::read_to_string(&status).unwrap().contains(&format!("Uid:\t{OWNER}\t{OWNER}\t{OWNER}"))
    });
    rig.start_worker();
    rig.push().expect_code(0);
    rig.assert_equal();
    assert_eq!(strangers_below(&rig.target(), OWNER), Vec::<String>::new());
}
