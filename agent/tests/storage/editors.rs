//! What editors do on the target while a run works.

use std::time::Duration;

use protocol::api::*;
use protocol::canonical::DocHash;
use protocol::collection::Collection;
use serde_json::json;

use crate::support::*;

/// Saves a post at a time, as an editor does, and says what is there then.
fn save(target: &Instance, id: &str, modified: i64) -> Entry {
    instances::edit_item(&target.root, "posts", id, |item| {
        item["title"] = json!(format!("saved at {modified}"));
        item["_modified"] = json!(modified);
    })
    .unwrap();
    target.document(&items("posts"), id).unwrap()
}

#[test]
fn what_was_saved_on_the_target_after_the_run_began_is_not_overwritten_whatever_the_run_expects() {
    let target = Instance::small();
    let (token, posts, began) = (target.grant(), items("posts"), target.now() - 100);
    let id = &target.made().posts[0];
    // Saved before the run looked at it for the first time: the hash alone tells nothing.
    let write = |expect: Option<DocHash>, text: &str| {
        let seen = target.document(&posts, id).unwrap();
        target
            .write_modified(&token, &posts, began, vec![document(id, expect, &changed(&seen, "title", text))])
            .unwrap()
    };
    for saved in [began, began + 1, began + 100] {
        let editors = save(&target, id, saved);
        assert_eq!(write(Some(editors.hash), "from the run"), [WriteOutcome::Conflict(Some(editors.hash))], "{saved}");
        assert_eq!(target.document(&posts, id).unwrap().hash, editors.hash);
    }
    // Saved before, or at a time that has not come: written.
    for (number, saved) in [began - 1, began + 101].into_iter().enumerate() {
        let before = save(&target, id, saved);
        assert_eq!(write(Some(before.hash), &format!("run {number}")), [WriteOutcome::Updated], "{saved}");
    }
}

#[test]
fn what_a_run_wrote_is_no_editors_work_for_it_nor_for_a_run_that_waited_meanwhile() {
    let target = Instance::small();
    let (token, posts, began) = (target.grant(), items("posts"), target.now() - 100);
    let write = |modified: i64, expect: Option<DocHash>, title: &str| {
        let text = format!(r#"{{"title":"{title}","_modified":1,"_id":"x"}}"#);
        let outcome =
            target.write_modified(&token, &posts, modified, vec![document("x", expect, text.as_bytes())]).unwrap();
        (outcome, hash_of(&posts, text.as_bytes()))
    };
    let (outcome, first) = write(began + 50, None, "first");
    assert_eq!(outcome, [WriteOutcome::Created]);
    let (outcome, _) = write(began, Some(first), "second");
    assert_eq!(outcome, [WriteOutcome::Updated]);
    let second = target.document(&posts, "x").unwrap().hash;
    let other = target.storage.open_grant(&grant_request("grant-2", "redis-1", "another run")).unwrap().token;
    let text = br#"{"title":"third","_id":"x"}"#;
    let later = target.write_modified(&other, &posts, began - 1, vec![document("x", Some(second), text)]).unwrap();
    assert_eq!(later, [WriteOutcome::Updated]);
}

#[test]
fn a_model_that_was_changed_after_the_run_began_is_not_overwritten() {
    let target = Instance::small();
    let (token, began) = (target.grant(), target.now() - 100);
    let seen = target.document(&Collection::Models, "posts").unwrap();
    let saved_at = |modified: i64, label: &str| {
        let mut model = parsed(&seen);
        model["_modified"] = json!(modified);
        model["label"] = json!(label);
        let file = target.root.join("storage/content/posts.model.php");
        std::fs::write(file, instances::model_file(&model)).unwrap();
        target.document(&Collection::Models, "posts").unwrap()
    };
    let write = |expect: &Entry| {
        let documents = vec![document("posts", Some(expect.hash), &changed(&seen, "label", "from the run"))];
        target.write_modified(&token, &Collection::Models, began, documents).unwrap()
    };
    let editors = saved_at(began, "an editor's");
    assert_eq!(write(&editors), [WriteOutcome::Conflict(Some(editors.hash))]);
    let old = saved_at(began - 1, "old");
    assert_eq!(write(&old), [WriteOutcome::Updated]);
}

#[test]
fn what_was_stored_after_the_run_first_looked_is_an_editors_work_whatever_its_time_says() {
    for noticed_by in ["a write", "a diff", "a summary", "a restart"] {
        let mut target = Instance::small();
        let (token, posts, began) = (target.grant(), items("posts"), target.now());
        let ids = target.made().posts.clone();
        // Known from some time ago and changed since, unnoticed: that was before the run.
        target.list(&posts);
        let old = save(&target, &ids[0], began - 1000);
        save(&target, &ids[1], began - 1000);
        target.look(&posts, RUN);
        let editors = save(&target, &ids[1], began - 999);
        match noticed_by {
            "a diff" => drop(target.diff(&posts, &[(ids[1].clone(), old.hash)])),
            "a summary" => drop(target.summary(&posts)),
            "a restart" => target.reopen(),
            _ => {}
        }
        let write = |id: &str, expect: DocHash| {
            let text = format!(r#"{{"_id":"{id}","title":"from the run"}}"#);
            target.write_modified(&token, &posts, began, vec![document(id, Some(expect), text.as_bytes())]).unwrap()
        };
        assert_eq!(write(&ids[1], editors.hash), [WriteOutcome::Conflict(Some(editors.hash))], "{noticed_by}");
        assert_eq!(write(&ids[0], old.hash), [WriteOutcome::Updated], "{noticed_by}");
        let other = DocHash([7; 16]);
        let asked = [&ids[0], &ids[1], &ids[2]].map(|id| (id.clone(), other));
        let differences = target.diff(&posts, &asked);
        assert!(matches!(differences[0], Difference::Differs(_)), "the run wrote it: {differences:?}");
        assert_eq!(differences[1], Difference::Changed(editors.hash), "{noticed_by}");
        assert!(matches!(differences[2], Difference::Differs(_)), "nobody touched it: {differences:?}");
        let changed = [&ids[0], &ids[1], &ids[2]].map(|id| target.is_changed(&posts, id));
        assert_eq!(changed, [false, true, false], "{noticed_by}");
        // For a run that looks now it is what was there.
        target.look(&posts, "next run");
        let request = DiffRequest {
            collection: posts.clone(),
            run: "next run".into(),
            entries: asked.into(),
            source: None,
            agree: false,
        };
        let differences = target.storage.diff(&request).unwrap().differences;
        assert!(differences.iter().all(|difference| matches!(difference, Difference::Differs(_))), "{differences:?}");
    }
}

#[test]
fn the_first_look_of_a_run_counts_until_a_day_has_passed() {
    let target = Instance::small();
    let posts = items("posts");
    let id = target.made().posts[0].clone();
    target.look(&posts, RUN);
    save(&target, &id, 1);
    target.look(&posts, RUN);
    assert!(target.is_changed(&posts, &id), "asking again begins nothing anew");
    target.pass_time(Duration::from_secs(25 * 3600));
    target.storage.idle();
    assert!(!target.is_changed(&posts, &id));
}

#[test]
fn a_document_whose_asset_was_changed_counts_as_changed() {
    let source = Instance::small();
    let posts = items("posts");
    let with_asset = |instance: &Instance| {
        let all = instance.list(&posts).entries;
        let embeds = |id: &String| {
            let text = instance.document(&posts, id).unwrap().document.unwrap();
            let text = String::from_utf8(text).unwrap();
            instance.made().assets.iter().find(|asset| text.contains(asset.as_str())).cloned()
        };
        all.into_iter().find_map(|entry| embeds(&entry.identity).map(|asset| (entry.identity, asset))).unwrap()
    };
    let (post, asset) = with_asset(&source);
    source.look(&posts, RUN);
    assert!(!source.is_changed(&posts, &post));
    instances::edit_document(&source.root, "assets", &asset, |row| row["title"] = json!("another one")).unwrap();
    assert!(source.is_changed(&posts, &post));
}

#[test]
fn a_model_that_was_stored_after_the_run_first_looked_is_an_editors_work_whatever_its_time_says() {
    let target = Instance::small();
    let (token, began) = (target.grant(), target.now());
    let saved = |label: &str| {
        let mut model = parsed(&target.document(&Collection::Models, "posts").unwrap());
        model["_modified"] = json!(began - 1000);
        model["label"] = json!(label);
        std::fs::write(target.root.join("storage/content/posts.model.php"), instances::model_file(&model)).unwrap();
        target.document(&Collection::Models, "posts").unwrap()
    };
    saved("before");
    target.look(&Collection::Models, RUN);
    assert!(!target.is_changed(&Collection::Models, "posts"));
    let editors = saved("after");
    assert!(target.is_changed(&Collection::Models, "posts"));
    let changes = changed(&editors, "label", "from the run");
    let documents = vec![document("posts", Some(editors.hash), &changes)];
    let written = target.write_modified(&token, &Collection::Models, began, documents).unwrap();
    assert_eq!(written, [WriteOutcome::Conflict(Some(editors.hash))]);
    let asked = [("posts".to_owned(), DocHash([7; 16]))];
    assert_eq!(target.diff(&Collection::Models, &asked), [Difference::Changed(editors.hash)]);
}

/// What a diff says of documents that are not there.
fn said(target: &Instance, collection: &Collection, identities: &[&str]) -> Vec<Difference> {
    let wanted = DocHash([7; 16]);
    target.diff(collection, &identities.iter().map(|id| ((*id).to_owned(), wanted)).collect::<Vec<_>>())
}

#[test]
fn a_document_that_somebody_deletes_while_the_run_works_is_not_simply_lacking() {
    let mut target = Instance::small();
    let posts = items("posts");
    let ids = target.made().posts.clone();
    // Noticed before the run: it was gone when the run began.
    target.summary(&posts);
    instances::delete_item(&target.root, "posts", &ids[0]).unwrap();
    assert_eq!(said(&target, &posts, &[&ids[0]]), [Difference::Lacks]);
    let token = target.grant();
    target.look(&posts, RUN);
    let seen = target.document(&posts, &ids[1]).unwrap();
    target.write(&token, &posts, vec![document(&ids[1], Some(seen.hash), &changed(&seen, "title", "new"))]);
    target.write(&token, &posts, vec![document("new", None, br#"{"_id":"new"}"#)]);
    for id in [&ids[1], &ids[2], "new"] {
        instances::delete_item(&target.root, "posts", id).unwrap();
    }
    let asked = [&ids[0], &ids[1], &ids[2], "new", "never-there"];
    let expected = [
        Difference::Lacks,
        Difference::Edited(Wrote::Updated),
        Difference::Deleted,
        Difference::Edited(Wrote::Created),
        Difference::Lacks,
    ];
    assert_eq!(said(&target, &posts, &asked), expected);
    target.summary(&posts);
    assert_eq!(said(&target, &posts, &asked), expected, "after the table was read as a whole");
    target.reopen();
    assert_eq!(said(&target, &posts, &asked), expected, "after a restart");
    let request = DiffRequest {
        collection: posts.clone(),
        run: "another run".into(),
        entries: vec![(ids[1].clone(), seen.hash), (ids[2].clone(), seen.hash)],
        source: None,
        agree: false,
    };
    assert_eq!(target.storage.diff(&request).unwrap().differences, [Difference::Lacks, Difference::Lacks]);
    // It comes back, and goes once more.
    let text = json!({"_id": ids[1]});
    instances::insert_document(&target.root, "content/collections/posts", &text).unwrap();
    let hash = hash_of(&posts, text.to_string().as_bytes());
    assert_eq!(target.diff(&posts, &[(ids[1].clone(), hash)]), [Difference::Same]);
    instances::delete_item(&target.root, "posts", &ids[1]).unwrap();
    assert_eq!(said(&target, &posts, &[&ids[1]]), [Difference::Deleted]);
    // A day later nobody remembers.
    target.pass_time(Duration::from_secs(25 * 3600));
    target.storage.idle();
    assert_eq!(said(&target, &posts, &[&ids[2], "new"]), [Difference::Lacks, Difference::Lacks]);
}

#[test]
fn what_was_deleted_is_known_however_it_is_noticed() {
    for notice in ["a write", "a listing", "a question for it"] {
        let target = Instance::small();
        let posts = items("posts");
        let id = &target.made().posts[3];
        target.look(&posts, RUN);
        let token = target.grant();
        instances::delete_item(&target.root, "posts", id).unwrap();
        match notice {
            "a write" => {
                let text = format!(r#"{{"_id":"{id}"}}"#);
                let written = document(id, Some(DocHash([1; 16])), text.as_bytes());
                assert_eq!(target.write(&token, &posts, vec![written]), [WriteOutcome::Conflict(None)]);
            }
            "a listing" => drop(target.list(&posts)),
            _ => assert!(target.document(&posts, id).is_none()),
        }
        assert_eq!(said(&target, &posts, &[id]), [Difference::Deleted], "{notice}");
    }
}

#[test]
fn a_model_that_somebody_deletes_while_the_run_works_is_not_simply_lacking() {
    let target = Instance::small();
    let token = target.grant();
    target.look(&Collection::Models, RUN);
    let seen = target.document(&Collection::Models, "posts").unwrap();
    target.write(
        &token,
        &Collection::Models,
        vec![document("posts", Some(seen.hash), &changed(&seen, "label", "from the run"))],
    );
    let asked = ["posts", "authors", "nothing"];
    for name in ["posts", "authors"] {
        std::fs::remove_file(target.root.join(format!("storage/content/{name}.model.php"))).unwrap();
    }
    let expected = [Difference::Edited(Wrote::Updated), Difference::Deleted, Difference::Lacks];
    for _ in 0..2 {
        assert_eq!(said(&target, &Collection::Models, &asked), expected);
    }
}

#[test]
fn a_run_keeps_its_beginning_when_its_grant_is_opened_anew() {
    let target = Instance::small();
    let posts = items("posts");
    target.grant();
    target.look(&posts, RUN);
    instances::delete_item(&target.root, "posts", &target.made().posts[0]).unwrap();
    assert_eq!(said(&target, &posts, &[&target.made().posts[0]]), [Difference::Deleted]);
    target.pass_time(Duration::from_secs(60));
    target.storage.open_grant(&grant_request("grant-2", "redis-1", RUN)).unwrap();
    target.look(&posts, RUN);
    assert_eq!(said(&target, &posts, &[&target.made().posts[0]]), [Difference::Deleted]);
    target.look(&posts, "next run");
    let entries = vec![(target.made().posts[0].clone(), DocHash([7; 16]))];
    let request = DiffRequest { collection: posts, run: "next run".into(), entries, source: None, agree: false };
    assert_eq!(target.storage.diff(&request).unwrap().differences, [Difference::Lacks]);
}

#[test]
fn a_run_is_told_whether_it_looks_at_a_collection_for_the_first_time() {
    let target = Instance::small();
    for collection in [Collection::Models, Collection::Folders, Collection::Assets, items("posts")] {
        for run in [RUN, "next run"] {
            assert!(target.look(&collection, run), "{collection}");
            assert!(!target.look(&collection, run), "{collection}");
        }
    }
}
