//! What a write changes, and what it leaves alone.

use protocol::api::*;
use protocol::collection::Collection;
use serde_json::json;

use crate::support::*;

#[test]
fn everything_comes_over_and_a_second_time_changes_nothing() {
    let source = Instance::small();
    let target = Instance::empty();
    let token = target.grant();
    let outcomes = target.pull_all(&source, &token);
    assert!(outcomes.len() > 90, "{}", outcomes.len());
    assert!(outcomes.iter().all(|outcome| *outcome == WriteOutcome::Created), "{outcomes:?}");
    let same = instances::compare(&source.root, &target.root).unwrap();
    assert!(same.differences.is_empty(), "{:?}", same.differences);
    for collection in collections() {
        let (there, here) = (source.summary(&collection), target.summary(&collection));
        assert_eq!(there.summary, here.summary, "{collection}");
        assert!(there.summary.count > 0, "{collection}");
        let entries = entries_of(&source, &collection);
        let differences = target.diff(&collection, &entries);
        assert_eq!(differences, vec![Difference::Written(Wrote::Created); entries.len()], "{collection}");
    }
    assert_eq!(target.pull_all(&source, &token), []);
}

#[test]
fn a_write_lands_only_on_what_the_run_saw() {
    let target = Instance::small();
    let (token, posts) = (target.grant(), items("posts"));
    let id = &target.made().posts[0];
    let seen = target.document(&posts, id).unwrap();
    let new = changed(&seen, "title", "from the run");
    instances::edit_item(&target.root, "posts", id, |item| item["title"] = json!("from an editor")).unwrap();
    let outcome = target.write(&token, &posts, vec![document(id, Some(seen.hash), &new)]);
    let now = target.document(&posts, id).unwrap();
    assert_eq!(outcome, [WriteOutcome::Conflict(Some(now.hash))]);
    assert_eq!(instances::read_item(&target.root, "posts", id).unwrap().unwrap()["title"], "from an editor");
    let outcome = target.write(&token, &posts, vec![document(id, Some(now.hash), &new)]);
    assert_eq!(outcome, [WriteOutcome::Updated]);
    assert_eq!(instances::read_item(&target.root, "posts", id).unwrap().unwrap()["title"], "from the run");
}

#[test]
fn a_document_that_came_into_being_or_went_meanwhile_is_a_conflict() {
    let target = Instance::small();
    let (token, posts) = (target.grant(), items("posts"));
    let id = &target.made().posts[0];
    let seen = target.document(&posts, id).unwrap();
    let new = changed(&seen, "title", "from the run");
    assert_eq!(target.write(&token, &posts, vec![document(id, None, &new)]), [WriteOutcome::Conflict(Some(seen.hash))]);
    instances::delete_item(&target.root, "posts", id).unwrap();
    let outcome = target.write(&token, &posts, vec![document(id, Some(seen.hash), &new)]);
    assert_eq!(outcome, [WriteOutcome::Conflict(None)]);
    assert_eq!(instances::read_item(&target.root, "posts", id).unwrap(), None);
}

#[test]
fn replaying_a_write_changes_nothing() {
    let target = Instance::small();
    let (token, posts) = (target.grant(), items("posts"));
    let id = &target.made().posts[0];
    let seen = target.document(&posts, id).unwrap();
    let update = || document(id, Some(seen.hash), &changed(&seen, "title", "new"));
    let creation = || document("new-one", None, br#"{"title":"x","_id":"new-one"}"#);
    let outcomes = target.write(&token, &posts, vec![update(), creation()]);
    assert_eq!(outcomes, [WriteOutcome::Updated, WriteOutcome::Created]);
    let before = raw_rows(&target.root, &posts);
    let outcomes = target.write(&token, &posts, vec![update(), creation()]);
    assert_eq!(outcomes, [WriteOutcome::Unchanged, WriteOutcome::Unchanged]);
    assert_eq!(raw_rows(&target.root, &posts), before);
}

#[test]
fn only_the_time_of_change_is_set_and_the_bytes_of_the_source_are_kept() {
    let target = Instance::small();
    let (token, posts) = (target.grant(), items("posts"));
    let text = r#"{"a":1.0,"b":[],"c":{},"big":9007199254740993,"u":"\/ü","_modified":5,"_created":4,"_id":"kept"}"#;
    target.write(&token, &posts, vec![document("kept", None, text.as_bytes())]);
    let (_, stored) = raw_rows(&target.root, &posts).pop().unwrap();
    assert_eq!(stored, text.replace("\"_modified\":5", "\"_modified\":1800000000"));
}

#[test]
fn a_run_knows_its_own_writes_from_those_of_others() {
    let target = Instance::small();
    let (token, posts) = (target.grant(), items("posts"));
    let made = target.made();
    let entries: Vec<_> = made.posts[..3]
        .iter()
        .map(|id| {
            let seen = target.document(&posts, id).unwrap();
            let new = changed(&seen, "title", "new");
            target.write(&token, &posts, vec![document(id, Some(seen.hash), &new)]);
            (id.clone(), hash_of(&posts, &new))
        })
        .collect();
    instances::edit_item(&target.root, "posts", &made.posts[1], |item| item["title"] = json!("edited")).unwrap();
    let mut wanted = entries.clone();
    wanted[2].1 = hash_of(&posts, br#"{"_id":"changed at the source again"}"#);
    let expected =
        [Difference::Written(Wrote::Updated), Difference::Edited(Wrote::Updated), Difference::Differs(entries[2].1)];
    assert_eq!(target.diff(&posts, &wanted), expected);
    let request = DiffRequest {
        collection: posts.clone(),
        run: "another".into(),
        entries: entries[..1].to_vec(),
        source: None,
        agree: false,
    };
    assert_eq!(target.storage.diff(&request).unwrap().differences, [Difference::Same]);
}

#[test]
fn singletons_are_recognised_by_their_model_and_keep_their_id() {
    let target = Instance::small();
    let token = target.grant();
    let name = &target.made().singletons[0];
    let seen = target.document(&Collection::Singletons, name).unwrap();
    let own_id = parsed(&seen)["_id"].clone();
    let mut new = parsed(&seen);
    new["_id"] = json!("id-of-the-source");
    new["siteName"] = json!("new");
    let bytes = new.to_string();
    let outcome =
        target.write(&token, &Collection::Singletons, vec![document(name, Some(seen.hash), bytes.as_bytes())]);
    assert_eq!(outcome, [WriteOutcome::Updated]);
    let now = parsed(&target.document(&Collection::Singletons, name).unwrap());
    assert_eq!((&now["_id"], &now["siteName"]), (&own_id, &json!("new")));
    assert_eq!(
        target.diff(&Collection::Singletons, &[(name.clone(), hash_of(&Collection::Singletons, bytes.as_bytes()))]),
        [Difference::Written(Wrote::Updated)]
    );
}

#[test]
fn a_document_that_was_uploaded_is_written_like_any_other() {
    let target = Instance::small();
    let (token, posts) = (target.grant(), items("posts"));
    let text = format!(r#"{{"body":"{}","_id":"long"}}"#, "x".repeat(2_000_000));
    let facts = facts("/unused.txt", text.as_bytes());
    target.upload(&token, &facts, 0, text.as_bytes());
    let upload = WriteDocument { identity: "long".into(), expect: None, body: Body::Upload(facts.sha256) };
    assert_eq!(target.write(&token, &posts, vec![upload]), [WriteOutcome::Created]);
    assert_eq!(
        instances::read_item(&target.root, "posts", "long").unwrap().unwrap()["body"].as_str().unwrap().len(),
        2_000_000
    );
    let missing = WriteDocument { identity: "y".into(), expect: None, body: Body::Upload("0".repeat(64)) };
    assert_eq!(target.try_write(&token, &posts, vec![missing]).unwrap_err().code, ErrorCode::BadRequest);
}

#[test]
fn a_full_database_takes_nothing_of_a_write() {
    let target = Instance::small();
    let (token, posts) = (target.grant(), items("posts"));
    let before = raw_rows(&target.root, &posts);
    // SQLite's own limit stands in for a full disk: the error is the same one, SQLITE_FULL.
    let small = |id: &str| document(id, None, format!(r#"{{"_id":"{id}"}}"#).as_bytes());
    target.storage.limit_pages_for_test(&posts, 1).unwrap();
    let large = format!(r#"{{"body":"{}","_id":"large"}}"#, "x".repeat(500_000));
    let error =
        target.try_write(&token, &posts, vec![small("s"), document("large", None, large.as_bytes())]).unwrap_err();
    assert_eq!(error.code, ErrorCode::DiskFull, "{error}");
    assert_eq!(raw_rows(&target.root, &posts), before);
    assert_eq!(target.diff(&posts, &[("s".into(), hash_of(&posts, br#"{"_id":"s"}"#))]), [Difference::Lacks]);
    assert_eq!(target.write(&token, &posts, vec![small("s")]), [WriteOutcome::Created]);
}

#[test]
fn a_file_that_another_program_has_locked_makes_the_caller_come_back() {
    let target = Instance::small();
    let (token, posts) = (target.grant(), items("posts"));
    let blocker = rusqlite::Connection::open(instances::data_file(&target.root, "content.sqlite")).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = target.try_write(&token, &posts, vec![document("x", None, br#"{"_id":"x"}"#)]).unwrap_err();
    assert_eq!(error.code, ErrorCode::Busy);
    assert!(error.retry_after_ms.is_some_and(|wait| wait > 0));
    blocker.execute_batch("ROLLBACK").unwrap();
    assert_eq!(target.write(&token, &posts, vec![document("x", None, br#"{"_id":"x"}"#)]), [WriteOutcome::Created]);
}

#[test]
fn a_long_read_of_another_program_makes_writers_wait_before_the_log_fills_the_disk() {
    let target = Instance::small();
    let token = target.grant();
    let file = instances::data_file(&target.root, "content.sqlite");
    let wal = file.with_extension("sqlite-wal");
    let reader = rusqlite::Connection::open(&file).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM collections_posts;").unwrap();
    let text = "x".repeat(15 << 20);
    let write = |id: &str| {
        let large = json!({"_id": id, "body": text}).to_string();
        target.try_write(&token, &items("posts"), vec![document(id, None, large.as_bytes())])
    };
    let refused = (0..20).find_map(|number| write(&format!("large-{number}")).err()).expect("somebody had to wait");
    assert_eq!(refused.code, ErrorCode::Busy);
    assert!(refused.retry_after_ms.is_some() && refused.message.contains("reading for long"), "{refused}");
    let length = std::fs::metadata(&wal).unwrap().len();
    assert!((64 << 20..100 << 20).contains(&length), "{length}");
    // Reading goes on, and so does writing as soon as that program has finished.
    assert!(!target.list(&items("authors")).entries.is_empty());
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(write("afterwards").unwrap(), [WriteOutcome::Created]);
    assert!(std::fs::metadata(&wal).unwrap().len() < length / 2);
}
