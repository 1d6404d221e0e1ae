//! What is kept of what a run overwrites: before it is overwritten, the first of it, for a time and up to a size.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use cockpit_sync_agent::storage::{Storage, StorageSettings, UndoLimits};
use protocol::api::*;
use protocol::collection::Collection;
use serde_json::json;

use crate::support::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn store(root: &Path, number: i64) -> std::path::PathBuf {
    root.join(format!("storage/cockpit-sync/undo/{number}"))
}

/// Row ids and texts of what documents were, by collection and identity.
type Before = BTreeMap<(String, String), Option<Vec<(i64, String)>>>;

/// Of the run with this number. The storage must be closed.
fn kept(root: &Path, number: i64) -> Before {
    let connection = rusqlite::Connection::open(store(root, number).join("images.db")).unwrap();
    let sql = "SELECT c.name, i.identity, b.rows FROM images i JOIN collections c ON c.number = i.collection
               LEFT JOIN befores b ON b.number = i.before";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        Ok(((row.get(0)?, row.get(1)?), row.get::<_, Option<Vec<u8>>>(2)?.map(|bytes| decoded(&bytes))))
    });
    rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

fn decoded(mut bytes: &[u8]) -> Vec<(i64, String)> {
    let mut rows = Vec::new();
    while !bytes.is_empty() {
        let row = i64::from_le_bytes(bytes[..8].try_into().unwrap());
        let length = u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize;
        rows.push((row, String::from_utf8(bytes[12..12 + length].to_vec()).unwrap()));
        bytes = &bytes[12 + length..];
    }
    rows
}

fn with_limits(instance: &mut Instance, limits: UndoLimits) {
    instance.storage.close();
    let settings = agent_settings(instance, |settings: &mut StorageSettings| settings.undo = limits);
    instance.storage = Storage::open(settings).unwrap();
}

fn begin(instance: &Instance, run: &str) -> String {
    instance.storage.open_grant(&grant_request(&format!("grant of {run}"), "redis-1", run)).unwrap().token
}

fn end(instance: &Instance, run: &str) {
    let which = CloseWhich::Run(run.into());
    instance.storage.close_grant(&CloseGrant { which, reason: "the run is over".into() }).unwrap();
}

fn receipt(instance: &Instance, run: &str) -> Receipt {
    instance.storage.receipt(&ReceiptRequest { run: run.into() }).unwrap().receipt.unwrap()
}

/// Writes a new title under this token; gives back what was there.
fn retitle(instance: &Instance, token: &str, id: &str, title: &str) -> String {
    let posts = items("posts");
    let seen = instance.document(&posts, id).unwrap();
    let before = String::from_utf8(seen.document.clone().unwrap()).unwrap();
    let written = instance.write(token, &posts, vec![document(id, Some(seen.hash), &changed(&seen, "title", title))]);
    assert_eq!(written, [WriteOutcome::Updated]);
    before
}

#[test]
fn every_row_of_what_is_overwritten_is_kept_and_what_is_created_is_marked() {
    let target = Instance::small();
    let (posts, made) = (items("posts"), target.made());
    let doubled = &made.posts[3];
    let edit = |post: &mut serde_json::Value| post["title"] = json!("the other one");
    instances::duplicate_id(&target.root, &instances::collection_of("posts"), doubled, edit).unwrap();
    let rows = raw_rows(&target.root, &posts);
    let of = |id: &str| -> Vec<(i64, String)> {
        let name = format!("\"_id\":\"{id}\"}}");
        rows.iter().filter(|(_, text)| text.ends_with(&name)).cloned().collect()
    };
    let token = target.grant();
    retitle(&target, &token, doubled, "new");
    retitle(&target, &token, &made.posts[4], "new");
    target.write(&token, &posts, vec![document("new-one", None, br#"{"title":"x","_id":"new-one"}"#)]);
    target.storage.close();
    let kept = kept(&target.root, 1);
    let image = |id: &str| kept[&(posts.name(), id.to_owned())].clone();
    assert_eq!(of(doubled).len(), 2);
    assert_eq!(image(doubled), Some(of(doubled)));
    assert_eq!(image(&made.posts[4]), Some(of(&made.posts[4])));
    assert_eq!(image("new-one"), None);
    assert_eq!(kept.len(), 3);
}

#[test]
fn the_first_image_of_a_document_stays_whatever_the_run_writes_again() {
    let mut target = Instance::small();
    let (posts, id) = (items("posts"), target.made().posts[0].clone());
    let token = target.grant();
    let rows = raw_rows(&target.root, &posts);
    retitle(&target, &token, &id, "once");
    retitle(&target, &token, &id, "twice");
    // The index is lost, as after a power failure: nobody knows any more who wrote what is there.
    target.storage.close();
    std::fs::remove_file(target.root.join("storage/cockpit-sync/index.db")).unwrap();
    target.reopen();
    retitle(&target, &token, &id, "three times");
    target.storage.close();
    let kept = kept(&target.root, 1);
    let before = kept[&(posts.name(), id)].clone().unwrap();
    assert!(rows.contains(&before[0]), "{before:?}");
    assert_eq!((kept.len(), before.len()), (1, 1));
}

/// The image was on the disk, the content was not: the run writes again what it wrote before the power failed.
#[test]
fn a_write_that_was_lost_between_image_and_commit_is_done_again_with_the_same_image() {
    let mut target = Instance::small();
    let (posts, id) = (items("posts"), target.made().posts[0].clone());
    let token = target.grant();
    let before = retitle(&target, &token, &id, "new");
    target.storage.close();
    let connection = rusqlite::Connection::open(instances::data_file(&target.root, "content.sqlite")).unwrap();
    let sql = "UPDATE collections_posts SET document = ?1 WHERE json_extract(document, '$._id') = ?2";
    connection.execute(sql, (&before, &id)).unwrap();
    drop(connection);
    std::fs::remove_file(target.root.join("storage/cockpit-sync/index.db")).unwrap();
    target.reopen();
    retitle(&target, &token, &id, "new");
    end(&target, RUN);
    assert_eq!(receipt(&target, RUN).collections[&posts.name()].updated, 1);
    target.storage.close();
    assert_eq!(kept(&target.root, 1)[&(posts.name(), id)].as_ref().unwrap()[0].1, before);
}

#[test]
fn nothing_is_written_whose_image_cannot_be_kept() {
    let target = Instance::small();
    let (posts, id) = (items("posts"), target.made().posts[0].clone());
    let token = target.grant();
    let rows = raw_rows(&target.root, &posts);
    std::fs::write(target.root.join("storage/cockpit-sync/undo"), "no directory").unwrap();
    let seen = target.document(&posts, &id).unwrap();
    let new = changed(&seen, "title", "new");
    let refused = target.try_write(&token, &posts, vec![document(&id, Some(seen.hash), &new)]).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Storage);
    assert_eq!(raw_rows(&target.root, &posts), rows);
    std::fs::remove_file(target.root.join("storage/cockpit-sync/undo")).unwrap();
    let written = target.write(&token, &posts, vec![document(&id, Some(seen.hash), &new)]);
    assert_eq!(written, [WriteOutcome::Updated]);
}

#[test]
fn replaced_files_and_models_are_kept_as_they_were() {
    let source = Instance::of(&instances::Shape { seed: 7, ..instances::Shape::small() });
    let target = Instance::small();
    let asset = instances::read_document(&target.root, "assets", &target.made().assets[0]).unwrap().unwrap();
    let path = asset["path"].as_str().unwrap().to_owned();
    let old = std::fs::read(instances::uploads(&target.root).join(&path[1..])).unwrap();
    let model = std::fs::read_to_string(target.root.join("storage/content/posts.model.php")).unwrap();
    let token = target.grant();
    let new = facts(&path, b"other bytes");
    target.upload(&token, &new, 0, b"other bytes");
    target.storage.place_files(&PlaceFilesRequest { token: token.clone(), files: vec![new] }).unwrap();
    let definition = source.document(&Collection::Models, "posts").unwrap();
    let expect = target.document(&Collection::Models, "posts").unwrap().hash;
    let altered = changed(&definition, "label", "other");
    let written = target.write(&token, &Collection::Models, vec![document("posts", Some(expect), &altered)]);
    assert_eq!(written, [WriteOutcome::Updated]);
    end(&target, RUN);
    let receipt = receipt(&target, RUN);
    assert_eq!((receipt.collections["assets/files"].updated, receipt.collections["content/models"].updated), (1, 1));
    target.storage.close();
    let kept = kept(&target.root, 1);
    let of_file = kept[&("assets/files".to_owned(), path)].clone().unwrap();
    assert_eq!(std::fs::read(store(&target.root, 1).join("files").join(&of_file[0].1)).unwrap(), old);
    assert_eq!(kept[&("content/models".to_owned(), "posts".to_owned())], Some(vec![(0, model)]));
}

#[test]
fn what_is_too_old_goes_and_the_receipt_says_so() {
    let target = Instance::small();
    let token = begin(&target, "old");
    retitle(&target, &token, &target.made().posts[0], "new");
    end(&target, "old");
    assert!(receipt(&target, "old").undo.possible);
    target.pass_time(DAY * 8);
    target.storage.idle();
    let undo = receipt(&target, "old").undo;
    assert!(!undo.possible && undo.reason.clone().unwrap().contains("undo_days = 7"), "{undo:?}");
    assert!(!store(&target.root, 1).exists());
}

#[test]
fn the_oldest_make_room_for_later_ones_and_what_is_too_large_alone_says_so() {
    let mut target = Instance::small();
    let posts = target.made().posts.clone();
    with_limits(&mut target, UndoLimits { days: 7, bytes: 8_000 });
    for run in ["first", "second", "third"] {
        let token = begin(&target, run);
        retitle(&target, &token, &posts[0], run);
        end(&target, run);
    }
    let bytes = receipt(&target, "third").undo.bytes;
    assert!((500..4_000).contains(&bytes), "{bytes}");
    // Room for two of them, and no more.
    with_limits(&mut target, UndoLimits { days: 7, bytes: bytes * 5 / 2 });
    let token = begin(&target, "fourth");
    retitle(&target, &token, &posts[0], "fourth");
    end(&target, "fourth");
    let possible = ["first", "second", "third", "fourth"].map(|run| receipt(&target, run).undo.possible);
    assert_eq!(possible, [false, false, true, true]);
    assert!(receipt(&target, "first").undo.reason.unwrap().contains("later runs needed the room"));

    let token = begin(&target, "large");
    for id in &posts[..10] {
        retitle(&target, &token, id, "large");
    }
    end(&target, "large");
    let large = receipt(&target, "large");
    assert!(large.undo.reason.unwrap().contains("undo_size"), "it must say why it cannot be undone");
    assert_eq!(large.collections["content/collections/posts"].updated, 10);
    assert!(!store(&target.root, 5).exists());
}

#[test]
fn nothing_is_kept_where_undo_is_turned_off_and_runs_are_counted_all_the_same() {
    let mut target = Instance::small();
    with_limits(&mut target, UndoLimits { days: 7, bytes: 0 });
    let token = target.grant();
    retitle(&target, &token, &target.made().posts[0], "new");
    target.storage.close();
    assert!(kept(&target.root, 1).values().all(Option::is_none));
    with_limits(&mut target, UndoLimits { days: 7, bytes: 0 });
    end(&target, RUN);
    let receipt = receipt(&target, RUN);
    assert!(receipt.undo.reason.unwrap().contains("turned off"));
    assert_eq!(receipt.collections["content/collections/posts"].updated, 1);
    assert!(!store(&target.root, 1).exists());
}

#[test]
fn a_receipt_says_who_did_what_and_what_came_of_it() {
    let source = Instance::small();
    let target = Instance::empty();
    let end_of = |name: &str| protocol::run::Endpoint { name: name.into(), instance: format!("id of {name}") };
    let about = RunAbout {
        direction: "push".into(),
        source: end_of("staging"),
        target: end_of("production"),
        started_by: "anna on web1".into(),
        options: json!({ "models": ["posts"], "batch_size": 2000 }),
    };
    let request = OpenGrant { about: Some(about.clone()), ..grant_request("g1", "redis-1", RUN) };
    let token = target.storage.open_grant(&request).unwrap().token;
    target.look(&items("posts"), RUN);
    target.pull_all(&source, &token);
    target.look(&items("posts"), RUN);
    target.pass_time(Duration::from_secs(3));
    end(&target, RUN);
    let receipt = receipt(&target, RUN);
    assert_eq!(receipt.about, Some(about));
    assert_eq!((receipt.instance.as_str(), receipt.grants), (target.storage.instance(), 1));
    assert_eq!(receipt.ended_ms.unwrap() - receipt.began_ms, 3000);
    assert_eq!(receipt.reason.as_deref(), Some("the run is over"));
    let posts = &receipt.collections["content/collections/posts"];
    let there = source.summary(&items("posts"));
    assert_eq!((posts.created, posts.updated, posts.deleted), (there.summary.count, 0, 0));
    assert_eq!((posts.before.unwrap().count, posts.after), (0, Some(there.summary)));
    let files = &receipt.collections["assets/files"];
    assert_eq!(files.created, source.summary(&Collection::Assets).summary.count);
    assert!(posts.bytes > 0 && files.bytes > 0);
    // Found by less than its name, too.
    assert_eq!(crate::images::receipt(&target, "last"), receipt);
    assert_eq!(crate::images::receipt(&target, &RUN[..3]), receipt);
    let unknown = target.storage.receipt(&ReceiptRequest { run: "another".into() }).unwrap();
    assert_eq!(unknown.receipt, None);
}

#[test]
fn a_run_that_comes_back_after_another_has_one_receipt_for_all_it_did() {
    let mut target = Instance::small();
    let posts = target.made().posts.clone();
    let token = begin(&target, "long");
    retitle(&target, &token, &posts[0], "long");
    let urgent = begin(&target, "urgent");
    assert!(receipt(&target, "long").ended_ms.is_some());
    retitle(&target, &urgent, &posts[1], "urgent");
    let again = target.storage.open_grant(&grant_request("again", "redis-1", "long")).unwrap().token;
    assert!(receipt(&target, "long").ended_ms.is_none());
    target.reopen();
    retitle(&target, &again, &posts[2], "long");
    end(&target, "long");
    let long = receipt(&target, "long");
    assert_eq!((long.grants, long.collections["content/collections/posts"].updated), (2, 2));
    assert!(long.undo.possible && long.ended_ms.is_some());
    assert_eq!(receipt(&target, "urgent").collections["content/collections/posts"].updated, 1);
}
