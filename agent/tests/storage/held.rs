//! Documents that are set aside by name while the rest goes on.

use cockpit_sync_agent::AllowedModels;
use protocol::api::*;
use protocol::collection::Collection;
use serde_json::json;

use crate::support::*;

fn cause(outcome: &WriteOutcome) -> Option<HeldCause> {
    match outcome {
        WriteOutcome::Held { cause, .. } => Some(*cause),
        _ => None,
    }
}

#[test]
fn the_lowest_row_of_a_duplicated_id_counts_and_a_write_updates_all_of_them() {
    let target = Instance::small();
    let (token, posts) = (target.grant(), items("posts"));
    let id = target.made().posts[3].clone();
    let first = target.document(&posts, &id).unwrap();
    let count = target.summary(&posts).summary.count;
    instances::duplicate_id(&target.root, "content/collections/posts", &id, |item| item["title"] = json!("twin"))
        .unwrap();
    let listing = target.list(&posts);
    assert_eq!(listing.entries.iter().filter(|entry| entry.identity == id).count(), 1);
    assert_eq!(listing.held.len(), 1);
    assert_eq!((listing.held[0].identity.as_str(), listing.held[0].cause), (id.as_str(), HeldCause::Duplicate));
    let summary = target.summary(&posts);
    assert_eq!((summary.summary.count, summary.held_total, summary.held.len()), (count, 1, 1));
    assert_eq!(target.document(&posts, &id).unwrap().hash, first.hash);
    let outcome =
        target.write(&token, &posts, vec![document(&id, Some(first.hash), &changed(&first, "title", "both"))]);
    assert_eq!(outcome, [WriteOutcome::Updated]);
    let rows = raw_rows(&target.root, &posts);
    assert_eq!(rows.iter().filter(|(_, text)| text.contains(&id) && text.contains(r#""title":"both""#)).count(), 2);
    let recounted = recounted(&target, &posts);
    assert_eq!(target.summary(&posts).summary, recounted);
}

#[test]
fn rows_without_a_usable_document_are_named_and_the_rest_is_listed() {
    let source = Instance::small();
    let posts = items("posts");
    let count = source.list(&posts).entries.len();
    let corrupt = instances::corrupt_row(&source.root, "content/collections/posts", &source.made().posts[5]).unwrap();
    let mut bad = vec![corrupt];
    for text in ["", "[1]", "{\"title\":\"no id\"}", "{\"_id\":7}", "{'_id':'json5'}"] {
        bad.push(instances::insert_raw(&source.root, "content/collections/posts", text).unwrap());
    }
    for listing in [source.list(&posts), source.list(&posts)] {
        assert_eq!(listing.entries.len(), count - 1);
        let held: Vec<_> = listing.held.iter().map(|held| (held.identity.clone(), held.cause)).collect();
        let expected: Vec<_> = bad.iter().map(|row| (format!("row {row}"), HeldCause::Malformed)).collect();
        assert_eq!(held, expected);
    }
    let summary = source.summary(&posts);
    assert_eq!((summary.held_total, summary.held.len(), summary.summary.count), (6, 6, count as u64 - 1));
}

#[test]
fn what_is_wrong_with_a_document_holds_it_and_not_its_neighbours() {
    let target = Instance::small();
    let (token, posts) = (target.grant(), items("posts"));
    let asset = json!({"_id": "nowhere", "path": "/a.png", "mime": "image/png", "type": "image"});
    let documents = vec![
        document("broken", None, b"{\"_id\":\"broken\""),
        document("named", None, br#"{"_id":"otherwise"}"#),
        document("embedding", None, json!({"_id": "embedding", "image": asset}).to_string().as_bytes()),
        document("large", None, format!(r#"{{"_id":"large","b":"{}"}}"#, "x".repeat(MAX_DOCUMENT_BYTES)).as_bytes()),
        document("good", None, br#"{"_id":"good"}"#),
    ];
    let outcomes = target.write(&token, &posts, documents);
    let causes: Vec<_> = outcomes.iter().map(cause).collect();
    use HeldCause::{Malformed, MissingAsset, TooLarge};
    assert_eq!(causes, [Some(Malformed), Some(Malformed), Some(MissingAsset), Some(TooLarge), None]);
    assert_eq!(outcomes[4], WriteOutcome::Created);
}

#[test]
fn content_of_a_model_that_is_not_here_is_held() {
    let target = Instance::small();
    let token = target.grant();
    let item = document("x", None, br#"{"_id":"x"}"#);
    let outcomes = target.write(&token, &items("unheardof"), vec![item]);
    assert_eq!(cause(&outcomes[0]), Some(HeldCause::MissingModel));
    assert!(!instances::data_file(&target.root, "content.sqlite").as_os_str().is_empty());
    let singleton = document("unheardof", None, br#"{"_model":"unheardof","_id":"x"}"#);
    let outcomes = target.write(&token, &Collection::Singletons, vec![singleton]);
    assert_eq!(cause(&outcomes[0]), Some(HeldCause::MissingModel));
}

#[test]
fn a_tree_item_comes_with_its_parent_or_not_at_all() {
    let target = Instance::small();
    let token = target.grant();
    let tree = target
        .storage
        .manifest(&ManifestRequest {})
        .unwrap()
        .models
        .into_iter()
        .find(|model| model.kind == ModelKind::Tree)
        .map(|model| items(&model.name))
        .unwrap();
    let known = target.made().tree[0].clone();
    let node =
        |id: &str, parent: &str| document(id, None, json!({"_id": id, "_pid": parent, "_o": 0}).to_string().as_bytes());
    let outcomes = target.write(
        &token,
        &tree,
        vec![
            node("below-known", &known),
            node("grandchild", "child"),
            node("child", "parent"),
            node("parent", ""),
            node("orphan", "nobody"),
            node("below-orphan", "orphan"),
        ],
    );
    let causes: Vec<_> = outcomes.iter().map(cause).collect();
    let missing = Some(HeldCause::MissingParent);
    assert_eq!(causes, [None, None, None, None, missing, missing]);
}

#[test]
fn singletons_and_definitions_are_read_and_written_by_their_own_lists() {
    let mut target = Instance::small();
    let singleton = target.made().singletons[0].clone();
    let text = json!({"_model": singleton, "_id": "x"}).to_string();
    for (read, write) in [(true, false), (false, true)] {
        target.storage.close();
        let list = |allowed: bool| Some(if allowed { vec![singleton.clone()] } else { Vec::new() });
        let allowed = AllowedModels { read: list(read), write: list(write) };
        let settings = agent_settings(&target, |settings| settings.models = allowed);
        target.storage = cockpit_sync_agent::storage::Storage::open(settings).unwrap();
        let token = target.grant();
        for collection in [Collection::Singletons, Collection::Models] {
            assert_eq!(target.list(&collection).entries.len(), 1, "it is there to be compared");
            let documents =
                DocumentsRequest { collection: collection.clone(), identities: vec![singleton.clone()], run: None };
            let documents = target.storage.documents(&documents);
            let request = ListRequest {
                collection: collection.clone(),
                selection: Default::default(),
                from_row: 0,
                to_row: None,
                documents: true,
            };
            let listing = target.storage.list(&request);
            if collection == Collection::Singletons && !read {
                // It is not taken for one that is not there.
                let codes = (documents.unwrap_err().code, listing.unwrap_err().code);
                assert_eq!(codes, (ErrorCode::Forbidden, ErrorCode::Forbidden));
                continue;
            }
            // A definition is no content.
            assert_eq!(documents.unwrap().documents.len(), 1);
            let listed: Vec<_> = listing.unwrap().entries.into_iter().map(|entry| entry.document.is_some()).collect();
            assert_eq!(listed, [true]);
        }
        let outcomes = target.write(&token, &Collection::Singletons, vec![document(&singleton, None, text.as_bytes())]);
        assert_eq!(cause(&outcomes[0]) == Some(HeldCause::Forbidden), !write, "{outcomes:?}");
        let outcomes = target.write(&token, &Collection::Models, vec![document(&singleton, None, b"{}")]);
        assert_eq!(cause(&outcomes[0]) == Some(HeldCause::Forbidden), !write, "{outcomes:?}");
    }
}

#[test]
fn models_that_are_not_served_can_neither_be_read_nor_written() {
    let mut target = Instance::small();
    target.storage.close();
    let settings = agent_settings(&target, |settings| settings.models = AllowedModels::only(vec!["authors".into()]));
    target.storage = cockpit_sync_agent::storage::Storage::open(settings).unwrap();
    let token = target.grant();
    let request = SummaryRequest { collection: items("posts"), selection: Default::default(), run: None };
    assert_eq!(target.storage.summary(&request).unwrap_err().code, ErrorCode::Forbidden);
    assert_eq!(target.try_write(&token, &items("posts"), vec![]).unwrap_err().code, ErrorCode::Forbidden);
    assert!(target.list(&Collection::Singletons).entries.is_empty());
    assert_eq!(target.list(&Collection::Models).entries.len(), 1);
    let name = target.made().singletons[0].clone();
    let text = json!({"_model": name, "_id": "x"}).to_string();
    let outcomes = target.write(&token, &Collection::Singletons, vec![document(&name, None, text.as_bytes())]);
    assert_eq!(cause(&outcomes[0]), Some(HeldCause::Forbidden));
    assert!(!target.list(&items("authors")).entries.is_empty());
}
