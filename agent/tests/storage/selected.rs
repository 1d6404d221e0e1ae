//! Parts of a collection: chosen by a filter or by identity.

use protocol::api::*;
use protocol::collection::Collection;
use protocol::filter::Filter;
use protocol::selection::Selection;
use serde_json::json;

use crate::support::*;

fn filtered(filter: &str) -> Selection {
    Selection { filter: Some(Filter::parse(filter).unwrap()), ..Selection::default() }
}

fn request(collection: &Collection, selection: Selection, documents: bool) -> ListRequest {
    ListRequest { collection: collection.clone(), selection, from_row: 0, to_row: None, documents }
}

/// Identities of all that is meant, over all pages.
fn listed(instance: &Instance, collection: &Collection, filter: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut request = request(collection, filtered(filter), false);
    loop {
        let page = instance.storage.list(&request).unwrap();
        assert!(page.complete);
        found.extend(page.entries.into_iter().map(|entry| entry.identity));
        match page.next_row {
            Some(next) => request.from_row = next,
            None => return found,
        }
    }
}

/// Those of which the instance's own files say so.
fn expected(instance: &Instance, model: &str, is_meant: impl Fn(&serde_json::Value) -> bool) -> Vec<String> {
    let ids = instances::ids(&instance.root, &format!("content/collections/{model}")).unwrap();
    ids.into_iter().filter(|id| is_meant(&instances::read_item(&instance.root, model, id).unwrap().unwrap())).collect()
}

#[test]
fn a_filtered_listing_has_what_matches_and_nothing_else() {
    let instance = Instance::small();
    let posts = items("posts");
    let published = expected(&instance, "posts", |post| post["_state"] == 1);
    assert!(!published.is_empty() && published.len() < instance.made().posts.len());
    assert_eq!(listed(&instance, &posts, r#"{"_state":1}"#), published);
    let tagged = expected(&instance, "posts", |post| post["tags"][1] == "t7" && post["rating"].as_i64() > Some(0));
    assert_eq!(listed(&instance, &posts, r#"{"tags":"t7","rating":{"$gt":0}}"#), tagged);
    assert_eq!(listed(&instance, &posts, r#"{"nothing":"has this"}"#), Vec::<String>::new());
    let page = instance.storage.list(&request(&posts, filtered(r#"{"_state":1}"#), true)).unwrap();
    assert!(page.entries.iter().all(|entry| entry.document.is_some()));

    let ask = |selection| SummaryRequest { collection: posts.clone(), selection, run: None };
    let summary = instance.storage.summary(&ask(filtered(r#"{"_state":1}"#))).unwrap();
    assert_eq!(summary.summary.count, published.len() as u64);
}

#[test]
fn what_cannot_be_read_is_not_meant_by_a_filter() {
    let instance = Instance::small();
    instances::insert_raw(&instance.root, "content/collections/posts", "{broken").unwrap();
    let page = instance.storage.list(&request(&items("posts"), filtered("{}"), false)).unwrap();
    assert_eq!((page.held.len(), page.entries.len()), (0, instance.made().posts.len()));
    assert_eq!(instance.list(&items("posts")).held.len(), 1);
}

#[test]
fn a_page_that_finds_nothing_ends_all_the_same() {
    let instance = Instance::small();
    let filler = json!({"title": "x".repeat(9 * 1024 * 1024), "_state": 1});
    for number in 0..3 {
        let mut document = filler.clone();
        document["_id"] = json!(format!("large{number}"));
        instances::insert_document(&instance.root, "content/collections/authors", &document).unwrap();
    }
    let page = instance.storage.list(&request(&items("authors"), filtered(r#"{"no":1}"#), false)).unwrap();
    assert!(page.entries.is_empty() && page.next_row.is_some(), "18 MiB were read for one page");
    assert_eq!(listed(&instance, &items("authors"), r#"{"_id":"large2"}"#), ["large2"]);
}

#[test]
fn a_look_at_a_few_documents_reads_only_these_and_sees_what_others_wrote() {
    let instance = Instance::small();
    let (posts, made) = (items("posts"), instance.made());
    instance.summary(&posts);
    let of = |ids: &[&String]| {
        let only = ids.iter().map(|id| (*id).clone()).collect();
        let run = Some(RUN.to_owned());
        SummaryRequest { collection: posts.clone(), selection: Selection::only(only), run }
    };
    instances::edit_item(&instance.root, "posts", &made.posts[3], |item| item["title"] = json!("edited")).unwrap();
    instances::edit_item(&instance.root, "posts", &made.posts[4], |item| item["title"] = json!("edited")).unwrap();
    let before = instance.storage.rows_looked_at();
    let looked = instance.storage.summary(&of(&[&made.posts[3]])).unwrap();
    assert!(instance.storage.rows_looked_at() - before < 10, "it read the whole table");
    assert!(looked.first_look && looked.summary.count == 1);
    // It was there before the run looked, so it is nobody's work that the run would have to spare.
    assert!(!instance.is_changed(&posts, &made.posts[3]));
    instances::edit_item(&instance.root, "posts", &made.posts[3], |item| item["title"] = json!("again")).unwrap();
    assert!(instance.is_changed(&posts, &made.posts[3]));
    let again = instance.storage.summary(&of(&[&made.posts[3]])).unwrap();
    assert!(again.summary != looked.summary && !again.first_look);
}
