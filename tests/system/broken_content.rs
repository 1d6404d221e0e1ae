//! Content that cannot be brought over as it is: held by name and cause, the rest goes on, and once it is mended the next
//! push completes it.

use std::collections::HashSet;

use instances::{corrupt_row, duplicate_id, edit_item, ids, insert_document, read_document, read_item};
use serde_json::{Value, json};

use crate::support::{Act, Output, Rig, documents_in, small};

const POSTS: &str = "content/collections/posts";

/// Identity and cause of what the last run held.
fn held(rig: &mut Rig) -> HashSet<(String, String)> {
    let notes = rig.run(&["show", "last", "--held"]).expect_code(0).json()["notes"].clone();
    let text = |note: &Value, key: &str| note[key].as_str().unwrap_or_else(|| panic!("{note}")).to_owned();
    for note in notes.as_array().unwrap() {
        assert!(text(note, "message").len() > 10, "it says nothing: {note}");
    }
    notes.as_array().unwrap().iter().map(|note| (text(note, "identity"), text(note, "cause"))).collect()
}

fn set<'a>(of: impl IntoIterator<Item = (&'a str, &'a str)>) -> HashSet<(String, String)> {
    of.into_iter().map(|(identity, cause)| (identity.to_owned(), cause.to_owned())).collect()
}

/// A first push that holds something: exit code 3, everything else created.
#[track_caller]
fn push_that_holds(rig: &mut Rig, count: u64, of_all: u64) -> Output {
    let push = rig.push().expect_code(3);
    assert_eq!(push.json()["state"], "finished_held");
    assert_eq!((push.count("held"), push.count("created")), (count, of_all - count));
    push
}

#[test]
fn a_corrupt_row_is_held_by_its_row_and_the_rest_comes() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let documents = documents_in(&rig.source());
    let id = ids(&rig.source(), POSTS).unwrap()[123].clone();
    let whole = read_item(&rig.source(), "posts", &id).unwrap().unwrap();
    let row = corrupt_row(&rig.source(), POSTS, &id).unwrap();
    push_that_holds(&mut rig, 1, documents);
    assert_eq!(held(&mut rig), set([(format!("row {row}").as_str(), "malformed")]));
    assert_eq!(read_item(&rig.target(), "posts", &id).unwrap(), None);

    // Again, with nothing else to do, it is held again: it does not go unnoticed.
    let again = rig.push().expect_code(3);
    assert_eq!((again.count("held"), again.count("created"), again.count("updated")), (1, 0, 0));

    insert_document(&rig.source(), POSTS, &whole).unwrap();
    let mended = rig.push().expect_code(3);
    assert_eq!((mended.count("created"), mended.count("held")), (1, 1));
    assert_eq!(
        read_item(&rig.target(), "posts", &id).unwrap().map(|post| post["slug"].clone()),
        Some(whole["slug"].clone())
    );
}

#[test]
fn of_two_rows_with_one_id_the_first_comes_and_the_other_is_held() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let documents = documents_in(&rig.source());
    let id = ids(&rig.source(), POSTS).unwrap()[7].clone();
    duplicate_id(&rig.source(), POSTS, &id, |post| post["title"] = json!("The second")).unwrap();
    let first = read_item(&rig.source(), "posts", &id).unwrap().unwrap()["title"].clone();
    push_that_holds(&mut rig, 1, documents + 1);
    assert_eq!(held(&mut rig), set([(id.as_str(), "duplicate")]));
    for _ in 0..2 {
        assert_eq!(read_item(&rig.target(), "posts", &id).unwrap().unwrap()["title"], first);
        let again = rig.push().expect_code(3);
        assert_eq!((again.count("created"), again.count("updated")), (0, 0), "it goes back and forth");
    }
}

/// Posts, authors and singletons of the source by what they are called, each as it is stored.
fn documents_that_may_embed(rig: &Rig) -> Vec<(String, String)> {
    let connection = rusqlite::Connection::open(instances::data_file(&rig.source(), "content.sqlite")).unwrap();
    let rows = |table: &str, name: &str| -> Vec<(String, String)> {
        let sql = format!("SELECT json_extract(document, '$.{name}'), document FROM {table}");
        let mut statement = connection.prepare(&sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    [rows("collections_posts", "_id"), rows("collections_authors", "_id"), rows("singletons", "_model")].concat()
}

/// An asset that few documents embed, and what these are called.
fn an_embedded_asset(rig: &Rig) -> (String, HashSet<String>) {
    let documents = documents_that_may_embed(rig);
    let embedding = |asset: String| {
        let with = documents.iter().filter(|(_, text)| text.contains(&asset)).map(|(name, _)| name.clone());
        (with.collect::<HashSet<_>>(), asset)
    };
    let assets = ids(&rig.source(), "assets").unwrap().into_iter().map(embedding);
    let (with, asset) = assets.filter(|(with, _)| !with.is_empty()).min_by_key(|(with, _)| with.len()).unwrap();
    (asset, with)
}

#[test]
fn documents_whose_asset_is_missing_are_held_until_it_is_there() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let (asset, documents) = an_embedded_asset(&rig);
    let row = read_document(&rig.source(), "assets", &asset).unwrap().unwrap();
    instances::delete_document(&rig.source(), "assets", &asset).unwrap();
    let all = documents_in(&rig.source());
    push_that_holds(&mut rig, documents.len() as u64, all);
    assert_eq!(held(&mut rig), set(documents.iter().map(|id| (id.as_str(), "missing_asset"))));

    insert_document(&rig.source(), "assets", &row).unwrap();
    let mended = rig.push().expect_code(0);
    assert_eq!(mended.count("created"), documents.len() as u64 + 1);
    rig.assert_equal();
}

#[test]
fn an_asset_whose_file_is_missing_is_held_with_the_documents_that_embed_it() {
    broken_file(|file| std::fs::remove_file(file).unwrap());
}

#[test]
fn an_asset_whose_file_has_other_bytes_than_its_row_promises_is_held_with_the_documents_that_embed_it() {
    broken_file(|file| {
        let mut bytes = std::fs::read(file).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 0xff;
        std::fs::write(file, bytes).unwrap();
    });
}

fn broken_file(break_it: impl Fn(&std::path::Path)) {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let (asset, documents) = an_embedded_asset(&rig);
    let path = read_document(&rig.source(), "assets", &asset).unwrap().unwrap()["path"].as_str().unwrap().to_owned();
    let file = instances::uploads(&rig.source()).join(&path[1..]);
    let whole = std::fs::read(&file).unwrap();
    break_it(&file);
    let all = documents_in(&rig.source());
    push_that_holds(&mut rig, documents.len() as u64 + 1, all);
    let mut expected = set(documents.iter().map(|id| (id.as_str(), "missing_asset")));
    expected.insert((asset.clone(), "missing_file".into()));
    assert_eq!(held(&mut rig), expected);
    assert!(!instances::uploads(&rig.target()).join(&path[1..]).exists());

    std::fs::write(&file, whole).unwrap();
    let mended = rig.push().expect_code(0);
    assert_eq!(mended.count("created"), documents.len() as u64 + 1);
    rig.assert_equal();
}

#[test]
fn tree_items_without_their_parent_are_held_with_all_below_them() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let tree = "content/collections/pagestree";
    let nodes: Vec<Value> = ids(&rig.source(), tree)
        .unwrap()
        .iter()
        .map(|id| read_document(&rig.source(), tree, id).unwrap().unwrap())
        .collect();
    let children_of = |parents: &HashSet<String>| -> HashSet<String> {
        let below = nodes.iter().filter(|node| node["_pid"].as_str().is_some_and(|parent| parents.contains(parent)));
        below.map(|node| node["_id"].as_str().unwrap().to_owned()).collect()
    };
    let is_parent = |node: &&Value| !children_of(&HashSet::from([node["_id"].as_str().unwrap().to_owned()])).is_empty();
    let parent = nodes.iter().find(is_parent).unwrap().clone();
    let mut orphans: HashSet<String> = children_of(&HashSet::from([parent["_id"].as_str().unwrap().to_owned()]));
    loop {
        let more: HashSet<String> = orphans.union(&children_of(&orphans)).cloned().collect();
        if more.len() == orphans.len() {
            break;
        }
        orphans = more;
    }
    instances::delete_document(&rig.source(), tree, parent["_id"].as_str().unwrap()).unwrap();

    let all = documents_in(&rig.source());
    push_that_holds(&mut rig, orphans.len() as u64, all);
    assert_eq!(held(&mut rig), set(orphans.iter().map(|id| (id.as_str(), "missing_parent"))));

    insert_document(&rig.source(), tree, &parent).unwrap();
    let mended = rig.push().expect_code(0);
    assert_eq!(mended.count("created"), orphans.len() as u64 + 1);
    rig.assert_equal();
}

#[test]
fn a_document_of_20_mib_is_held_and_one_of_3_mib_comes() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let (huge, large) = ("b00000000000000000000001", "b00000000000000000000002");
    let mut row = 0;
    for (id, mebibytes) in [(large, 3), (huge, 20)] {
        let body = "x".repeat(mebibytes << 20);
        let post = json!({"title": "Long", "body": body, "_state": 1, "_modified": 1, "_created": 1, "_id": id});
        row = insert_document(&rig.source(), POSTS, &post).unwrap();
    }
    let all = documents_in(&rig.source());
    push_that_holds(&mut rig, 1, all);
    assert_eq!(held(&mut rig), set([(format!("row {row}").as_str(), "too_large")]));
    let comparison = instances::compare(&rig.source(), &rig.target()).unwrap();
    assert_eq!((comparison.total(), comparison.only_in_a), (1, 1), "{comparison}");

    edit_item(&rig.source(), "posts", huge, |post| post["body"] = json!("short")).unwrap();
    assert_eq!(rig.push().expect_code(0).count("created"), 1);
    rig.assert_equal();
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_not_put_in_place_as_it_never_was() {
    let mut rig = Rig::new(&small());
    let documents = documents_in(&rig.source());
    // A file of several parts.
    let asset = ids(&rig.source(), "assets").unwrap()[0].clone();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    instances::replace_asset_file(&rig.source(), &asset, &bytes, instances::Copies::Rewritten).unwrap();
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &[]);
    let gate = proxy.hold("upload", 1);
    let push = rig.spawn_push();
    gate.wait_for(1);
    // In the middle of it the asset is replaced on the source.
    let other: Vec<u8> = bytes.iter().rev().copied().collect();
    instances::replace_asset_file(&rig.source(), &asset, &other, instances::Copies::Rewritten).unwrap();
    gate.open();
    let push = push.wait();
    assert!([0, 3].contains(&push.code), "{push:#?}");
    proxy.pass_all();
    let again = rig.push().expect_code(0);
    assert!(push.count("created") + again.count("created") == documents, "{push:#?} {again:#?}");
    rig.assert_target_has_all();
}

#[test]
fn an_upload_that_broke_off_goes_on_where_it_was() {
    let mut rig = Rig::new(&small());
    let asset = ids(&rig.source(), "assets").unwrap()[0].clone();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    instances::replace_asset_file(&rig.source(), &asset, &bytes, instances::Copies::Rewritten).unwrap();
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &[]);
    proxy.set(|request| if request.call == "upload" && request.before == 2 { Act::Break } else { Act::Pass });
    rig.push().expect_code(0);
    rig.assert_equal();
    let sent: usize = proxy.seen("upload").iter().map(|upload| upload.body.len()).sum();
    assert!(sent < 2 * bytes.len(), "{sent} bytes for a file of {}", bytes.len());
}

#[test]
fn a_target_that_lost_a_file_gets_it_again() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.push().expect_code(0);
    let asset = ids(&rig.source(), "assets").unwrap()[2].clone();
    let path = read_document(&rig.source(), "assets", &asset).unwrap().unwrap()["path"].as_str().unwrap().to_owned();
    std::fs::remove_file(instances::uploads(&rig.target()).join(&path[1..])).unwrap();
    rig.push().expect_code(0);
    rig.assert_target_has_all();
}
