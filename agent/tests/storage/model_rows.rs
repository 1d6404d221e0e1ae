//! Model definitions that Cockpit's config keeps in the database.

use protocol::api::*;
use protocol::collection::Collection;
use serde_json::{Value, json};

use crate::support::*;

fn in_rows() -> Instance {
    Instance::of(&instances::Shape { models_in_database: true, ..instances::Shape::small() })
}

fn row(instance: &Instance, name: &str) -> Value {
    let connection = rusqlite::Connection::open(instances::data_file(&instance.root, "content.sqlite")).unwrap();
    let sql = "SELECT document FROM models WHERE json_extract(document, '$.name') = ?1";
    let texts: Vec<String> =
        connection.prepare(sql).unwrap().query_map([name], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(texts.len(), 1, "rows of {name}");
    serde_json::from_str(&texts[0]).unwrap()
}

fn cached(instance: &Instance) -> Value {
    let connection = rusqlite::Connection::open(instances::data_file(&instance.root, "app.memory.sqlite")).unwrap();
    let sql = "SELECT keyval FROM redislite WHERE key = 'content.models'";
    let text: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn models_in_rows_are_the_same_documents_as_models_in_files() {
    let (rows, files) = (in_rows(), Instance::small());
    assert_eq!(rows.summary(&Collection::Models).summary, files.summary(&Collection::Models).summary);
    assert_eq!(rows.list(&Collection::Models).entries.len(), 4);
    let manifest = rows.storage.manifest(&ManifestRequest::default()).unwrap();
    let kinds: Vec<_> = manifest.models.iter().map(|model| (model.name.as_str(), model.kind)).collect();
    assert!(kinds.contains(&("pagestree", ModelKind::Tree)) && kinds.contains(&("settings", ModelKind::Singleton)));
}

#[test]
fn a_row_keeps_its_id_and_a_new_one_gets_one_of_cockpits_kind() {
    let target = in_rows();
    let token = target.grant();
    let before = row(&target, "posts");
    let seen = target.document(&Collection::Models, "posts").unwrap();
    let mut posts: Value = serde_json::from_slice(&seen.document.clone().unwrap()).unwrap();
    posts["label"] = json!("Changed");
    posts["_id"] = json!("0123456789abcdef01234567");
    let news = json!({"name": "news", "label": "News", "type": "collection", "fields": []});
    let from_rows = json!({"name": "events", "fields": [], "_id": "89abcdef0123456789abcdef"});
    let outcomes = target.write(
        &token,
        &Collection::Models,
        vec![
            document("posts", Some(seen.hash), posts.to_string().as_bytes()),
            document("news", None, news.to_string().as_bytes()),
            document("events", None, from_rows.to_string().as_bytes()),
        ],
    );
    assert_eq!(outcomes, [WriteOutcome::Updated, WriteOutcome::Created, WriteOutcome::Created]);
    assert_eq!(row(&target, "events")["_id"], from_rows["_id"], "what comes from another database keeps its own");
    let (posts, news) = (row(&target, "posts"), row(&target, "news"));
    assert_eq!((&posts["label"], &posts["_id"]), (&json!("Changed"), &before["_id"]));
    let id = news["_id"].as_str().unwrap();
    assert!(id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(news.as_object().unwrap().keys().next_back().map(String::as_str), Some("_id"), "last, as in Cockpit");
    // As Cockpit would cache them.
    let cached = cached(&target);
    assert_eq!((&cached["posts"], &cached["news"]), (&posts, &news));
    assert!(cached["authors"].is_object());
    assert_eq!(std::fs::read_dir(target.root.join("storage/content")).unwrap().count(), 0);

    // Items of a model that just came are taken.
    let item = json!({"title": "New", "_id": "0123456789abcdef0000aaaa"}).to_string();
    let items = Collection::Items("news".into());
    let written = target.write(&token, &items, vec![document("0123456789abcdef0000aaaa", None, item.as_bytes())]);
    assert_eq!(written, [WriteOutcome::Created]);
}

#[test]
fn what_cockpit_saved_in_a_row_meanwhile_stays() {
    let target = in_rows();
    let token = target.grant();
    target.look(&Collection::Models, RUN);
    let seen = target.document(&Collection::Models, "posts").unwrap();
    let id = row(&target, "posts")["_id"].as_str().unwrap().to_owned();
    instances::edit_document(&target.root, "content/models", &id, |model| model["label"] = json!("Editor's")).unwrap();
    let new = document("posts", Some(seen.hash), &changed(&seen, "label", "Run's"));
    let outcomes = target.write(&token, &Collection::Models, vec![new.clone()]);
    assert!(matches!(outcomes[0], WriteOutcome::Conflict(Some(_))), "{outcomes:?}");
    // Nor with what is there now: it came after the run's first look.
    let now = target.document(&Collection::Models, "posts").unwrap();
    let outcomes =
        target.write(&token, &Collection::Models, vec![WriteDocument { expect: Some(now.hash), ..new.clone() }]);
    assert_eq!(outcomes, [WriteOutcome::Conflict(Some(now.hash))]);
    assert_eq!(row(&target, "posts")["label"], "Editor's");
}

#[test]
fn without_the_table_nothing_is_proven_and_the_first_model_makes_it_as_cockpit_does() {
    let target = Instance::empty_with(|root| instances::with_models_in_database(root).unwrap());
    assert!(!target.summary(&Collection::Models).complete);
    let token = target.grant();
    let news = json!({"name": "news", "type": "collection", "fields": []}).to_string();
    let outcomes = target.write(&token, &Collection::Models, vec![document("news", None, news.as_bytes())]);
    assert_eq!(outcomes, [WriteOutcome::Created]);
    assert!(target.summary(&Collection::Models).complete);
    let connection = rusqlite::Connection::open(instances::data_file(&target.root, "content.sqlite")).unwrap();
    let sql = "SELECT sql FROM sqlite_master WHERE name = 'models'";
    let made: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(made, "CREATE TABLE `models` ( id INTEGER PRIMARY KEY AUTOINCREMENT, document TEXT )");
}

#[test]
fn a_model_from_a_row_becomes_a_file_without_its_id() {
    let (source, target) = (in_rows(), Instance::empty());
    let token = target.grant();
    let posts = source.document(&Collection::Models, "posts").unwrap();
    let new = document("posts", None, &posts.document.unwrap());
    assert_eq!(target.write(&token, &Collection::Models, vec![new]), [WriteOutcome::Created]);
    let php = std::fs::read_to_string(target.root.join("storage/content/posts.model.php")).unwrap();
    assert!(php.contains("'name' => 'posts'") && !php.contains("'_id'"), "{php}");
    assert_eq!(target.document(&Collection::Models, "posts").unwrap().hash, posts.hash);
}

#[test]
fn rows_that_are_no_models_are_named_or_passed_over() {
    let instance = in_rows();
    for text in ["{\"name\":", "[]", "null", "{\"name\":\"not a name\"}", "{\"name\":\"odd\",\"type\":\"table\"}"] {
        instances::insert_raw(&instance.root, "content/models", text).unwrap();
    }
    let listing = instance.list(&Collection::Models);
    assert_eq!(listing.entries.len(), 4);
    let held: Vec<_> = listing.held.iter().map(|held| held.identity.as_str()).collect();
    assert_eq!(held, ["odd"]);
}
