//! Undo: byte by byte what was there before, however often, and nothing of what others did since.

use std::collections::BTreeMap;
use std::path::Path;

use instances::Stored;
use protocol::api::*;
use protocol::mirror::SignedOrder;
use serde_json::json;

use crate::support::*;

fn bytes(root: &Path) -> Stored {
    Stored::of(root).unwrap()
}

fn begin(instance: &Instance, run: &str) -> String {
    instance.storage.open_grant(&grant_request(&format!("grant of {run}"), "redis-1", run)).unwrap().token
}

fn end(instance: &Instance, run: &str) {
    let which = CloseWhich::Run(run.into());
    instance.storage.close_grant(&CloseGrant { which, reason: "the run is over".into() }).unwrap();
}

/// The order in which a run undoes.
fn steps(instance: &Instance, run: &str) -> Vec<(String, UndoPart)> {
    let receipt = instance.storage.receipt(&ReceiptRequest { run: run.into() }).unwrap().receipt.unwrap();
    let names: Vec<String> = receipt.collections.into_keys().collect();
    let back = names.iter().rev().map(|name| (name.clone(), UndoPart::PutBack));
    // Items go before their models, rows before their files.
    let mut last = names.clone();
    last.sort_by_key(|name| (name == "content/models", name == ASSET_FILES));
    back.chain(last.into_iter().map(|name| (name, UndoPart::Remove))).collect()
}

/// Undoes all of a run; what came of it.
fn undo(instance: &Instance, token: &str, run: &str) -> Undone {
    let mut total = Undone::default();
    for (collection, part) in steps(instance, run) {
        let mut after = None;
        loop {
            let request = UndoRequest {
                token: token.into(),
                run: run.into(),
                collection: collection.clone(),
                part,
                override_locks: false,
                after,
                // Approvals are looked at before a request gets to the storage.
                order: SignedOrder::default(),
            };
            let page = instance.storage.undo(&request).unwrap();
            total.created += page.created;
            total.updated += page.updated;
            total.deleted += page.deleted;
            total.unchanged += page.unchanged;
            total.conflicts.extend(page.conflicts);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    total
}

fn undo_as(instance: &Instance, by: &str, run: &str) -> Undone {
    let token = begin(instance, by);
    let undone = undo(instance, &token, run);
    end(instance, by);
    undone
}

fn plan(instance: &Instance, run: &str, collection: &str) -> UndoPlan {
    let request = UndoPlanRequest { run: run.into(), collection: collection.into(), after: None };
    instance.storage.plan_undo(&request).unwrap()
}

fn other() -> instances::Shape {
    instances::Shape { posts: 80, seed: 7, ..instances::Shape::small() }
}

/// A target with content of its own, some of it under the ids that the source has.
fn overlapping(seed: u64) -> (Instance, Instance) {
    let source = Instance::of(&instances::Shape { seed, ..instances::Shape::small() });
    let target = Instance::of(&instances::Shape { seed, ..instances::Shape::small() });
    instances::change(&source.root, 40.0, seed).unwrap();
    for asset in &target.made().assets[..2] {
        instances::replace_asset_file(&source.root, asset, b"other bytes", instances::Copies::Rewritten).unwrap();
    }
    for id in &target.made().posts[..5] {
        instances::delete_item(&target.root, "posts", id).unwrap();
    }
    (source, target)
}

#[test]
fn undo_gives_back_every_byte_and_undo_of_undo_brings_the_run_back() {
    for (source, target) in [overlapping(3), overlapping(11), (Instance::of(&other()), Instance::small())] {
        let before = bytes(&target.root);
        let token = begin(&target, "run");
        assert!(!target.pull_all(&source, &token).is_empty());
        end(&target, "run");
        let after = bytes(&target.root);
        assert_ne!(after, before);

        let undone = undo_as(&target, "undo", "run");
        assert_eq!(undone.conflicts, [], "{undone:?}");
        assert_eq!(bytes(&target.root), before);
        assert!(undone.updated + undone.deleted > 0);
        for collection in collections() {
            let index = target.summary(&collection).summary;
            assert_eq!(index, recounted(&target, &collection), "{collection}");
        }
        let again = undo_as(&target, "undo of undo", "undo");
        assert_eq!(again.conflicts, [], "{again:?}");
        assert_eq!((again.updated, again.created), (undone.updated, undone.deleted));
        assert_eq!(bytes_without_row_ids(&target.root), without_row_ids(&after));
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 10, failure_persistence: None, ..Default::default() })]

    #[test]
    fn for_random_pairs_of_instances_undo_gives_back_the_bytes(
        source_seed in 0..1000_u64,
        target_seed in 0..1000_u64,
        is_same in proptest::bool::ANY,
        percent in 1..100_u8,
        deleted in proptest::collection::vec(0..40_usize, 0..6),
        doubled in proptest::collection::vec(0..40_usize, 0..4),
        corrupted in proptest::collection::vec(0..40_usize, 0..3),
    ) {
        let seed = if is_same { source_seed } else { target_seed };
        let source = Instance::of(&instances::Shape { seed: source_seed, ..instances::Shape::small() });
        let target = Instance::of(&instances::Shape { seed, ..instances::Shape::small() });
        instances::change(&source.root, f64::from(percent), source_seed).unwrap();
        let (posts, collection) = (&target.made().posts, instances::collection_of("posts"));
        let chosen = |places: &[usize]| places.iter().map(|place| posts[place % posts.len()].clone()).collect::<Vec<_>>();
        for id in chosen(&doubled) {
            let edit = |post: &mut serde_json::Value| post["title"] = json!("the other one");
            instances::duplicate_id(&target.root, &collection, &id, edit).unwrap();
        }
        for id in chosen(&deleted) {
            instances::delete_item(&target.root, "posts", &id).unwrap();
        }
        for id in chosen(&corrupted) {
            // It may be deleted by now.
            let _corrupted = instances::corrupt_row(&target.root, &collection, &id);
        }
        let before = bytes(&target.root);
        let token = begin(&target, "run");
        target.pull_all(&source, &token);
        end(&target, "run");
        let after = bytes(&target.root);
        let undone = undo_as(&target, "undo", "run");
        proptest::prop_assert!(undone.conflicts.is_empty(), "{:?}", undone.conflicts);
        proptest::prop_assert!(bytes(&target.root) == before);
        undo_as(&target, "undo of undo", "undo");
        proptest::prop_assert!(bytes_without_row_ids(&target.root) == without_row_ids(&after));
    }
}

/// What the run had created comes back, under row ids that were free: the same, as nobody wrote in between.
fn bytes_without_row_ids(root: &Path) -> Stored {
    without_row_ids(&bytes(root))
}

fn without_row_ids(bytes: &Stored) -> Stored {
    let mut bytes = bytes.clone();
    for rows in bytes.rows.values_mut() {
        *rows = (0..).zip(std::mem::take(rows).into_values()).collect();
    }
    bytes
}

#[test]
fn a_first_push_into_an_empty_instance_leaves_nothing_when_it_is_undone() {
    let (source, target) = (Instance::small(), Instance::empty());
    let before = bytes(&target.root);
    let token = begin(&target, "run");
    target.pull_all(&source, &token);
    end(&target, "run");
    let undone = undo_as(&target, "undo", "run");
    assert_eq!((undone.conflicts.len(), undone.created, undone.updated), (0, 0, 0));
    assert_eq!(bytes(&target.root), before);
}

#[test]
fn a_plan_says_what_undo_would_do_and_changes_nothing() {
    let (source, target) = overlapping(5);
    let token = begin(&target, "run");
    target.pull_all(&source, &token);
    end(&target, "run");
    let after = bytes(&target.root);
    let posts = plan(&target, "run", "content/collections/posts");
    assert_eq!((posts.remove, posts.same, posts.conflicts.len()), (5, 0, 0));
    assert!(posts.put_back > 0 && posts.bytes > 0);
    assert_eq!(bytes(&target.root), after);
    undo_as(&target, "undo", "run");
    let posts = plan(&target, "run", "content/collections/posts");
    assert_eq!((posts.remove, posts.put_back), (0, 0));
}

#[test]
fn what_was_changed_since_stays_and_is_named() {
    let (source, target) = overlapping(5);
    let made = target.made();
    let read = |id: &String| instances::read_item(&target.root, "posts", id).unwrap();
    let before: Vec<_> = made.posts.iter().map(read).collect();
    let token = begin(&target, "run");
    target.pull_all(&source, &token);
    end(&target, "run");
    let created = made.posts[0].clone();
    let is_updated = |place: &usize| *place >= 5 && read(&made.posts[*place]) != before[*place];
    let mut updated = (0..made.posts.len()).filter(is_updated).map(|place| made.posts[place].clone());
    let (edited, deleted) = (updated.next().unwrap(), updated.next().unwrap());
    for id in [&created, &edited] {
        instances::edit_item(&target.root, "posts", id, |post| post["title"] = json!("the editor's")).unwrap();
    }
    instances::delete_item(&target.root, "posts", &deleted).unwrap();
    let undone = undo_as(&target, "undo", "run");
    // A file that the edited post mentions stays with it.
    let documents = undone.conflicts.iter().filter(|held| !held.identity.starts_with('/'));
    let named: BTreeMap<&str, HeldCause> = documents.map(|held| (held.identity.as_str(), held.cause)).collect();
    let expected = [&created, &edited, &deleted].map(|id| (id.as_str(), HeldCause::ChangedSince));
    assert_eq!(named, BTreeMap::from(expected));
    assert_eq!(read(&created).unwrap()["title"], "the editor's");
    assert_eq!(read(&edited).unwrap()["title"], "the editor's");
    assert_eq!(read(&deleted), None);
}

#[test]
fn what_an_editor_has_open_stays_and_is_named_until_it_is_undone_again() {
    let (source, target) = overlapping(5);
    let before = bytes(&target.root);
    let token = begin(&target, "run");
    target.pull_all(&source, &token);
    end(&target, "run");
    let open = &target.made().posts[0];
    target.open_in_admin(open);
    let held = undo_as(&target, "undo", "run").conflicts.remove(0);
    assert_eq!((held.identity.as_str(), held.cause), (open.as_str(), HeldCause::Locked));
    assert!(instances::read_item(&target.root, "posts", open).unwrap().is_some());
    target.pass_time(std::time::Duration::from_secs(301));
    // With the post goes the file that it mentioned.
    assert!(undo_as(&target, "undo once more", "run").deleted >= 1);
    instances::close_in_admin(&target.root, open).unwrap();
    assert_eq!(bytes(&target.root), before);
}

#[test]
fn a_model_that_has_items_stays_and_so_does_a_file_that_is_mentioned() {
    let (source, target) = (Instance::small(), Instance::empty());
    let token = begin(&target, "run");
    target.pull_all(&source, &token);
    end(&target, "run");
    let asset = source.made().assets[0].clone();
    let row = instances::read_document(&target.root, "assets", &asset).unwrap().unwrap();
    let path = row["path"].as_str().unwrap().to_owned();
    let post = json!({ "title": "an editor's", "image": row, "_id": "0123456789abcdef01234567" });
    instances::insert_document(&target.root, "content/collections/posts", &post).unwrap();
    let undone = undo_as(&target, "undo", "run");
    let mut named: Vec<&str> = undone.conflicts.iter().map(|held| held.identity.as_str()).collect();
    named.sort_unstable();
    assert_eq!(named, [path.as_str(), "posts"]);
    assert!(target.root.join("storage/content/posts.model.php").exists());
    assert!(!target.root.join("storage/content/authors.model.php").exists());
    assert!(instances::uploads(&target.root).join(&path[1..]).exists());
}

#[test]
fn a_file_that_was_replaced_at_its_path_comes_back_with_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let target = Instance::small();
    let row = instances::read_document(&target.root, "assets", &target.made().assets[0]).unwrap().unwrap();
    let path = row["path"].as_str().unwrap().to_owned();
    let file = instances::uploads(&target.root).join(&path[1..]);
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
    let before = bytes(&target.root);
    let token = begin(&target, "run");
    let new = facts(&path, b"other bytes");
    target.upload(&token, &new, 0, b"other bytes");
    target.storage.place_files(&PlaceFilesRequest { token, files: vec![new] }).unwrap();
    end(&target, "run");
    assert_eq!(std::fs::read(&file).unwrap(), b"other bytes");
    assert_eq!(undo_as(&target, "undo", "run").updated, 1);
    assert_eq!(bytes(&target.root), before);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(undo_as(&target, "undo of undo", "undo").updated, 1);
    assert_eq!(std::fs::read(&file).unwrap(), b"other bytes");
    assert_eq!(undo_as(&target, "the third", "undo of undo").updated, 1);
    assert_eq!(bytes(&target.root), before);
}

#[test]
fn an_undo_that_is_done_twice_or_after_a_restart_counts_and_changes_the_same() {
    let (source, mut target) = overlapping(9);
    let before = bytes(&target.root);
    let token = begin(&target, "run");
    target.pull_all(&source, &token);
    end(&target, "run");
    let token = begin(&target, "undo");
    let first = undo(&target, &token, "run");
    assert_eq!(bytes(&target.root), before);
    assert_eq!(undo(&target, &token, "run"), Undone { bytes: 0, ..first.clone() });
    target.reopen();
    // As after a power failure: nothing is known of the rows any more.
    target.storage.close();
    std::fs::remove_file(target.root.join("storage/cockpit-sync/index.db")).unwrap();
    target.reopen();
    assert_eq!(undo(&target, &token, "run"), Undone { bytes: 0, ..first });
    assert_eq!(bytes(&target.root), before);
}

/// Kept, and then the power failed before the content was committed: what is there is what was there before.
#[test]
fn what_was_kept_for_a_write_that_never_landed_is_as_before() {
    let mut target = Instance::small();
    let (posts, id) = (items("posts"), target.made().posts[0].clone());
    let before = bytes(&target.root);
    let token = begin(&target, "run");
    let seen = target.document(&posts, &id).unwrap();
    target.write(&token, &posts, vec![document(&id, Some(seen.hash), &changed(&seen, "title", "new"))]);
    target.write(&token, &posts, vec![document("new-one", None, br#"{"title":"x","_id":"new-one"}"#)]);
    target.storage.close();
    let connection = rusqlite::Connection::open(instances::data_file(&target.root, "content.sqlite")).unwrap();
    let old = String::from_utf8(seen.document.unwrap()).unwrap();
    let sql = "UPDATE collections_posts SET document = ?1 WHERE json_extract(document, '$._id') = ?2";
    connection.execute(sql, (&old, &id)).unwrap();
    connection.execute("DELETE FROM collections_posts WHERE document LIKE '%new-one%'", []).unwrap();
    drop(connection);
    target.reopen();
    end(&target, "run");
    let undone = undo_as(&target, "undo", "run");
    assert_eq!((undone.unchanged, undone.updated + undone.deleted, undone.conflicts.len()), (2, 0, 0));
    assert_eq!(bytes(&target.root), before);
}

#[test]
fn nothing_is_undone_without_the_grant_of_a_run_that_is_not_over_or_whose_images_are_gone() {
    let target = Instance::small();
    let (posts, id) = (items("posts"), target.made().posts[0].clone());
    let token = begin(&target, "run");
    let seen = target.document(&posts, &id).unwrap();
    target.write(&token, &posts, vec![document(&id, Some(seen.hash), &changed(&seen, "title", "new"))]);
    let after = bytes(&target.root);
    let request = |token: &str, run: &str| UndoRequest {
        token: token.into(),
        run: run.into(),
        collection: posts.name(),
        part: UndoPart::PutBack,
        override_locks: false,
        after: None,
        order: SignedOrder::default(),
    };
    let error = |request: UndoRequest| target.storage.undo(&request).unwrap_err();
    assert!(error(request(&token, "run")).message.contains("it is not over"));
    end(&target, "run");
    assert_eq!(error(request(&token, "run")).code, ErrorCode::GrantLost);
    let token = begin(&target, "undo");
    assert!(error(request(&token, "another")).message.contains("remembers no such run"));
    end(&target, "undo");
    target.pass_time(std::time::Duration::from_secs(8 * 24 * 3600));
    target.storage.idle();
    let token = begin(&target, "late");
    assert!(error(request(&token, "run")).message.contains("undo_days"));
    assert_eq!(bytes(&target.root), after);
}
