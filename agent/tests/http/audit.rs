//! What is written down of requests, and what is not: secrets.

use protocol::api::{AuditFrom, AuditRequest, CloseGrant, CloseWhich, ErrorCode, OpenGrant};
use protocol::audit::{Action, Entry};
use protocol::sign::SyncKey;
use serde_json::json;

use crate::fixture::{KEY, RawRequest, TestAgent, http, key};

async fn entries(agent: &TestAgent) -> Vec<Entry> {
    let latest = AuditRequest { from: AuditFrom::Last(1000) };
    let lines = agent.client().call(&latest).await.unwrap().lines;
    lines.iter().map(|line| Entry::read(line).unwrap().0).collect()
}

fn of(entries: &[Entry], action: Action) -> Vec<&Entry> {
    entries.iter().filter(|entry| entry.action == action).collect()
}

#[tokio::test]
async fn a_grant_is_written_down_with_who_where_and_when_it_came_and_went() {
    let agent = TestAgent::start().await;
    let opening = OpenGrant {
        grant_id: "grant-1".into(),
        authority: "a deployment".into(),
        run: "run-1".into(),
        holder: "run run-1, a test".into(),
        ttl_ms: 60_000,
        about: None,
    };
    let client = agent.client();
    for _ in 0..3 {
        client.call(&opening).await.unwrap();
    }
    let closing = CloseGrant { which: CloseWhich::Run("run-1".into()), reason: "the test is over".into() };
    client.call(&closing).await.unwrap();
    let entries = entries(&agent).await;
    let actions: Vec<Action> = entries.iter().map(|entry| entry.action).collect();
    assert_eq!(actions, [Action::AgentStarted, Action::GrantOpened, Action::RunEnded, Action::GrantClosed]);
    for entry in of(&entries, Action::GrantOpened).into_iter().chain(of(&entries, Action::GrantClosed)) {
        assert_eq!(entry.target, agent.running.instance());
        assert_eq!((entry.key.as_deref(), entry.address.as_deref()), (Some(key().id()), Some("127.0.0.1")));
        assert_eq!(entry.run.as_deref(), Some("run-1"));
        assert!(entry.time.ends_with('Z') && entry.time.len() == 24, "{}", entry.time);
    }
    let ended = of(&entries, Action::RunEnded)[0];
    assert_eq!((ended.reason.as_deref(), ended.counts["created"]), (Some("the test is over"), 0));
    let receipt = client.call(&protocol::api::ReceiptRequest { run: "run-1".into() }).await.unwrap().receipt.unwrap();
    assert_eq!(ended.receipt.as_ref(), Some(&receipt.hash()));
}

#[tokio::test]
async fn every_refusal_is_written_down_and_floods_are_counted() {
    let agent = TestAgent::start().await;
    let secret = "another key, which nobody here knows";
    for _ in 0..100 {
        let key = SyncKey::new(secret).unwrap();
        RawRequest { key, ..agent.request() }.send().await;
    }
    let mut expired = agent.request();
    expired.claims.iat -= 100;
    expired.claims.exp -= 100;
    assert_eq!(expired.send().await.refusal().code, ErrorCode::ClockSkew);
    let body = json!({ "syncKey": secret }).to_string();
    http().post(agent.endpoint("check")).body(body).send().await.unwrap();
    let written = entries(&agent).await;
    let refused = of(&written, Action::Refused);
    let with_key: Vec<_> = refused.iter().filter(|entry| entry.key.is_some()).collect();
    assert_eq!(with_key.len(), 1, "{refused:#?}");
    assert!(with_key[0].reason.as_ref().unwrap().contains("clock"), "{with_key:?}");
    // Of strangers: the first that was looked at, the first that was not, and a check.
    assert_eq!(refused.len(), 4, "{refused:#?}");
    let log = std::fs::read_dir(agent.root.path().join("storage/cockpit-sync/audit")).unwrap();
    let text: String = log.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    assert!(!text.contains(secret) && !text.contains(KEY), "{text}");

    // Those that were counted are written when the agent ends.
    let root = agent.root;
    agent.running.shutdown().await.unwrap();
    let running = cockpit_sync_agent::Agent::start(crate::fixture::settings(&root)).await.unwrap();
    let agent = TestAgent { running, root };
    let written = entries(&agent).await;
    let times: u64 = of(&written, Action::Refused).iter().filter_map(|entry| entry.counts.get("times")).sum();
    let once = of(&written, Action::Refused).iter().filter(|entry| !entry.counts.contains_key("times")).count();
    assert_eq!(times + once as u64, 102);
}
