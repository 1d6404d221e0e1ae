//! The index follows what others do to Cockpit's files.

use std::time::{Duration, Instant};

use protocol::api::*;
use protocol::collection::Collection;
use serde_json::json;

use crate::support::*;

/// What a storage says of a collection that never saw it before.
fn fresh_look(instance: &Instance, collection: &Collection) -> (Vec<(String, protocol::canonical::DocHash)>, Summary) {
    let directory = tempfile::tempdir().unwrap();
    let settings = agent_settings(instance, |settings| settings.state_dir = Some(directory.path().join("state")));
    let storage = cockpit_sync_agent::storage::Storage::open(settings).unwrap();
    let request = ListRequest {
        collection: collection.clone(),
        selection: Default::default(),
        from_row: 0,
        to_row: None,
        documents: false,
    };
    let entries = storage.list(&request).unwrap().entries;
    let summary = storage
        .summary(&SummaryRequest { collection: collection.clone(), selection: Default::default(), run: None })
        .unwrap();
    (entries.into_iter().map(|entry| (entry.identity, entry.hash)).collect(), summary)
}

fn assert_is_up_to_date(instance: &Instance, collection: &Collection, after: &str) {
    let (entries, summary) = fresh_look(instance, collection);
    let request = DiffRequest {
        collection: collection.clone(),
        run: "another".into(),
        entries: entries.clone(),
        source: None,
        agree: false,
    };
    let differences = instance.storage.diff(&request).unwrap().differences;
    assert_eq!(differences, vec![Difference::Same; entries.len()], "{after}");
    assert_eq!(entries_of(instance, collection), entries, "{after}");
    assert_eq!(instance.summary(collection).summary, summary.summary, "{after}");
}

#[test]
fn gaps_longer_than_a_page_are_followed() {
    let instance = Instance::of(&instances::Shape { posts: 1700, ..instances::Shape::small() });
    let posts = items("posts");
    assert_is_up_to_date(&instance, &posts, "the start");
    connection(&instance).execute_batch("CREATE TABLE kept AS SELECT * FROM collections_posts").unwrap();
    for gap in ["id BETWEEN 300 AND 999", "id <= 600", "id >= 1100", "id BETWEEN 1001 AND 1099"] {
        connection(&instance).execute_batch(&format!("DELETE FROM collections_posts WHERE {gap}")).unwrap();
        instances::insert_document(&instance.root, "content/collections/posts", &json!({"_id": gap})).unwrap();
        assert_is_up_to_date(&instance, &posts, gap);
    }
    // Nobody gives a row id twice, but for whoever puts rows back from a copy: whoever reads all of them sees it.
    connection(&instance).execute_batch("INSERT INTO collections_posts SELECT * FROM kept WHERE id <= 600").unwrap();
    let (entries, summary) = fresh_look(&instance, &posts);
    assert_eq!(instance.summary(&posts).summary, summary.summary);
    assert!(entries_of(&instance, &posts) == entries);
}

#[test]
fn the_index_follows_inserts_updates_deletes_and_a_vacuum() {
    let instance = Instance::small();
    let (posts, made) = (items("posts"), instance.made());
    assert_is_up_to_date(&instance, &posts, "the start");
    instances::edit_item(&instance.root, "posts", &made.posts[7], |item| item["title"] = json!("edited")).unwrap();
    assert_is_up_to_date(&instance, &posts, "an edit");
    instances::insert_document(&instance.root, "content/collections/posts", &json!({"_id": "new"})).unwrap();
    assert_is_up_to_date(&instance, &posts, "an insert");
    instances::delete_item(&instance.root, "posts", &made.posts[2]).unwrap();
    instances::delete_item(&instance.root, "posts", "new").unwrap();
    assert_is_up_to_date(&instance, &posts, "deletes");
    let gone = (made.posts[2].clone(), hash_of(&posts, br#"{"_id":"x"}"#));
    assert_eq!(instance.diff(&posts, &[gone]), [Difference::Lacks]);
    connection(&instance).execute_batch("VACUUM").unwrap();
    assert_is_up_to_date(&instance, &posts, "a vacuum");
    // The rows change places: nothing is where it was.
    connection(&instance)
        .execute_batch(
            "CREATE TEMP TABLE t AS SELECT document FROM collections_posts ORDER BY id DESC;
             DELETE FROM collections_posts; DELETE FROM sqlite_sequence WHERE name = 'collections_posts';
             INSERT INTO collections_posts (document) SELECT document FROM t;",
        )
        .unwrap();
    assert_is_up_to_date(&instance, &posts, "a reversal");
}

fn connection(instance: &Instance) -> rusqlite::Connection {
    rusqlite::Connection::open(instances::data_file(&instance.root, "content.sqlite")).unwrap()
}

#[test]
fn a_listing_comes_in_pages_and_ranges_that_miss_nothing() {
    let instance = Instance::of(&instances::Shape { posts: 1700, ..instances::Shape::small() });
    let posts = items("posts");
    for is_known in [false, true] {
        for documents in [false, true] {
            let mut identities = Vec::new();
            let mut pages = 0;
            for (from, to) in [(0, Some(600)), (601, Some(1200)), (1201, None)] {
                let mut next = Some(from);
                while let Some(from_row) = next {
                    let request = ListRequest {
                        collection: posts.clone(),
                        selection: Default::default(),
                        from_row,
                        to_row: to,
                        documents,
                    };
                    let listing = instance.storage.list(&request).unwrap();
                    let bytes: usize =
                        listing.entries.iter().filter_map(|entry| entry.document.as_ref()).map(Vec::len).sum();
                    assert!(bytes <= PAGE_BYTES);
                    assert!(listing.entries.iter().all(|entry| entry.document.is_some() == documents));
                    identities.extend(listing.entries.into_iter().map(|entry| entry.identity));
                    next = listing.next_row;
                    pages += 1;
                }
            }
            assert_eq!(identities, instance.made().posts, "{is_known} {documents} {pages}");
        }
        instance.summary(&posts);
    }
}

#[test]
fn a_document_larger_than_a_page_comes_alone() {
    let instance = Instance::small();
    let posts = items("posts");
    let body = "x".repeat(3 * PAGE_BYTES);
    instances::insert_document(&instance.root, "content/collections/posts", &json!({"_id": "a", "b": body})).unwrap();
    instances::insert_document(&instance.root, "content/collections/posts", &json!({"_id": "b", "b": body})).unwrap();
    let request =
        DocumentsRequest { collection: posts, identities: vec!["a".into(), "nobody".into(), "b".into()], run: None };
    let answer = instance.storage.documents(&request).unwrap();
    assert_eq!(answer.documents.len(), 1);
    assert_eq!((answer.missing, answer.not_sent), (vec!["nobody".to_owned()], vec!["b".to_owned()]));
}

#[test]
fn summaries_stay_right_through_our_own_writes_without_reading_again() {
    let instance = Instance::small();
    let (token, posts) = (instance.grant(), items("posts"));
    instance.summary(&posts);
    let id = &instance.made().posts[0];
    let seen = instance.document(&posts, id).unwrap();
    instance.write(
        &token,
        &posts,
        vec![
            document(id, Some(seen.hash), &changed(&seen, "title", "new")),
            document("new", None, br#"{"_id":"new"}"#),
        ],
    );
    let (_, fresh) = fresh_look(&instance, &posts);
    let known = instance.summary(&posts);
    assert_eq!((known.summary, known.bytes), (fresh.summary, fresh.bytes));
}

#[test]
fn what_is_missing_on_the_source_is_an_unproven_listing() {
    let instance = Instance::empty();
    let posts = items("posts");
    let extent = instance.storage.extent(&ExtentRequest { collection: posts.clone() }).unwrap();
    assert_eq!((extent.complete, extent.first_row, extent.last_row), (false, 0, 0));
    let listing = instance.list(&posts);
    assert!(!listing.complete && listing.entries.is_empty());
    assert!(!instance.summary(&posts).complete);
    let full = Instance::small();
    let extent = full.storage.extent(&ExtentRequest { collection: posts.clone() }).unwrap();
    assert_eq!((extent.complete, extent.first_row, extent.last_row), (true, 1, full.made().posts.len() as u64));
    assert!(full.list(&posts).complete && full.summary(&posts).complete);
}

#[test]
fn a_replaced_database_voids_the_grant_and_nothing_old_is_believed() {
    let target = Instance::small();
    let (token, posts) = (target.grant(), items("posts"));
    let id = target.made().posts[0].clone();
    let seen = target.document(&posts, &id).unwrap();
    let path = instances::data_file(&target.root, "content.sqlite");
    let copy = path.with_extension("copy");
    connection(&target).execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    let restored = rusqlite::Connection::open(&copy).unwrap();
    restored.execute_batch("PRAGMA journal_mode = WAL; DELETE FROM collections_posts WHERE id > 3").unwrap();
    drop(restored);
    std::fs::rename(&copy, &path).unwrap();
    let write =
        || target.try_write(&token, &posts, vec![document(&id, Some(seen.hash), &changed(&seen, "title", "x"))]);
    assert_eq!(write().unwrap_err().code, ErrorCode::DatabaseReplaced);
    assert_eq!(write().unwrap_err().code, ErrorCode::DatabaseReplaced);
    assert_eq!(target.storage.manifest(&ManifestRequest {}).unwrap().grant, None);
    assert_eq!(target.list(&posts).entries.len(), 3);
    target.storage.open_grant(&grant_request("again", "redis-1", RUN)).unwrap();
}

#[test]
fn a_database_replaced_while_the_agent_was_down_voids_the_grant_too() {
    let mut target = Instance::small();
    let token = target.grant();
    target.list(&items("posts"));
    target.storage.close();
    let path = instances::data_file(&target.root, "content.sqlite");
    let copy = path.with_extension("copy");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::rename(&copy, &path).unwrap();
    target.storage = cockpit_sync_agent::storage::Storage::open(target.settings()).unwrap();
    let error = target.try_write(&token, &items("posts"), vec![document("x", None, br#"{"_id":"x"}"#)]).unwrap_err();
    assert_eq!(error.code, ErrorCode::DatabaseReplaced);
}

#[test]
fn wal_files_vanish_when_nothing_happens_and_what_is_known_stays_known() {
    let mut instance = Instance::small();
    let (token, posts) = (instance.grant(), items("posts"));
    instance.write(&token, &posts, vec![document("x", None, br#"{"_id":"x"}"#)]);
    instance.summary(&posts);
    let data = instance.root.join("storage/data");
    let leftovers = || {
        let names = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with("-wal") || name.ends_with("-shm")).collect::<Vec<_>>()
    };
    assert!(!leftovers().is_empty());
    let patience = Instant::now() + Duration::from_secs(60);
    while !leftovers().is_empty() {
        assert!(Instant::now() < patience, "{:?}", leftovers());
        instance.storage.idle();
        std::thread::sleep(Duration::from_millis(100));
    }
    let known = instance.summary(&posts);
    instance.reopen();
    assert_eq!(instance.summary(&posts).summary, known.summary);
    assert_is_up_to_date(&instance, &posts, "a restart");
}

#[test]
fn readers_and_writers_at_once_all_get_right_answers() {
    let target = Instance::small();
    let (token, posts) = (target.grant(), items("posts"));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (target, token, posts) = (&target, &token, &posts);
            scope.spawn(move || {
                for number in 0..30 {
                    let id = format!("{thread}-{number}");
                    let text = format!(r#"{{"_id":"{id}"}}"#);
                    let written = target.write(token, posts, vec![document(&id, None, text.as_bytes())]);
                    assert_eq!(written, [WriteOutcome::Created]);
                    let difference = target.diff(posts, &[(id.clone(), hash_of(posts, text.as_bytes()))]);
                    assert_eq!(difference, [Difference::Written(Wrote::Created)]);
                }
            });
        }
        let (target, posts) = (&target, &posts);
        scope.spawn(move || {
            for number in 0..30 {
                let id = &target.made().posts[number];
                instances::edit_item(&target.root, "posts", id, |item| item["title"] = json!(number)).unwrap();
                target.list(posts);
                target.summary(posts);
            }
        });
    });
    assert_eq!(target.summary(&posts).summary, recounted(&target, &posts));
    assert_eq!(target.summary(&posts).summary, fresh_look(&target, &posts).1.summary);
}

/// Pages end where the next document does not fit, long before they hold as many as they may.
#[test]
fn documents_too_large_to_share_pages_evenly_are_all_listed_once() {
    let shape = instances::Shape { posts: 700, body_bytes: 4000, ..instances::Shape::small() };
    let instance = Instance::of(&shape);
    let posts = items("posts");
    for _ in ["indexed while listed", "indexed before"] {
        let (mut identities, mut pages, mut next) = (Vec::new(), 0, Some(0));
        while let Some(from_row) = next {
            let request = ListRequest {
                collection: posts.clone(),
                selection: Default::default(),
                from_row,
                to_row: None,
                documents: true,
            };
            let listing = instance.storage.list(&request).unwrap();
            assert!(!listing.entries.is_empty(), "an empty page at row {from_row}");
            identities.extend(listing.entries.into_iter().map(|entry| entry.identity));
            next = listing.next_row;
            pages += 1;
        }
        assert_eq!(identities, instance.made().posts);
        assert!(pages > 2, "{pages} pages show nothing");
    }
}
