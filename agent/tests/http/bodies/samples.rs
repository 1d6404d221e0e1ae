//! A sound request of every kind.

use instances::Made;
use protocol::api::*;
use protocol::canonical::{CollectionSummary, DocHash};
use protocol::collection::Collection;
use protocol::mirror::{MirrorOrder, UndoOrder};
use protocol::run::Endpoint;
use protocol::selection::{Selected, Selection};
use protocol::sign::approve;
use serde_json::json;

use crate::fixture::{key, now};

pub const RUN: &str = "run-1";

/// Path and body of each; `token` is of the grant that is open.
pub fn all(instance: &str, token: &str, made: &Made) -> Vec<(&'static str, Vec<u8>)> {
    let token = || token.to_owned();
    let posts = || Collection::Items("posts".into());
    let filter = protocol::filter::Filter::parse(r#"{"_state":1,"title":{"$regex":"a"}}"#).unwrap();
    let selection = || Selection { only: Some(made.posts.clone()), filter: Some(filter.clone()) };
    let post = |id: &str| json!({"_id": id, "title": "Sent", "_state": 1, "tags": ["a", {"b": null}]}).to_string();
    let hash = DocHash([7; 16]);
    let facts = FileFacts { path: "/2026/x.png".into(), size: 1, sha256: protocol::sign::body_hash(b"x") };
    let order = MirrorOrder {
        run: RUN.into(),
        source: "source".into(),
        target: instance.into(),
        scope: vec![Selected { collection: posts(), selection: Selection::default() }],
        max_delete: None,
        allow_shrunk: true,
    };
    let order = || approve(&key(), now(), order.encode());
    let undo = UndoOrder { run: RUN.into(), target: instance.into(), undoes: "run-0".into() };
    let endpoint = |name: &str| Endpoint { name: name.into(), instance: instance.into() };
    let about = RunAbout {
        direction: "push".into(),
        source: endpoint("staging"),
        target: endpoint("production"),
        started_by: "anna".into(),
        options: json!({"a": [1, {"b": null}]}),
    };
    let write = |collection, documents: Vec<WriteDocument>| WriteRequest {
        token: token(),
        collection,
        modified: Some(1_800_000_000),
        override_locks: false,
        documents,
    };
    let document = |id: &str, text: String| WriteDocument {
        identity: id.into(),
        expect: None,
        body: Body::Inline(text.into_bytes()),
    };
    let model = json!({"name": "news", "type": "collection", "fields": [{"name": "title"}], "meta": null});
    vec![
        of(&ManifestRequest {}),
        of(&KeyRequest { kid: key().id().into() }),
        of(&ExtentRequest { collection: posts() }),
        of(&SummaryRequest { collection: posts(), selection: selection(), run: Some(RUN.into()) }),
        of(&ListRequest {
            collection: posts(),
            selection: selection(),
            from_row: 1,
            to_row: Some(50),
            documents: true,
        }),
        of(&PartsRequest { collection: posts(), parts: 8, as_stored: true }),
        of(&ListPartsRequest { collection: posts(), parts: 8, which: vec![0, 3], from_row: 0 }),
        of(&DocumentsRequest { collection: posts(), identities: made.posts[..3].to_vec(), run: Some(RUN.into()) }),
        of(&EmbeddedRequest {
            collection: posts(),
            selection: selection(),
            from_row: 0,
            wanted: Collection::Assets,
            except: Selection::default(),
            part: 0,
            parts: 2,
        }),
        of(&DiffRequest {
            collection: posts(),
            run: RUN.into(),
            entries: vec![(made.posts[0].clone(), hash)],
            source: Some("source".into()),
            agree: true,
        }),
        of(&AgreeRequest {
            collection: posts(),
            source: "source".into(),
            selection: Selection::default(),
            summary: CollectionSummary { count: 1, sum: 3 },
        }),
        of(&FilesRequest { assets: made.assets.clone() }),
        of(&ReadFileRequest { asset: made.assets[0].clone(), sha256: facts.sha256.clone(), offset: 0, length: 100 }),
        of(&StatFilesRequest { files: vec![facts.clone()] }),
        of(&UploadRequest {
            token: token(),
            parts: vec![UploadPart { sha256: facts.sha256.clone(), size: 1, offset: 0, bytes: b"x".to_vec() }],
        }),
        of(&PlaceFilesRequest { token: token(), files: vec![facts.clone()] }),
        of(&write(posts(), vec![document("new-1", post("new-1")), document(&made.posts[1], post(&made.posts[1]))])),
        of(&write(Collection::Models, vec![document("news", model.to_string())])),
        of(&AbsentRequest { collection: posts(), identities: vec![made.posts[0].clone(), "nobody".into()] }),
        of(&ProposeRequest {
            token: token(),
            order: order(),
            collection: posts(),
            from_start: true,
            identities: vec![made.posts[5].clone()],
            listed: Some(Listed { there: 60, at_source: 59, unproven: None }),
        }),
        of(&DecideRequest { token: token(), order: order() }),
        of(&CandidatesRequest { token: token(), collection: posts(), after: None }),
        of(&DeleteRequest {
            token: token(),
            collection: posts(),
            modified: Some(1_800_000_000),
            override_locks: true,
            documents: vec![(made.posts[5].clone(), hash)],
        }),
        of(&TidyFilesRequest { token: token() }),
        of(&RememberSourceRequest { token: token(), source: "source".into(), collection: posts(), count: 60 }),
        of(&OpenGrant {
            grant_id: "grant-1".into(),
            authority: "redis-1".into(),
            run: RUN.into(),
            holder: "a test".into(),
            ttl_ms: 60_000,
            about: Some(about),
        }),
        of(&RenewGrant { token: token() }),
        of(&CloseGrant { which: CloseWhich::Any, reason: "tested".into() }),
        of(&ActionsRequest { run: RUN.into() }),
        of(&ReceiptRequest { run: RUN.into() }),
        of(&AuditRequest { from: AuditFrom::Place(AuditPlace::default()) }),
        of(&UndoPlanRequest { run: RUN.into(), collection: posts().name(), after: None }),
        of(&UndoRequest {
            token: token(),
            run: "run-0".into(),
            collection: posts().name(),
            part: UndoPart::PutBack,
            override_locks: false,
            after: None,
            order: approve(&key(), now(), undo.encode()),
        }),
    ]
}

fn of<C: Call>(request: &C) -> (&'static str, Vec<u8>) {
    (C::PATH, rmp_serde::to_vec_named(request).unwrap())
}
