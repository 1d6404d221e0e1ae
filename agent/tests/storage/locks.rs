//! What editors have open in Cockpit's admin.

use protocol::api::*;
use protocol::collection::Collection;
use serde_json::{Value, json};

use crate::support::*;

fn lock(instance: &Instance, resource: &str, time: i64) {
    instances::open_in_admin(&instance.root, resource, time).unwrap();
}

fn add_option(instance: &Instance, option: &Value) {
    instances::insert_document(&instance.root, "app/options", option).unwrap();
}

fn write(instance: &Instance, token: &str, documents: &[WriteDocument], override_locks: bool) -> Vec<WriteOutcome> {
    write_into(instance, token, &posts(), documents, override_locks)
}

fn write_into(
    instance: &Instance,
    token: &str,
    collection: &Collection,
    documents: &[WriteDocument],
    override_locks: bool,
) -> Vec<WriteOutcome> {
    let (token, collection, documents) = (token.into(), collection.clone(), documents.to_vec());
    let request = WriteRequest { token, collection, modified: Some(1_800_000_000), override_locks, documents };
    instance.storage.write(&request).unwrap().outcomes
}

fn posts() -> Collection {
    Collection::Items("posts".into())
}

/// A change of each of these.
fn changes(instance: &Instance, collection: &Collection, identities: &[&str], field: &str) -> Vec<WriteDocument> {
    let change = |identity: &&str| {
        let seen = instance.document(collection, identity).unwrap();
        document(identity, Some(seen.hash), &changed(&seen, field, "Changed by a run"))
    };
    identities.iter().map(change).collect()
}

#[test]
fn what_an_editor_has_open_is_held_naming_who_and_since_when_and_the_rest_is_written() {
    let target = Instance::small();
    let token = target.grant();
    let [open, free] = [&target.made().posts[0], &target.made().posts[1]];
    lock(&target, open, target.now() - 20);
    let changes = changes(&target, &posts(), &[open, free], "title");
    let outcomes = write(&target, &token, &changes, false);
    let WriteOutcome::Held { cause: HeldCause::Locked, message } = &outcomes[0] else { panic!("{outcomes:?}") };
    assert!(message.contains("Anna <anna@example.com>") && message.contains("since 20 s"), "{message}");
    assert_eq!(outcomes[1], WriteOutcome::Updated);
    assert_ne!(instances::read_item(&target.root, "posts", open).unwrap().unwrap()["title"], "Changed by a run");

    assert_eq!(write(&target, &token, &changes, true), [WriteOutcome::Updated, WriteOutcome::Unchanged]);
    // Who asks again after a crash is not told that it was not written.
    assert_eq!(write(&target, &token, &changes, false), [WriteOutcome::Unchanged, WriteOutcome::Unchanged]);
    assert_eq!(instances::count(&target.root, "app/options").unwrap(), 1, "Cockpit's own rows are not touched");
}

#[test]
fn a_lock_holds_five_minutes_as_in_cockpit() {
    let target = Instance::small();
    let token = target.grant();
    let ids: Vec<&str> = target.made().posts[..2].iter().map(String::as_str).collect();
    lock(&target, ids[0], target.now() - 295);
    lock(&target, ids[1], target.now() - 302);
    let outcomes = write(&target, &token, &changes(&target, &posts(), &ids, "title"), false);
    assert!(matches!(outcomes[0], WriteOutcome::Held { cause: HeldCause::Locked, .. }), "{outcomes:?}");
    assert_eq!(outcomes[1], WriteOutcome::Updated);
}

#[test]
fn a_singleton_is_locked_by_the_name_of_its_model() {
    let target = Instance::small();
    let token = target.grant();
    lock(&target, "content:singleton:settings", target.now());
    let changes = changes(&target, &Collection::Singletons, &["settings"], "siteName");
    let outcomes = write_into(&target, &token, &Collection::Singletons, &changes, false);
    assert!(matches!(outcomes[0], WriteOutcome::Held { cause: HeldCause::Locked, .. }), "{outcomes:?}");
    let outcomes = write_into(&target, &token, &Collection::Singletons, &changes, true);
    assert_eq!(outcomes, [WriteOutcome::Updated]);
}

#[test]
fn other_options_and_locks_without_a_user_are_no_trouble() {
    let target = Instance::small();
    let token = target.grant();
    let ids: Vec<&str> = target.made().posts[..2].iter().map(String::as_str).collect();
    add_option(&target, &json!({"key": "an add-on's", "val": "locked:nothing"}));
    add_option(&target, &json!({"key": format!("locked:{}", ids[1]), "val": false}));
    instances::insert_raw(&target.root, "app/options", "{\"key\":\"locked:").unwrap();
    // `updateLockedResourceId` leaves out who it is.
    add_option(&target, &json!({"key": format!("locked:{}", ids[0]), "val": {"time": target.now(), "_updated": 1}}));
    let outcomes = write(&target, &token, &changes(&target, &posts(), &ids, "title"), false);
    let WriteOutcome::Held { cause: HeldCause::Locked, message } = &outcomes[0] else { panic!("{outcomes:?}") };
    assert!(message.contains("an editor has it open"), "{message}");
    assert_eq!(outcomes[1], WriteOutcome::Updated);
}
