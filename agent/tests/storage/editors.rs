//! What editors do on the target while a run works.

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
    for saved in [began + 1, began + 100] {
        let editors = save(&target, id, saved);
        assert_eq!(write(Some(editors.hash), "from the run"), [WriteOutcome::Conflict(Some(editors.hash))], "{saved}");
        assert_eq!(target.document(&posts, id).unwrap().hash, editors.hash);
    }
    // Saved before, in the same second, or at a time that has not come: written.
    for (number, saved) in [began - 1, began, began + 101].into_iter().enumerate() {
        let before = save(&target, id, saved);
        assert_eq!(write(Some(before.hash), &format!("run {number}")), [WriteOutcome::Updated], "{saved}");
    }
}

#[test]
fn a_run_may_write_again_what_it_wrote_itself() {
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
    assert_eq!(later, [WriteOutcome::Conflict(Some(second))]);
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
    let editors = saved_at(began + 1, "an editor's");
    assert_eq!(write(&editors), [WriteOutcome::Conflict(Some(editors.hash))]);
    let old = saved_at(began, "old");
    assert_eq!(write(&old), [WriteOutcome::Updated]);
}
