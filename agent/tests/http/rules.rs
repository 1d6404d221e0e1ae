//! What the agent's own settings forbid, whoever asks.

use cockpit_sync_agent::{AgentSettings, AllowedModels, Networks};
use protocol::api::{
    CloseGrant, CloseWhich, DecideRequest, DocumentsRequest, ErrorCode, ExtentRequest, ListRequest, WriteRequest,
};
use protocol::client::AgentClient;
use protocol::collection::Collection;
use protocol::mirror::{MirrorOrder, SignedOrder};
use protocol::selection::Selection;
use protocol::sign::SyncKey;

use crate::fixture::{TestAgent, base_url, http, opening};

#[tokio::test]
async fn a_read_only_agent_takes_no_writes_and_opens_no_grants() {
    let agent = TestAgent::start_with(|settings| AgentSettings { read_only: true, ..settings }).await;
    let client = agent.client();
    let write = WriteRequest {
        token: "none".into(),
        collection: Collection::Items("posts".into()),
        modified: None,
        override_locks: false,
        documents: Vec::new(),
    };
    assert_eq!(client.call(&write).await.unwrap_err().code(), Some(ErrorCode::ReadOnly));
    assert_eq!(client.call(&opening()).await.unwrap_err().code(), Some(ErrorCode::ReadOnly));
    assert!(client.manifest().await.unwrap().read_only);
}

#[tokio::test]
async fn a_grant_can_be_closed_at_a_read_only_agent() {
    let agent = TestAgent::start_with(|settings| AgentSettings { read_only: true, ..settings }).await;
    let closing = CloseGrant { which: CloseWhich::Any, reason: "a test".into() };
    assert_eq!(agent.client().call(&closing).await.unwrap().was_open, None);
}

#[tokio::test]
async fn a_model_that_is_not_allowed_is_refused_by_name() {
    let only = |settings| AgentSettings { models: AllowedModels::only(vec!["posts".into()]), ..settings };
    let agent = TestAgent::start_with(only).await;
    let extent = |model: &str| ExtentRequest { collection: Collection::Items(model.into()) };
    let error = agent.client().call(&extent("authors")).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Forbidden));
    assert!(error.to_string().contains("authors"), "{error}");
    agent.client().call(&extent("posts")).await.unwrap();
}

#[tokio::test]
async fn models_to_read_and_models_to_write_are_told_apart() {
    let split = AllowedModels { read: Some(vec!["posts".into()]), write: Some(vec!["authors".into()]) };
    let agent = TestAgent::start_with(|settings| AgentSettings { models: split, ..settings }).await;
    let client = agent.client();
    let documents = |model: &str| DocumentsRequest {
        collection: Collection::Items(model.into()),
        identities: vec!["x".into()],
        run: None,
    };
    let list = |model: &str, documents| ListRequest {
        collection: Collection::Items(model.into()),
        selection: Selection::default(),
        from_row: 0,
        to_row: None,
        documents,
    };
    let write = |model: &str, token: &str| WriteRequest {
        token: token.into(),
        collection: Collection::Items(model.into()),
        modified: None,
        override_locks: false,
        documents: Vec::new(),
    };
    let token = client.call(&opening()).await.unwrap().token;
    client.call(&documents("posts")).await.unwrap();
    client.call(&list("posts", true)).await.unwrap();
    client.call(&write("authors", &token)).await.unwrap();
    for error in [
        client.call(&documents("authors")).await.unwrap_err(),
        client.call(&list("authors", true)).await.unwrap_err(),
        client.call(&write("posts", &token)).await.unwrap_err(),
        client.call(&write("others", &token)).await.unwrap_err(),
    ] {
        assert_eq!(error.code(), Some(ErrorCode::Forbidden), "{error}");
    }
    // Whoever writes must know what is there.
    client.call(&list("authors", false)).await.unwrap();
    assert_eq!(client.call(&list("others", false)).await.unwrap_err().code(), Some(ErrorCode::Forbidden));
}

#[tokio::test]
async fn an_address_that_is_not_allowed_is_told_so() {
    let elsewhere = |settings| AgentSettings { allow: Some(Networks::parse(&["10.0.0.0/8"]).unwrap()), ..settings };
    let agent = TestAgent::start_with(elsewhere).await;
    let error = agent.client().manifest().await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Forbidden));
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
    let stranger = agent.request().send_with_token("").await;
    assert_eq!((stranger.status, stranger.is_signed), (403, false));
    let check = reqwest::Client::get(&crate::fixture::http(), agent.endpoint("check")).send().await.unwrap();
    assert_eq!(check.status(), 403);
}

#[tokio::test]
async fn a_mirror_that_no_command_approved_is_refused() {
    let agent = TestAgent::start().await;
    let (client, instance) = (agent.client(), agent.running.instance().to_owned());
    let token = client.call(&opening()).await.unwrap().token;
    let order = |run: &str, target: &str| MirrorOrder {
        run: run.into(),
        source: "somewhere".into(),
        target: target.into(),
        scope: Vec::new(),
        max_delete: None,
        allow_shrunk: false,
    };
    let decide = async |order: SignedOrder| client.call(&DecideRequest { token: token.clone(), order }).await;
    let approved = client.approve(order("run-1", &instance).encode());
    let strangers_key = SyncKey::new("a key that this agent has never seen").unwrap();
    let stranger = AgentClient::new(http(), "stranger", base_url(&agent.url()), strangers_key, None);
    let changed = SignedOrder { bytes: order("run-2", &instance).encode(), ..approved.clone() };
    let orders = [
        stranger.approve(order("run-1", &instance).encode()),
        changed,
        SignedOrder { approval: String::new(), ..approved.clone() },
        // Approved, but for something else.
        client.approve(order("run-2", &instance).encode()),
        client.approve(order("run-1", "another instance").encode()),
    ];
    for order in orders {
        assert_eq!(decide(order).await.unwrap_err().code(), Some(ErrorCode::Forbidden));
    }
    assert_eq!(decide(approved).await.unwrap().refusals, Vec::<String>::new());
}

#[tokio::test]
async fn an_agent_that_is_no_source_tells_what_differs_and_gives_no_content() {
    let target_only = |settings| AgentSettings { is_source: false, ..settings };
    let agent = TestAgent::start_with(target_only).await;
    let client = agent.client();
    let collection = Collection::Assets;
    let list = |documents| ListRequest {
        collection: collection.clone(),
        selection: Selection::default(),
        from_row: 0,
        to_row: None,
        documents,
    };
    client.call(&list(false)).await.unwrap();
    assert_eq!(client.call(&list(true)).await.unwrap_err().code(), Some(ErrorCode::Forbidden));
    let documents = DocumentsRequest { collection, identities: vec!["a".into()], run: None };
    let error = client.call(&documents).await.unwrap_err();
    assert!(error.to_string().contains("directions does not name source"), "{error}");
    client.call(&opening()).await.unwrap();
}
