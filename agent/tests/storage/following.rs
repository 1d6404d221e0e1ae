//! How the agent knows that a document is not there, while others write to the same file.

use protocol::api::*;
use protocol::canonical::DocHash;
use serde_json::json;

use crate::support::*;

fn connection(instance: &Instance) -> rusqlite::Connection {
    rusqlite::Connection::open(instances::data_file(&instance.root, "content.sqlite")).unwrap()
}

/// Of a document that the index cannot know.
fn is_lacking(target: &Instance, id: &str) -> bool {
    target.diff(&items("posts"), &[(id.into(), DocHash([7; 16]))]) == [Difference::Lacks]
}

#[test]
fn a_first_push_beside_saving_editors_reads_the_table_once_and_not_once_per_write() {
    const POSTS: usize = 3000;
    let target = Instance::of(&instances::Shape { posts: POSTS, ..instances::Shape::small() });
    let (token, posts) = (target.grant(), items("posts"));
    let editors = &target.made().posts[0];
    let mut writes = 0;
    let mut push = |number: usize| {
        instances::edit_item(&target.root, "posts", editors, |item| item["title"] = json!(number)).unwrap();
        let id = format!("pushed-{number}");
        assert!(is_lacking(&target, &id));
        instances::edit_item(&target.root, "posts", editors, |item| item["title"] = json!(-1)).unwrap();
        assert!(target.document(&posts, &format!("absent-{number}")).is_none());
        let text = format!(r#"{{"_id":"{id}"}}"#);
        assert_eq!(target.write(&token, &posts, vec![document(&id, None, text.as_bytes())]), [WriteOutcome::Created]);
        writes += 1;
    };
    push(0);
    let after_first = target.storage.rows_looked_at();
    assert!(after_first >= POSTS as u64, "absence was believed without having read the table: {after_first}");
    (1..40).for_each(&mut push);
    let more = target.storage.rows_looked_at() - after_first;
    assert!(more < POSTS as u64, "{writes} writes beside an editor looked at {more} rows more");
    assert_eq!(target.summary(&posts).summary, recounted(&target, &posts));
}

#[test]
fn trees_ask_for_parents_without_reading_the_table_again() {
    let target = Instance::of(&instances::Shape { posts: 3000, ..instances::Shape::small() });
    let pages = target.storage.manifest(&ManifestRequest {}).unwrap().models;
    let tree = items(&pages.into_iter().find(|model| model.kind == ModelKind::Tree).unwrap().name);
    let token = target.grant();
    let orphan = || vec![document("orphan", None, br#"{"_id":"orphan","_pid":"nobody"}"#)];
    target.write(&token, &tree, orphan());
    let before = target.storage.rows_looked_at();
    instances::edit_item(&target.root, "posts", &target.made().posts[0], |item| item["title"] = json!("x")).unwrap();
    let outcome = target.write(&token, &tree, orphan());
    assert!(matches!(outcome[..], [WriteOutcome::Held { cause: HeldCause::MissingParent, .. }]), "{outcome:?}");
    assert!(target.storage.rows_looked_at() - before < 5);
}

#[test]
fn a_table_that_was_dropped_and_made_anew_is_not_taken_for_the_old_one() {
    let target = Instance::small();
    let (token, posts) = (target.grant(), items("posts"));
    target.summary(&posts);
    // Row ids begin again, below what was looked at.
    connection(&target)
        .execute_batch(
            "DROP TABLE collections_posts;
             CREATE TABLE `collections_posts` ( id INTEGER PRIMARY KEY AUTOINCREMENT, document TEXT );",
        )
        .unwrap();
    for number in 0..3 {
        let text = json!({"_id": format!("new-{number}")});
        instances::insert_document(&target.root, "content/collections/posts", &text).unwrap();
    }
    let text = br#"{"_id":"new-1"}"#;
    assert_eq!(target.diff(&posts, &[("new-1".into(), hash_of(&posts, text))]), [Difference::Same]);
    assert_eq!(target.write(&token, &posts, vec![document("new-1", None, text)]), [WriteOutcome::Unchanged]);
    assert_eq!(raw_rows(&target.root, &posts).len(), 3);
}

#[test]
fn row_ids_that_are_given_twice_are_noticed() {
    let target = Instance::small();
    let posts = items("posts");
    target.summary(&posts);
    connection(&target)
        .execute_batch(
            "DELETE FROM collections_posts; DELETE FROM sqlite_sequence WHERE name = 'collections_posts';
             INSERT INTO collections_posts (document) VALUES ('{\"_id\":\"first\"}');",
        )
        .unwrap();
    assert!(target.document(&posts, "first").is_some());
    assert!(!is_lacking(&target, "first"));
}

#[test]
fn a_row_that_somebody_repairs_where_it_is_is_found() {
    let target = Instance::small();
    let posts = items("posts");
    let row = instances::insert_raw(&target.root, "content/collections/posts", "{broken").unwrap();
    target.summary(&posts);
    connection(&target)
        .execute("UPDATE collections_posts SET document = '{\"_id\":\"repaired\"}' WHERE id = ?1", [row])
        .unwrap();
    assert!(!is_lacking(&target, "repaired"));
}

#[test]
fn tables_of_other_models_that_a_push_makes_cost_nothing() {
    let source = Instance::small();
    let target = Instance::empty();
    let token = target.grant();
    target.pull_all(&source, &token);
    let posts = items("posts");
    let id = &source.made().posts[0];
    let count = source.made().posts.len() as u64;
    let before = target.storage.rows_looked_at();
    // Somebody else writes; every table was made by us, some of them after this one.
    instances::insert_document(&target.root, "content/collections/authors", &json!({"_id": "a"})).unwrap();
    assert!(is_lacking(&target, "absent") && target.document(&posts, id).is_some());
    assert!(target.storage.rows_looked_at() - before < count / 2);
}

#[test]
fn what_an_interrupted_write_committed_is_known_as_this_runs_and_what_it_did_not_is_not() {
    let mut target = Instance::small();
    let (token, posts) = (target.grant(), items("posts"));
    let text = |id: &str| format!(r#"{{"_id":"{id}"}}"#);
    let entries: Vec<_> =
        ["landed", "edited"].iter().map(|id| ((*id).to_owned(), hash_of(&posts, text(id).as_bytes()))).collect();
    let documents = entries.iter().map(|(id, _)| document(id, None, text(id).as_bytes())).collect();
    target.write(&token, &posts, documents);
    target.storage.close();
    // As if the process had died after the commit, before it noted what it had committed; of three rows one did not
    // land, and one is not as it was meant to be.
    let index = rusqlite::Connection::open(target.root.join("storage/cockpit-sync/index.db")).unwrap();
    let number: i64 =
        index.query_row("SELECT number FROM collections WHERE name LIKE '%/posts'", [], |row| row.get(0)).unwrap();
    let run: i64 = index.query_row("SELECT number FROM runs WHERE name = ?1", [RUN], |row| row.get(0)).unwrap();
    let mut intents = Vec::new();
    for (id, meddle) in [("landed", 0), ("edited", 1)] {
        let sql = "DELETE FROM rows WHERE collection = ?1 AND identity = ?2 RETURNING row, raw";
        let (row, raw): (i64, i64) = index.query_row(sql, (number, id), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        index
            .execute("UPDATE collections SET last_row = min(last_row, ?2 - 1) WHERE number = ?1", [number, row])
            .unwrap();
        intents.extend([&row.to_le_bytes()[..], &(raw + meddle).to_le_bytes()[..], &[0]].concat());
    }
    intents.extend([&9999i64.to_le_bytes()[..], &1i64.to_le_bytes()[..], &[0]].concat());
    index.execute("INSERT INTO intents VALUES (?1, ?2, ?3)", (number, run, intents)).unwrap();
    drop(index);
    target.reopen();
    assert_eq!(target.diff(&posts, &entries), [Difference::Written(Wrote::Created), Difference::Same]);
    assert_eq!(target.summary(&posts).summary, recounted(&target, &posts));
}
