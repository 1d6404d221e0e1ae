//! The storage of a real Cockpit, where its archive is at hand: named by `COCKPIT_FIXTURE`, or beside the project in
//! `shared/fixtures`. Without it these tests say so and pass.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Rig, documents_in};

/// Where the instance in the archive was unpacked to.
fn unpack(to: &Path) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures/cockpit-small.tar.gz");
    let archive = std::env::var_os("COCKPIT_FIXTURE").map_or(beside, PathBuf::from);
    if !archive.exists() {
        eprintln!("skipped: there is no {}", archive.display());
        return None;
    }
    std::fs::create_dir(to).unwrap();
    let status = Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(to).status().unwrap();
    assert!(status.success());
    let mut folders = vec![to.to_owned()];
    while let Some(folder) = folders.pop() {
        if folder.join("storage/data").is_dir() {
            return Some(folder);
        }
        let below = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        folders.extend(below.filter(|path| path.is_dir()));
    }
    panic!("there is no storage/data in {}", archive.display());
}

#[test]
fn a_real_cockpit_is_pushed_as_it_is_and_a_second_push_writes_nothing() {
    let mut rig = Rig::without_instances();
    let Some(root) = unpack(&rig.folder.path().join("archive")) else { return };
    std::fs::rename(root, rig.source()).unwrap();
    rig.start_agent("source");
    rig.add_empty("target");
    rig.start_worker();
    let push = rig.push();
    assert!([0, 3].contains(&push.code), "{push:#?}");
    let held = rig.run(&["show", "last", "--held"]).json()["notes"].clone();
    assert_eq!(push.count("held"), 0, "{held:#}");
    assert_eq!(push.count("created"), documents_in(&rig.source()));
    rig.assert_equal();

    let commits = rig.commits("target");
    let again = rig.push().expect_code(0);
    assert_eq!((again.count("created"), again.count("updated")), (0, 0));
    assert_eq!(rig.commits("target"), commits);
}
