//! Model definitions: PHP files, and what Cockpit caches of them.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use protocol::api::*;
use protocol::collection::Collection;
use serde_json::{Value, json};

use crate::support::*;

fn cached(instance: &Instance, key: &str) -> Option<Value> {
    let path = instances::data_file(&instance.root, "app.memory.sqlite");
    if !path.exists() {
        return None;
    }
    let connection = rusqlite::Connection::open(path).unwrap();
    let text: Option<String> =
        connection.query_row("SELECT keyval FROM redislite WHERE key = ?1", [key], |row| row.get(0)).ok();
    text.map(|text| serde_json::from_str(&text).unwrap())
}

fn cached_instance() -> Instance {
    Instance::of(&instances::Shape { cached: true, ..instances::Shape::small() })
}

#[test]
fn a_model_is_written_as_php_and_into_the_cache_that_is_there() {
    let target = cached_instance();
    let token = target.grant();
    assert!(cached(&target, "content.models").unwrap()["posts"].is_object());
    let file = target.root.join("storage/content/posts.model.php");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o664)).unwrap();
    let seen = target.document(&Collection::Models, "posts").unwrap();
    let news = json!({"name": "news", "label": "News's", "type": "collection", "fields": [], "meta": null, "x": 1.5});
    let outcomes = target.write(
        &token,
        &Collection::Models,
        vec![
            document("posts", Some(seen.hash), &changed(&seen, "label", "Changed")),
            document("news", None, news.to_string().as_bytes()),
        ],
    );
    assert_eq!(outcomes, [WriteOutcome::Updated, WriteOutcome::Created]);
    let models = cached(&target, "content.models").unwrap();
    assert_eq!((&models["posts"]["label"], &models["news"]["label"]), (&json!("Changed"), &json!("News's")));
    assert_eq!(models["news"]["_modified"], 1_800_000_000);
    assert!(models["authors"].is_object());
    let names: Vec<_> = models.as_object().unwrap().keys().cloned().collect();
    assert!(names.is_sorted(), "{names:?}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o664);
    let source = std::fs::read_to_string(target.root.join("storage/content/news.model.php")).unwrap();
    assert!(source.starts_with("<?php") && source.contains("'News\\'s'"), "{source}");
    // It can be read again, and is what was written.
    let now = target.document(&Collection::Models, "news").unwrap();
    assert_eq!(now.hash, hash_of(&Collection::Models, news.to_string().as_bytes()));
    let leftovers = std::fs::read_dir(target.root.join("storage/content")).unwrap();
    assert!(leftovers.into_iter().all(|entry| !entry.unwrap().file_name().to_string_lossy().starts_with('.')));
}

#[test]
fn a_model_is_put_into_the_cache_once_more_because_of_the_opcache() {
    let target = cached_instance();
    let token = target.grant();
    let seen = target.document(&Collection::Models, "posts").unwrap();
    target.write(
        &token,
        &Collection::Models,
        vec![document("posts", Some(seen.hash), &changed(&seen, "label", "Changed"))],
    );
    // Cockpit was told to flush its cache, and built it anew from what the opcache still had.
    let path = instances::data_file(&target.root, "app.memory.sqlite");
    let stale = json!({"posts": {"name": "posts", "label": "stale"}}).to_string();
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute("UPDATE redislite SET keyval = ?1 WHERE key = 'content.models'", [stale]).unwrap();
    let patience = Instant::now() + Duration::from_secs(60);
    while cached(&target, "content.models").unwrap()["posts"]["label"] != "Changed" {
        assert!(Instant::now() < patience);
        target.storage.idle();
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn without_a_cached_value_a_whole_one_is_made_that_expires() {
    let target = Instance::of(&instances::Shape { cached: false, ..instances::Shape::small() });
    let token = target.grant();
    let seen = target.document(&Collection::Models, "posts").unwrap();
    let new = document("posts", Some(seen.hash), &changed(&seen, "label", "Changed"));
    assert_eq!(target.write(&token, &Collection::Models, vec![new]), [WriteOutcome::Updated]);
    // Cockpit would build it from what the opcache still has of the old file, and keep that for good.
    let models = cached(&target, "content.models").unwrap();
    assert_eq!(models["posts"]["label"], "Changed");
    let files = std::fs::read_dir(target.root.join("storage/content")).unwrap().count();
    assert_eq!(models.as_object().unwrap().len(), files);
    let connection = rusqlite::Connection::open(instances::data_file(&target.root, "app.memory.sqlite")).unwrap();
    let sql = "SELECT expires_at - unixepoch() FROM redislite WHERE key = 'content.models'";
    let left: i64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    assert!(left <= 6, "{left}");
}

#[test]
fn no_cached_value_is_made_where_a_model_file_computes() {
    let target = Instance::of(&instances::Shape { cached: false, ..instances::Shape::small() });
    let token = target.grant();
    let seen = target.document(&Collection::Models, "posts").unwrap();
    std::fs::write(target.root.join("storage/content/x.model.php"), "<?php return ['name' => trim('x')];").unwrap();
    let new = document("posts", Some(seen.hash), &changed(&seen, "label", "Changed"));
    assert_eq!(target.write(&token, &Collection::Models, vec![new]), [WriteOutcome::Updated]);
    assert_eq!(cached(&target, "content.models"), None);
}

#[test]
fn written_locales_are_read_anew_by_cockpit() {
    let target = cached_instance();
    let token = target.grant();
    assert!(cached(&target, "app.locales").is_some());
    let text = br#"{"i18n":"pl","name":"Polski","enabled":true,"_id":"x"}"#;
    assert_eq!(target.write(&token, &Collection::Locales, vec![document("pl", None, text)]), [WriteOutcome::Created]);
    assert_eq!(cached(&target, "app.locales"), None);
}

#[test]
fn a_model_lands_only_on_what_the_run_saw_and_a_replay_changes_nothing() {
    let target = Instance::small();
    let token = target.grant();
    let seen = target.document(&Collection::Models, "posts").unwrap();
    let new = changed(&seen, "label", "new");
    let unseen = hash_of(&Collection::Models, br#"{"name":"posts"}"#);
    let write = |expect| target.write(&token, &Collection::Models, vec![document("posts", expect, &new)]);
    assert_eq!(write(None), [WriteOutcome::Conflict(Some(seen.hash))]);
    assert_eq!(write(Some(unseen)), [WriteOutcome::Conflict(Some(seen.hash))]);
    assert_eq!(write(Some(seen.hash)), [WriteOutcome::Updated]);
    let file = target.root.join("storage/content/posts.model.php");
    let before = std::fs::metadata(&file).unwrap().modified().unwrap();
    assert_eq!(write(Some(seen.hash)), [WriteOutcome::Unchanged]);
    assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), before);
    let entry = ("posts".to_owned(), hash_of(&Collection::Models, &new));
    assert_eq!(target.diff(&Collection::Models, &[entry]), [Difference::Written(Wrote::Updated)]);
}

#[test]
fn a_model_file_that_computes_is_named_and_never_replaced() {
    let target = Instance::small();
    let token = target.grant();
    let file = target.root.join("storage/content/posts.model.php");
    let source = "<?php return ['name' => 'posts', 'label' => strtoupper('x')];";
    std::fs::write(&file, source).unwrap();
    let listing = target.list(&Collection::Models);
    assert_eq!(listing.held.len(), 1);
    assert_eq!(listing.held[0].identity, "posts");
    assert!(!target.storage.manifest(&ManifestRequest {}).unwrap().warnings.is_empty());
    let new = document("posts", None, br#"{"name":"posts","type":"collection"}"#);
    let outcomes = target.write(&token, &Collection::Models, vec![new]);
    assert!(matches!(&outcomes[0], WriteOutcome::Held { cause: HeldCause::Malformed, .. }), "{outcomes:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), source);
}

#[test]
fn a_models_name_leads_nowhere() {
    let target = Instance::small();
    let token = target.grant();
    for name in ["../posts", "a/b", "", "a.b"] {
        let text = json!({"name": name, "type": "collection"}).to_string();
        let outcomes = target.write(&token, &Collection::Models, vec![document(name, None, text.as_bytes())]);
        assert!(matches!(&outcomes[0], WriteOutcome::Held { cause: HeldCause::Forbidden, .. }), "{name}");
    }
}
