//! What a mirror may delete, seen from one storage: nothing that is not on a list that was decided, and of that only what
//! is as it was and is needed by nothing that stays.

use std::path::PathBuf;

use instances::{Shape, delete_document, edit_document, insert_document};
use protocol::api::*;
use protocol::canonical::DocHash;
use protocol::collection::Collection;
use protocol::filter::Filter;
use protocol::mirror::{MaxDelete, MirrorOrder, SignedOrder, look_of};
use protocol::selection::{Selected, Selection};
use serde_json::json;

use crate::support::*;

/// A mirror run at its target.
struct Mirror<'t> {
    target: &'t Instance,
    token: String,
    scope: Vec<Selected>,
    max_delete: Option<MaxDelete>,
    began: i64,
}

impl<'t> Mirror<'t> {
    fn of(target: &'t Instance, collections: &[Collection]) -> Self {
        let everything =
            |collection: &Collection| Selected { collection: collection.clone(), selection: Selection::default() };
        let scope = collections.iter().map(everything).collect();
        let max_delete = Some(MaxDelete::Percent(100));
        Self { target, token: target.grant(), scope, max_delete, began: target.now() + 10 }
    }

    fn order(&self) -> SignedOrder {
        let order = MirrorOrder {
            run: RUN.into(),
            source: "source".into(),
            target: self.target.storage.instance().into(),
            scope: self.scope.clone(),
            max_delete: self.max_delete,
            allow_shrunk: false,
        };
        // Approvals are looked at before a request gets to the storage.
        SignedOrder { bytes: order.encode(), ..SignedOrder::default() }
    }

    fn propose(&self, collection: &Collection, identities: &[&String]) {
        self.target.look(collection, &look_of(RUN));
        let listed = Listed { there: self.target.summary(collection).summary.count, at_source: 1, unproven: None };
        self.try_propose(collection, identities, Some(listed)).unwrap();
    }

    fn try_propose(
        &self,
        collection: &Collection,
        identities: &[&String],
        listed: Option<Listed>,
    ) -> Result<Nothing, AgentError> {
        self.target.storage.propose(&ProposeRequest {
            token: self.token.clone(),
            order: self.order(),
            collection: collection.clone(),
            from_start: true,
            identities: identities.iter().map(|identity| (*identity).clone()).collect(),
            listed,
        })
    }

    fn decide(&self) -> Decided {
        self.target.storage.decide(&DecideRequest { token: self.token.clone(), order: self.order() }).unwrap()
    }

    /// All that is on the list.
    fn candidates(&self, collection: &Collection) -> Vec<(String, DocHash)> {
        let request = CandidatesRequest { token: self.token.clone(), collection: collection.clone(), after: None };
        self.target.storage.candidates(&request).unwrap().candidates
    }

    fn delete(&self, collection: &Collection, documents: Vec<(String, DocHash)>) -> Result<Deleted, AgentError> {
        let modified = (*collection != Collection::Folders).then_some(self.began);
        let (token, collection) = (self.token.clone(), collection.clone());
        self.target.storage.delete(&DeleteRequest { token, collection, modified, documents })
    }

    /// Puts these on the list, decides, and deletes what is on it.
    fn run(&self, collection: &Collection, identities: &[&String]) -> Vec<(String, DeleteOutcome)> {
        self.propose(collection, identities);
        assert_eq!(self.decide().refusals, Vec::<String>::new());
        self.delete_listed(collection)
    }

    fn delete_listed(&self, collection: &Collection) -> Vec<(String, DeleteOutcome)> {
        let candidates = self.candidates(collection);
        let outcomes = self.delete(collection, candidates.clone()).unwrap().outcomes;
        candidates.into_iter().map(|(identity, _)| identity).zip(outcomes).collect()
    }
}

fn outcome<'o>(outcomes: &'o [(String, DeleteOutcome)], identity: &str) -> &'o DeleteOutcome {
    &outcomes.iter().find(|(own, _)| own == identity).unwrap().1
}

fn is_in_use(outcome: &DeleteOutcome) -> bool {
    matches!(outcome, DeleteOutcome::Held { cause: HeldCause::InUse, .. })
}

fn absent(source: &Instance, collection: &Collection, identities: &[&String]) -> Absent {
    let identities = identities.iter().map(|identity| (*identity).clone()).collect();
    source.storage.absent(&AbsentRequest { collection: collection.clone(), identities }).unwrap()
}

fn file_of(instance: &Instance, asset: &str) -> PathBuf {
    let row = instances::read_document(&instance.root, "assets", asset).unwrap().unwrap();
    instances::uploads(&instance.root).join(&row["path"].as_str().unwrap()[1..])
}

/// Assets that nothing embeds.
fn unused_assets(instance: &Instance) -> Vec<&String> {
    let content = [items("posts"), items("authors"), items("pagestree"), Collection::Singletons];
    let texts: Vec<String> =
        content.iter().flat_map(|collection| raw_rows(&instance.root, collection)).map(|(_, text)| text).collect();
    instance.made().assets.iter().filter(|id| !texts.iter().any(|text| text.contains(id.as_str()))).collect()
}

#[test]
fn nothing_is_deleted_before_the_list_is_decided_nor_what_is_not_on_it() {
    let target = Instance::small();
    let (posts, ids) = (items("posts"), &target.made().posts);
    let mirror = Mirror::of(&target, std::slice::from_ref(&posts));
    let before = raw_rows(&target.root, &posts);
    let entries = entries_of(&target, &posts);
    let forbidden = |documents: Vec<(String, DocHash)>| {
        assert_eq!(mirror.delete(&posts, documents).unwrap_err().code, ErrorCode::Forbidden);
    };
    forbidden(entries[..1].to_vec());
    mirror.propose(&posts, &[&ids[0]]);
    forbidden(entries[..1].to_vec());
    assert_eq!(mirror.decide().candidates, 1);
    forbidden(entries[..2].to_vec());
    forbidden(vec![(ids[0].clone(), entries[1].1)]);
    // The list is closed: what is proposed now is not taken.
    mirror.propose(&posts, &[&ids[1]]);
    forbidden(entries[1..2].to_vec());
    assert_eq!(raw_rows(&target.root, &posts), before);
    assert_eq!(mirror.delete(&posts, entries[..1].to_vec()).unwrap().outcomes, [DeleteOutcome::Deleted]);
    assert_eq!(raw_rows(&target.root, &posts), before[1..]);
}

#[test]
fn deleting_again_answers_the_same_and_changes_nothing() {
    let mut target = Instance::small();
    let posts = items("posts");
    let ids: Vec<String> = target.made().posts[3..6].to_vec();
    let listed = ids.iter().collect::<Vec<_>>();
    let first = Mirror::of(&target, std::slice::from_ref(&posts)).run(&posts, &listed);
    assert!(first.iter().all(|(_, outcome)| *outcome == DeleteOutcome::Deleted));
    let (after, summary) = (raw_rows(&target.root, &posts), target.summary(&posts).summary);
    assert_eq!(summary, recounted(&target, &posts));
    // Another worker, and another process of the agent.
    target.reopen();
    let mirror = Mirror::of(&target, std::slice::from_ref(&posts));
    assert_eq!(mirror.delete_listed(&posts), first);
    assert_eq!((raw_rows(&target.root, &posts), target.summary(&posts).summary), (after, summary));
}

#[test]
fn a_refused_list_lets_nothing_go() {
    let target = Instance::small();
    let posts = items("posts");
    let mut mirror = Mirror::of(&target, std::slice::from_ref(&posts));
    mirror.max_delete = Some(MaxDelete::Documents(2));
    mirror.propose(&posts, &target.made().posts[..3].iter().collect::<Vec<_>>());
    let refusals = mirror.decide().refusals;
    assert!(refusals.len() == 1 && refusals[0].contains("3 of 60"), "{refusals:?}");
    assert!(refusals[0].contains("--max-delete 3"), "{refusals:?}");
    let error = mirror.delete(&posts, entries_of(&target, &posts)[..1].to_vec()).unwrap_err();
    assert_eq!(error.code, ErrorCode::Forbidden);
}

#[test]
fn the_agents_own_config_is_asked_with_every_delete() {
    let target = Instance::small();
    let posts = items("posts");
    let mirror = Mirror::of(&target, std::slice::from_ref(&posts));
    mirror.propose(&posts, &[&target.made().posts[0]]);
    mirror.decide();
    let entries = entries_of(&target, &posts);
    let (root, token) = (target.root.clone(), mirror.token.clone());
    target.storage.close();
    let settings = agent_settings(&target, |settings| settings.delete = false);
    let storage = cockpit_sync_agent::storage::Storage::open(settings).unwrap();
    let before = raw_rows(&root, &posts);
    let request = DeleteRequest { token, collection: posts.clone(), modified: None, documents: entries[..1].to_vec() };
    assert_eq!(storage.delete(&request).unwrap_err().code, ErrorCode::Forbidden);
    assert_eq!(raw_rows(&root, &posts), before);
    storage.close();
}

#[test]
fn what_somebody_saved_after_the_list_was_made_stays() {
    let target = Instance::small();
    let (posts, ids) = (items("posts"), target.made().posts.clone());
    let mirror = Mirror::of(&target, std::slice::from_ref(&posts));
    mirror.propose(&posts, &ids[..4].iter().collect::<Vec<_>>());
    mirror.decide();
    let save = |id: &str, modified: i64, title: Option<&str>| {
        edit_document(&target.root, "content/collections/posts", id, |post| {
            post["_modified"] = json!(modified);
            if let Some(title) = title {
                post["title"] = json!(title);
            }
        })
        .unwrap();
    };
    save(&ids[0], mirror.began - 1000, Some("with an old stamp"));
    // Saved without a change: the hash alone tells nothing.
    save(&ids[1], mirror.began - 1000, None);
    delete_document(&target.root, "content/collections/posts", &ids[2]).unwrap();
    let outcomes = mirror.delete_listed(&posts);
    assert_eq!(outcome(&outcomes, &ids[0]), &DeleteOutcome::Conflict);
    assert_eq!(outcome(&outcomes, &ids[1]), &DeleteOutcome::Conflict);
    assert_eq!(outcome(&outcomes, &ids[2]), &DeleteOutcome::Gone);
    assert_eq!(outcome(&outcomes, &ids[3]), &DeleteOutcome::Deleted);
    assert_eq!(target.summary(&posts).summary, recounted(&target, &posts));
}

#[test]
fn a_list_takes_only_what_the_order_is_about() {
    let target = Instance::small();
    let (posts, authors) = (items("posts"), items("authors"));
    let mut mirror = Mirror::of(&target, &[posts.clone(), Collection::Singletons]);
    let refused = mirror.try_propose(&authors, &[&target.made().authors[0]], None).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Forbidden);
    let (one, other) = (&target.made().posts[0], &target.made().posts[1]);
    edit_document(&target.root, "content/collections/posts", one, |post| post["_state"] = json!(0)).unwrap();
    let filter = Filter::parse(r#"{"_state": 1}"#).unwrap();
    mirror.scope[0].selection = Selection { filter: Some(filter), ..Selection::default() };
    mirror.scope[1].selection = Selection::only(vec!["elsewhere".into()]);
    mirror.propose(&posts, &[one, other]);
    mirror.propose(&Collection::Singletons, &[&target.made().singletons[0]]);
    assert_eq!(mirror.decide().candidates, 1);
    assert_eq!(mirror.candidates(&posts)[0].0, *other);
    for never in [Collection::Models, Collection::Locales] {
        let request = AbsentRequest { collection: never.clone(), identities: Vec::new() };
        assert_eq!(target.storage.absent(&request).unwrap_err().code, ErrorCode::Forbidden);
        assert_eq!(mirror.try_propose(&never, &[], None).unwrap_err().code, ErrorCode::Forbidden);
    }
}

#[test]
fn a_source_that_has_no_table_or_a_row_it_cannot_read_proves_nothing() {
    let source = Instance::small();
    let (posts, known) = (items("posts"), source.made().posts[0].clone());
    let unknown = "ffffffffffffffffffffffff".to_owned();
    let answer = absent(&source, &posts, &[&known, &unknown]);
    assert_eq!((answer.absent, answer.unproven, answer.count), (vec![unknown.clone()], None, 60));

    // What the row that is broken now was called, nobody can tell: it may be any of those that are not found.
    instances::corrupt_row(&source.root, "content/collections/posts", &known).unwrap();
    let answer = absent(&source, &posts, &[&known]);
    assert!(answer.unproven.is_some_and(|reason| reason.contains("row 1")));

    let empty = Instance::empty();
    let answer = absent(&empty, &posts, &[&known]);
    assert!(answer.unproven.is_some(), "it has no such model");
    let answer = absent(&empty, &Collection::Assets, &[&known]);
    assert!(answer.unproven.is_some_and(|reason| reason.contains("table")));
}

#[test]
fn an_id_that_came_into_a_row_by_other_hands_than_cockpits_is_not_absent() {
    let source = Instance::small();
    let (posts, id) = (items("posts"), source.made().posts[0].clone());
    assert_eq!(absent(&source, &posts, &[&id]).absent, Vec::<String>::new());
    let renamed = "eeeeeeeeeeeeeeeeeeeeeeee".to_owned();
    edit_document(&source.root, "content/collections/posts", &id, |post| post["_id"] = json!(renamed)).unwrap();
    assert_eq!(absent(&source, &posts, &[&id, &renamed]).absent, [id]);
}

#[test]
fn what_was_read_for_a_mirror_is_known_as_well_as_what_was_listed() {
    let source = Instance::small();
    let (posts, assets) = (items("posts"), source.made().assets.clone());
    let rows = raw_rows(&source.root, &posts);
    let (asset, text) = assets
        .iter()
        .find_map(|id| Some((id, &rows.iter().find(|(_, text)| text.contains(id.as_str()))?.1)))
        .expect("a post embeds an asset");
    let post: serde_json::Value = serde_json::from_str(text).unwrap();
    let id = post["_id"].as_str().unwrap().to_owned();
    let before = source.document(&posts, &id).unwrap();
    edit_document(&source.root, &posts.name(), &id, |post| post["title"] = json!("saved anew")).unwrap();
    absent(&source, &posts, &[&id]);
    let saved = source.document(&posts, &id).unwrap();
    edit_document(&source.root, "assets", asset, |asset| asset["title"] = json!("another title")).unwrap();
    // The copy in the post is refreshed when it is listed: that it has one was not forgotten.
    let listed = entries_of(&source, &posts).into_iter().find(|(own, _)| *own == id).unwrap();
    assert_ne!(saved.hash, before.hash);
    assert_ne!(listed.1, saved.hash);
}

#[test]
fn singletons_of_models_that_the_source_does_not_know_are_no_business_of_it() {
    let source = Instance::small();
    let (known, unknown) = (source.made().singletons[0].clone(), "banner".to_owned());
    delete_document(&source.root, "content/singletons", &known).unwrap();
    assert_eq!(absent(&source, &Collection::Singletons, &[&known, &unknown]).absent, [known]);
}

#[test]
fn an_asset_goes_with_its_file_unless_anything_mentions_it() {
    let target = Instance::of(&Shape { assets: 40, ..Shape::small() });
    let unused = unused_assets(&target);
    let [gone, in_text, in_url, elsewhere, shared, ..] = unused[..] else { panic!("too few assets: {unused:?}") };
    let used = target.made().assets.iter().find(|id| !unused.contains(id)).unwrap();
    let name = |id: &str| file_of(&target, id).file_name().unwrap().to_str().unwrap().to_owned();
    let post = |title: &str, body: String| json!({"title": title, "body": body, "_state": 1, "_id": title});
    let insert = |collection: &str, document| insert_document(&target.root, collection, &document).unwrap();
    insert("content/collections/posts", post("a", format!("an image: asset://{in_text}")));
    insert("content/collections/posts", post("b", format!("<img src=\"/storage/uploads/2026/{}\">", name(in_url))));
    // A table this program knows nothing of.
    insert("someaddon/things", json!({"cover": elsewhere, "_id": "c"}));
    let path = instances::read_document(&target.root, "assets", shared).unwrap().unwrap()["path"].clone();
    insert("assets", json!({"path": path, "title": "the same file", "_id": "d"}));
    // Old versions of documents are no reason to keep anything.
    insert("system/revisions", json!({"_oid": "x", "data": {"image": gone}, "_id": "e"}));

    let all = [gone, in_text, in_url, elsewhere, shared, used];
    let (file, files) = (file_of(&target, gone), all[1..].iter().map(|id| file_of(&target, id)).collect::<Vec<_>>());
    let mirror = Mirror::of(&target, &[Collection::Assets]);
    let outcomes = mirror.run(&Collection::Assets, &all);
    let close = CloseGrant { which: CloseWhich::Run(RUN.into()), reason: "the run is over".into() };
    target.storage.close_grant(&close).unwrap();
    assert_eq!(outcome(&outcomes, gone), &DeleteOutcome::Deleted);
    assert!(!file.exists() && instances::read_document(&target.root, "assets", gone).unwrap().is_none());
    // What it was is kept, so that the run can be undone.
    let receipt = target.storage.receipt(&ReceiptRequest { run: RUN.into() }).unwrap().receipt.unwrap();
    let landed = |name: &str| receipt.collections.get(name).map(|landed| landed.deleted);
    assert_eq!((landed("assets"), landed("assets/files")), (Some(1), Some(1)), "{receipt:?}");
    for (id, file) in all[1..].iter().zip(files) {
        assert!(is_in_use(outcome(&outcomes, id)) && file.exists(), "{id}: {outcomes:?}");
    }
}

#[test]
fn a_file_whose_row_is_gone_already_is_removed_by_the_next_execution() {
    let target = Instance::small();
    let asset = unused_assets(&target)[0].clone();
    let file = file_of(&target, &asset);
    let mirror = Mirror::of(&target, &[Collection::Assets]);
    let bytes = std::fs::read(&file).unwrap();
    mirror.run(&Collection::Assets, &[&asset]);
    // As if the process had died between the row and its file.
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(mirror.delete_listed(&Collection::Assets), [(asset, DeleteOutcome::Deleted)]);
    assert!(!file.exists());
}

#[test]
fn a_tree_goes_from_its_leaves_and_what_has_a_child_stays() {
    let target = Instance::small();
    let tree = items("pagestree");
    let node = |id: &str, parent: Option<&str>| {
        let document = json!({"title": id, "_state": 1, "_pid": parent, "_o": 0, "_id": id});
        insert_document(&target.root, &tree.name(), &document).unwrap();
        id.to_owned()
    };
    let (root, leaf) = (node("a-root", None), node("b-below", Some("a-root")));
    let (parent, child) = (node("c-parent", None), node("d-child", Some("c-parent")));
    let mirror = Mirror::of(&target, std::slice::from_ref(&tree));
    let outcomes = mirror.run(&tree, &[&root, &leaf, &parent]);
    assert_eq!(outcome(&outcomes, &leaf), &DeleteOutcome::Deleted);
    assert_eq!(outcome(&outcomes, &root), &DeleteOutcome::Deleted);
    let DeleteOutcome::NotEmpty(message) = outcome(&outcomes, &parent) else { panic!("{outcomes:?}") };
    assert!(message.contains(&child), "{message}");
}

#[test]
fn a_folder_stays_as_long_as_a_folder_or_an_asset_is_in_it() {
    let target = Instance::small();
    let folder = |id: &str, parent: &str| {
        let document = json!({"name": id, "_p": parent, "icon": "", "_by": "", "_id": id});
        insert_document(&target.root, "assets/folders", &document).unwrap();
        id.to_owned()
    };
    let (empty, outer, inner) = (folder("empty", ""), folder("outer", ""), folder("inner", "outer"));
    edit_document(&target.root, "assets", &target.made().assets[0], |asset| asset["folder"] = json!("inner")).unwrap();
    let outcomes = Mirror::of(&target, &[Collection::Folders]).run(&Collection::Folders, &[&empty, &outer, &inner]);
    assert_eq!(outcome(&outcomes, &empty), &DeleteOutcome::Deleted);
    assert!(matches!(outcome(&outcomes, &inner), DeleteOutcome::NotEmpty(_)), "{outcomes:?}");
    assert!(matches!(outcome(&outcomes, &outer), DeleteOutcome::NotEmpty(_)), "{outcomes:?}");
}

#[test]
fn a_document_with_a_double_stays() {
    let target = Instance::small();
    let (posts, id) = (items("posts"), target.made().posts[0].clone());
    instances::duplicate_id(&target.root, &posts.name(), &id, |post| post["title"] = json!("another one")).unwrap();
    let outcomes = Mirror::of(&target, std::slice::from_ref(&posts)).run(&posts, &[&id]);
    assert!(matches!(outcomes[0].1, DeleteOutcome::Held { cause: HeldCause::Duplicate, .. }), "{outcomes:?}");
}

#[test]
fn files_that_assets_leave_behind_in_a_mirror_go_unless_something_mentions_them() {
    let target = Instance::small();
    let unused = unused_assets(&target);
    let (plain, mentioned, merged) = (unused[0].clone(), unused[1].clone(), unused[2].clone());
    let give_other_file = |mirror: &Mirror<'_>, id: &str| {
        let seen = target.document(&Collection::Assets, id).unwrap();
        let bytes = format!("other bytes of {id}").into_bytes();
        let facts = facts(&format!("/2026/12/{id}.png"), &bytes);
        target.upload(&mirror.token, &facts, 0, &bytes);
        let place = PlaceFilesRequest { token: mirror.token.clone(), files: vec![facts.clone()] };
        target.storage.place_files(&place).unwrap();
        let mut row = parsed(&seen);
        row["path"] = json!(facts.path);
        row["size"] = json!(facts.size);
        row["_hash"] = json!("");
        let write = document(id, Some(seen.hash), row.to_string().as_bytes());
        let began = target.now() + 10;
        let written = target.write_modified(&mirror.token, &Collection::Assets, began, vec![write]).unwrap();
        assert_eq!(written, [WriteOutcome::Updated]);
    };
    let mirror = Mirror::of(&target, &[Collection::Assets]);
    let files = [&plain, &mentioned, &merged].map(|id| file_of(&target, id));
    // Before the run is known to be a mirror: as in a merge.
    give_other_file(&mirror, &merged);
    mirror.run(&Collection::Assets, &[]);
    give_other_file(&mirror, &plain);
    give_other_file(&mirror, &mentioned);
    let name = files[1].file_name().unwrap().to_str().unwrap();
    insert_document(&target.root, "content/collections/posts", &json!({"body": name, "_id": "a"})).unwrap();
    let tidied = target.storage.tidy_files(&TidyFilesRequest { token: mirror.token.clone() }).unwrap();
    assert_eq!((tidied.deleted, tidied.kept.len()), (1, 1), "{tidied:?}");
    assert_eq!(files.map(|file| file.exists()), [false, true, true]);
}

#[test]
fn a_source_that_lost_most_of_its_documents_since_the_last_sync_is_not_believed() {
    let target = Instance::small();
    let posts = items("posts");
    let mirror = Mirror::of(&target, std::slice::from_ref(&posts));
    let remember = RememberSourceRequest {
        token: mirror.token.clone(),
        source: "source".into(),
        collection: posts.clone(),
        count: 1000,
    };
    target.storage.remember_source(&remember).unwrap();
    mirror.propose(&posts, &[&target.made().posts[0]]);
    let refusals = mirror.decide().refusals;
    assert!(refusals[0].contains("at the last sync it had 1000"), "{refusals:?}");
    assert!(refusals[0].contains("--allow-shrunk"), "{refusals:?}");
}
