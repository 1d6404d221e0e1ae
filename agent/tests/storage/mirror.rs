//! What a mirror may delete, seen from one storage: nothing that is not on a list that was decided, and of that only what
//! is as it was and is needed by nothing that stays.

use instances::{delete_document, edit_document};
use protocol::api::*;
use protocol::canonical::DocHash;
use protocol::collection::Collection;
use protocol::filter::Filter;
use protocol::mirror::{MaxDelete, MirrorOrder, SignedOrder, look_of};
use protocol::selection::{Selected, Selection};
use serde_json::json;

use crate::support::*;

mod absent;
mod needed;

/// A mirror run at its target.
struct Mirror<'t> {
    target: &'t Instance,
    token: String,
    scope: Vec<Selected>,
    max_delete: Option<MaxDelete>,
    began: i64,
    override_locks: bool,
}

impl<'t> Mirror<'t> {
    fn of(target: &'t Instance, collections: &[Collection]) -> Self {
        let everything =
            |collection: &Collection| Selected { collection: collection.clone(), selection: Selection::default() };
        let scope = collections.iter().map(everything).collect();
        let max_delete = Some(MaxDelete::Percent(100));
        Self { target, token: target.grant(), scope, max_delete, began: target.now() + 10, override_locks: false }
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
        let (token, collection, override_locks) = (self.token.clone(), collection.clone(), self.override_locks);
        self.target.storage.delete(&DeleteRequest { token, collection, modified, override_locks, documents })
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
    let (collection, documents) = (posts.clone(), entries[..1].to_vec());
    let request = DeleteRequest { token, collection, modified: None, override_locks: false, documents };
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
fn what_an_editor_has_open_is_deleted_only_by_those_who_say_so() {
    let target = Instance::small();
    let (posts, ids) = (items("posts"), target.made().posts.clone());
    target.open_in_admin(&ids[0]);
    let mut mirror = Mirror::of(&target, std::slice::from_ref(&posts));
    let outcomes = mirror.run(&posts, &[&ids[0], &ids[1]]);
    let DeleteOutcome::Held { cause: HeldCause::Locked, message } = outcome(&outcomes, &ids[0]) else {
        panic!("{outcomes:?}")
    };
    assert!(message.contains("Anna"), "{message}");
    assert_eq!(outcome(&outcomes, &ids[1]), &DeleteOutcome::Deleted);
    assert!(target.document(&posts, &ids[0]).is_some());
    mirror.override_locks = true;
    assert_eq!(outcome(&mirror.delete_listed(&posts), &ids[0]), &DeleteOutcome::Deleted);
    assert!(target.document(&posts, &ids[0]).is_none());
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
