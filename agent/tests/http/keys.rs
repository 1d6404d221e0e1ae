//! Keys that are for one purpose and one time, that come and go beside a running agent, and whose last use is known.

use cockpit_sync_agent::{AcceptedKey, AgentSettings, KeyFile, NewKey};
use protocol::api::{CloseGrant, CloseWhich, DecideRequest, ErrorCode, ExtentRequest, KeyRequest, SummaryRequest};
use protocol::client::AgentClient;
use protocol::collection::Collection;
use protocol::keys::Purpose;
use protocol::mirror::MirrorOrder;
use protocol::sign::SyncKey;

use crate::fixture::{RawRequest, TestAgent, base_url, http, key, opening, settings};

fn named(id: &str, purpose: Purpose) -> AcceptedKey {
    let key = SyncKey::new(format!("a key of the tests, called {id}")).unwrap();
    AcceptedKey { id: id.into(), purpose, ..AcceptedKey::from(key) }
}

fn client(agent: &TestAgent, key: &SyncKey) -> AgentClient {
    let instance = agent.running.instance().to_owned();
    AgentClient::new(http(), "tested", base_url(&agent.url()), key.clone(), Some(instance))
}

#[tokio::test]
async fn a_key_is_good_for_its_purpose_and_nothing_more() {
    let keys = [named("checks", Purpose::Check), named("reads", Purpose::Read), named("writes", Purpose::Write)];
    let agent = TestAgent::start_with(|settings| AgentSettings { keys: keys.to_vec(), ..settings }).await;
    let summary = SummaryRequest { collection: Collection::Assets, selection: Default::default(), run: None };
    for accepted in &keys {
        let client = client(&agent, &accepted.key);
        client.manifest().await.unwrap();
        let may = |asked: Result<(), Option<ErrorCode>>| {
            asked.map_or_else(|code| assert_eq!(code, Some(ErrorCode::Forbidden)), drop)
        };
        let read = client.call(&summary).await;
        assert_eq!(read.is_ok(), accepted.purpose >= Purpose::Read);
        let opened = client.call(&opening()).await;
        assert_eq!(opened.is_ok(), accepted.purpose == Purpose::Write);
        may(read.map(drop).map_err(|error| error.code()));
        may(opened.map(drop).map_err(|error| error.code()));
    }
    let error = client(&agent, &keys[1].key).call(&opening()).await.unwrap_err().to_string();
    assert!(error.contains("the key reads is for read, and grant/open takes one for write"), "{error}");
}

#[tokio::test]
async fn a_key_that_only_reads_approves_nothing() {
    let reads = named("reads", Purpose::Read);
    let agent = TestAgent::start_with(|settings| AgentSettings { keys: vec![reads.clone()], ..settings }).await;
    let token = agent.client().call(&opening()).await.unwrap().token;
    let order = MirrorOrder {
        run: "run-1".into(),
        source: "somewhere".into(),
        target: agent.running.instance().into(),
        scope: Vec::new(),
        max_delete: None,
        allow_shrunk: false,
    };
    let decide = |by: &AgentClient| DecideRequest { token: token.clone(), order: by.approve(order.encode()) };
    let refused = agent.client().call(&decide(&client(&agent, &reads.key))).await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::Forbidden));
    agent.client().call(&decide(&agent.client())).await.unwrap();
}

#[tokio::test]
async fn a_key_out_of_its_time_is_told_both_times_and_an_expired_one_does_not_pass_the_raw_check() {
    let (past, future) = (AcceptedKey { until_ms: Some(1000), ..named("old", Purpose::Write) }, i64::MAX / 2);
    let early = AcceptedKey { from_ms: Some(future.min(4_102_444_800_000)), ..named("early", Purpose::Write) };
    let keys = vec![past.clone(), early.clone()];
    let agent = TestAgent::start_with(|settings| AgentSettings { keys, ..settings }).await;
    for (key, limit) in
        [(past.key, "no longer good: it was until 1970-01-01T00:00:01Z"), (early.key, "not good before 2100-01-01")]
    {
        let answer = RawRequest { key, ..agent.request() }.send().await.refusal();
        assert_eq!(answer.code, ErrorCode::Unauthorized);
        assert!(answer.message.contains(limit) && answer.message.contains("and it is 20"), "{}", answer.message);
    }
    let body = serde_json::json!({ "syncKey": "a key of the tests, called old" }).to_string();
    assert_eq!(http().post(agent.endpoint("check")).body(body).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn keys_come_and_go_beside_a_running_agent_and_their_last_use_is_known() {
    let agent = TestAgent::start().await;
    let file = KeyFile::of(&settings(&agent.root));
    let new = NewKey { id: "2027".into(), purpose: Purpose::Read, from_ms: None, until_ms: None };
    let key_of_file = SyncKey::new(file.add(new).unwrap()).unwrap();
    // At once: whoever comes with a key that is not known has the file looked at.
    let caller = client(&agent, &key_of_file);
    caller.call(&ExtentRequest { collection: Collection::Assets }).await.unwrap();
    let found = caller.call(&KeyRequest { kid: key_of_file.id().into() }).await.unwrap().key.unwrap();
    assert_eq!((found.id.as_str(), found.purpose, found.place.as_str()), ("2027", Purpose::Read, "keys new"));
    assert_eq!(found.last_address.as_deref(), Some("127.0.0.1"));
    agent.client().manifest().await.unwrap();

    file.retire("2027").unwrap();
    let gone = async || caller.manifest().await.is_err();
    let mut tries = 0;
    while !gone().await {
        tries += 1;
        assert!(tries < 100, "a retired key is still accepted");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let root = agent.root;
    agent.running.shutdown().await.unwrap();
    let listed = KeyFile::of(&settings(&root)).list().unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((listed[0].kid.as_str(), listed[0].place.as_str()), (key().id(), "config/config.php"));
    assert!(listed[0].last_used_ms.is_some());
    let text = std::fs::read_to_string(root.path().join("storage/cockpit-sync/key-use.json")).unwrap();
    assert!(!text.contains(crate::fixture::KEY), "{text}");
}

#[tokio::test]
async fn a_key_file_that_cannot_be_read_locks_nobody_out() {
    let agent = TestAgent::start().await;
    let file = KeyFile::of(&settings(&agent.root));
    let new = NewKey { id: "one".into(), purpose: Purpose::Write, from_ms: None, until_ms: None };
    let key = SyncKey::new(file.add(new).unwrap()).unwrap();
    client(&agent, &key).manifest().await.unwrap();
    std::fs::write(agent.root.path().join("storage/cockpit-sync/keys.json"), "{ half").unwrap();
    let stranger = SyncKey::new("a key that this agent does not know").unwrap();
    assert_eq!(RawRequest { key: stranger, ..agent.request() }.send().await.status, 401);
    client(&agent, &key).manifest().await.unwrap();
    let closing = CloseGrant { which: CloseWhich::Any, reason: "a test".into() };
    client(&agent, &key).call(&closing).await.unwrap();
}
