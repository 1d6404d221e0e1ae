//! The target's disk: full, or its database exchanged under the agent.

use std::path::{Path, PathBuf};
use std::process::Command;

use instances::{change, data_file, edit_item, read_item};
use serde_json::json;

use crate::support::{Rig, documents_in, let_the_second_pass, small, wait_for, wait_until};

/// A small file system of its own; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where this process may not mount.
    fn at(place: &Path, kibibytes: u32) -> Option<Self> {
        std::fs::create_dir_all(place).unwrap();
        let options = format!("size={kibibytes}k,mode=755");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(place);
        mount.output().is_ok_and(|output| output.status.success()).then(|| Self(place.into()))
    }

    fn resize(&self, kibibytes: u32) {
        let options = format!("remount,size={kibibytes}k");
        let mounted = Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap();
        assert!(mounted.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the agent may still have files open.
        let _unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_named_and_once_there_is_room_the_run_goes_on() {
    let mut rig = Rig::without_instances();
    instances::make(&rig.source(), &small()).unwrap();
    let Some(disk) = SmallDisk::at(&rig.target(), 2048) else {
        eprintln!("skipped: a_full_disk_is_named_and_once_there_is_room_the_run_goes_on: this process may not mount");
        return;
    };
    rig.start_agent("source");
    rig.add_empty("target");
    rig.start_worker();
    let documents = documents_in(&rig.source());
    // All that is left but a little.
    let filler = rig.target().join("filler");
    std::fs::write(&filler, vec![0; 1_000_000]).unwrap();
    let push = rig.spawn_push();
    let run = crate::support::wait_for("the run is there", || rig.redis.live_runs().pop());
    wait_until("a full disk is named", || {
        let said = rig.redis.last_error(&run).to_lowercase();
        said.contains("disk") && said.contains("full") || said.contains("no space")
    });
    disk.resize(256 * 1024);
    let push = push.wait().expect_code(0);
    assert_eq!((push.count("created"), push.count("held")), (documents, 0));
    rig.assert_equal();
}

/// As `mv backup content.sqlite` does it: other inode, same name; the -wal and -shm of the old one stay.
fn replace_by(backup: &Path, file: &Path) {
    let aside = file.with_extension("restored");
    std::fs::copy(backup, &aside).unwrap();
    std::fs::rename(aside, file).unwrap();
}

/// The database with all that was committed, in one file.
fn back_up(file: &Path, to: &Path) {
    let connection = rusqlite::Connection::open(file).unwrap();
    connection.execute("VACUUM INTO ?1", [to.to_str().unwrap()]).unwrap();
}

#[test]
fn a_database_replaced_in_the_middle_of_a_push_voids_the_grant_and_the_run_opens_anew() {
    let mut rig = Rig::new(&small());
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &[]);
    rig.push().expect_code(0);
    let content = data_file(&rig.target(), "content.sqlite");
    let backup = rig.folder.path().join("backup.sqlite");
    back_up(&content, &backup);

    // With its file the target forgets what a run wrote: that must be older than the run that comes.
    let_the_second_pass();
    let changed = change(&rig.source(), 10.0, 11).unwrap().len() as u64;
    let gate = proxy.hold("write", 0);
    let opened = proxy.count("grant/open");
    let push = rig.spawn_push();
    gate.wait_for(1);
    replace_by(&backup, &content);
    gate.open();
    let push = push.wait().expect_code(0);
    assert_eq!((push.count("updated"), push.count("created")), (changed, 0));
    assert!(proxy.count("grant/open") >= opened + 2, "the grant was not voided");
    rig.assert_equal();
}

#[test]
fn a_run_whose_target_went_back_in_time_does_not_call_it_equal() {
    let mut rig = Rig::new(&small());
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &["--concurrency", "1"]);
    rig.push().expect_code(0);
    let content = data_file(&rig.target(), "content.sqlite");
    let backup = rig.folder.path().join("backup.sqlite");
    back_up(&content, &backup);
    // So that nobody takes what is in it for saved just now.
    age(&backup);

    let changed = change(&rig.source(), 100.0, 13).unwrap().len() as u64;
    age(&data_file(&rig.source(), "content.sqlite"));
    let gate = proxy.hold_posts(3);
    let push = rig.spawn_push();
    gate.wait_for(1);
    // What the first batches brought is gone with the file they are in, and with its log.
    for beside in ["sqlite-wal", "sqlite-shm"] {
        let _not_there = std::fs::remove_file(content.with_extension(beside));
    }
    replace_by(&backup, &content);
    gate.open();
    let run = rig.redis.live_runs().remove(0);
    wait_until("verify finds what is missing", || rig.redis.last_error(&run).contains("not equal on both sides"));
    rig.run(&["cancel", "target"]).expect_code(0);
    let push = push.wait().expect_code(6);
    assert_eq!(push.json()["verified"], false);

    let again = rig.push().expect_code(0);
    assert!((1..=changed).contains(&again.count("updated")), "{again:#?}");
    rig.assert_equal();
}

/// As if the last edits of the posts had been made long ago.
fn age(file: &Path) {
    let connection = rusqlite::Connection::open(file).unwrap();
    connection.execute("UPDATE collections_posts SET document = json_set(document, '$._modified', 1)", []).unwrap();
}

#[test]
fn a_database_replaced_between_two_pushes_is_seen_as_it_is() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.push().expect_code(0);
    let content = data_file(&rig.target(), "content.sqlite");
    let backup = rig.folder.path().join("backup.sqlite");
    back_up(&content, &backup);
    let changed = change(&rig.source(), 5.0, 12).unwrap();
    rig.push().expect_code(0);
    rig.assert_equal();

    // As a person would be told to do it: nothing is open any more, so nothing of the old file is left beside it.
    let log = content.with_extension("sqlite-wal");
    wait_until("the agent has closed the idle database", || !log.exists());
    replace_by(&backup, &content);
    let push = rig.push().expect_code(0);
    assert_eq!((push.count("updated"), push.count("created")), (changed.len() as u64, 0));
    rig.assert_equal();
}

#[test]
fn the_content_is_readable_and_writable_for_others_while_a_push_goes_on() {
    let (rig, _proxy, gate, push) = Rig::held_push(&[], |proxy| proxy.hold_posts(2), 1);
    let posts = || instances::ids(&rig.target(), "content/collections/posts").ok()?.first().cloned();
    let id = wait_for("a post is there", posts);
    edit_item(&rig.target(), "posts", &id, |post| post["title"] = json!("Saved meanwhile")).unwrap();
    gate.open();
    let push = push.wait().expect_code(0);
    assert_eq!(push.json()["edited_meanwhile"], 1);
    let there = read_item(&rig.target(), "posts", &id).unwrap().unwrap();
    assert_eq!(there["title"], "Saved meanwhile");
}

#[test]
fn files_of_the_target_keep_owner_and_mode_and_nothing_is_added_to_them() {
    use std::os::unix::fs::MetadataExt;
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.push().expect_code(0);
    let content = data_file(&rig.target(), "content.sqlite");
    let directory = std::fs::metadata(rig.target().join("storage/data")).unwrap();
    let file = std::fs::metadata(&content).unwrap();
    assert_eq!((file.uid(), file.gid()), (directory.uid(), directory.gid()));

    let objects = |file: &Path| -> Vec<(String, String)> {
        let connection = rusqlite::Connection::open(file).unwrap();
        let mut statement = connection
            .prepare("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY 2")
            .unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(objects(&content), objects(&data_file(&rig.source(), "content.sqlite")));
}
