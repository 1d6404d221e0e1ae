//! The agent's own files: what nothing speaks of any more is let go of, and what they took is given back.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use instances::{delete_item, edit_item};
use protocol::api::*;
use serde_json::json;

use crate::support::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn count(root: &Path, file: &str, of: &str) -> i64 {
    let path = root.join("storage/cockpit-sync").join(file);
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.query_row(&format!("SELECT count(*) FROM {of}"), [], |row| row.get(0)).unwrap()
}

fn retitle(instance: &Instance, token: &str, identity: &str, title: &str) {
    let posts = items("posts");
    let entry = instance.document(&posts, identity).unwrap();
    let document = document(identity, Some(entry.hash), &changed(&entry, "title", title));
    assert_eq!(instance.write(token, &posts, vec![document]), [WriteOutcome::Updated]);
}

#[test]
fn runs_that_nothing_is_noted_of_are_forgotten_and_those_that_wrote_what_is_there_are_not() {
    let instance = Instance::small();
    let locales = protocol::collection::Collection::Locales;
    retitle(&instance, &instance.grant(), &instance.made().posts[0], "by a run");
    for run in 0..1_500 {
        assert!(instance.look(&locales, &format!("only looked {run}")));
    }
    instance.pass_time(2 * DAY);
    instance.storage.idle();
    instance.storage.close();
    assert_eq!(count(&instance.root, "index.db", "runs"), 1_001);
    assert_eq!(count(&instance.root, "index.db", &format!("runs WHERE name = '{RUN}'")), 1);
}

#[test]
fn hashes_of_files_that_are_gone_are_forgotten() {
    let instance = Instance::empty();
    let old = SystemTime::now() - DAY;
    let stay = |name: &str| {
        let file = instances::uploads(&instance.root).join(name);
        std::fs::write(&file, name).unwrap();
        File::options().append(true).open(&file).unwrap().set_modified(old).unwrap();
        let files = vec![facts(&format!("/{name}"), name.as_bytes())];
        let stats = instance.storage.stat_files(&StatFilesRequest { files }).unwrap().stats;
        assert_eq!(stats, [FileStat::Same]);
        file
    };
    let (_here, gone) = (stay("here.txt"), stay("gone.txt"));
    std::fs::remove_file(gone).unwrap();
    instance.storage.idle();
    instance.storage.close();
    assert_eq!(count(&instance.root, "index.db", "files"), 1);
    assert_eq!(count(&instance.root, "index.db", "files WHERE path LIKE '%/here.txt'"), 1);
}

#[test]
fn what_was_agreed_on_documents_that_neither_side_has_any_more_is_forgotten() {
    let instance = Instance::small();
    let posts = items("posts");
    let agreed = || count(&instance.root, "agreed.db", "agreed");
    let agree = || {
        let summary = instance.summary(&posts).summary;
        let (collection, selection) = (posts.clone(), Default::default());
        let request = AgreeRequest { collection, source: "source".into(), selection, summary };
        instance.storage.agree(&request).unwrap();
        i64::try_from(summary.count).unwrap()
    };
    let all = agree();
    assert_eq!(agreed(), all);
    let ids = &instance.made().posts;
    let (deleted, left) = ids.split_at(ids.len() / 2);
    for id in deleted {
        delete_item(&instance.root, "posts", id).unwrap();
    }
    edit_item(&instance.root, "posts", &left[0], |post| post["title"] = json!("changed on both sides")).unwrap();
    assert!(instance.look(&posts, "next run"));
    assert_eq!((agree(), agreed()), (all - deleted.len() as i64, all - deleted.len() as i64));
}

#[test]
fn what_waits_to_be_moved_into_the_agents_own_files_is_moved_now_and_then() {
    let instance = Instance::small();
    let token = instance.grant();
    let waiting = || {
        let entries = std::fs::read_dir(instance.root.join("storage/cockpit-sync")).unwrap();
        let files = entries.map(|entry| entry.unwrap()).filter(|file| file.path().to_string_lossy().ends_with("-wal"));
        files.map(|file| file.metadata().unwrap().len()).sum::<u64>()
    };
    instance.storage.idle();
    instance.made().posts.iter().for_each(|id| retitle(&instance, &token, id, "anew"));
    let before = waiting();
    assert!(before > 200_000, "{before}");
    instance.pass_time(Duration::from_secs(660));
    instance.storage.idle();
    assert!(waiting() < before / 10, "{before} before, {} now", waiting());
}
