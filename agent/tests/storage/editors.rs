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
    target.pass_time(Duration::from_secs(1));
    let token = target.grant();
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
        target.list(&posts);
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
    let seen = target.document(&Collection::Models, "posts").unwrap();
    target.write(
        &token,
        &Collection::Models,
        vec![document("posts", Some(seen.hash), &changed(&seen, "label", "from the run"))],
    );
    let asked = ["posts", "authors", "nothing"];
    said(&target, &Collection::Models, &asked);
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
    target.list(&posts);
    target.grant();
    instances::delete_item(&target.root, "posts", &target.made().posts[0]).unwrap();
    assert_eq!(said(&target, &posts, &[&target.made().posts[0]]), [Difference::Deleted]);
    target.pass_time(Duration::from_secs(60));
    target.storage.open_grant(&grant_request("grant-2", "redis-1", RUN)).unwrap();
    assert_eq!(said(&target, &posts, &[&target.made().posts[0]]), [Difference::Deleted]);
    target.storage.open_grant(&grant_request("grant-3", "redis-1", "next run")).unwrap();
    assert_eq!(said(&target, &posts, &[&target.made().posts[0]]), [Difference::Lacks]);
}
