//! How often an agent listens: to those without a key by address, to those with one as its own config says. And whose
//! address that is behind a proxy.

use cockpit_sync_agent::{AgentSettings, Networks, Rate};
use protocol::api::{CloseGrant, CloseWhich};
use protocol::client::{AgentClient, CallError};
use protocol::sign::{SyncKey, sign_request};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::{KEY, RawRequest, TestAgent, base_url, http};

fn networks(of: &str) -> Networks {
    Networks::parse(&[of]).unwrap()
}

fn three_attempts(settings: AgentSettings) -> AgentSettings {
    AgentSettings { failed_attempts: Rate::parse("3/h").unwrap(), ..settings }
}

fn unknown_key() -> SyncKey {
    SyncKey::new("a key that this agent does not know").unwrap()
}

async fn fail_three_times(agent: &TestAgent) {
    for _ in 0..3 {
        let answer = RawRequest { key: unknown_key(), ..agent.request() }.send().await;
        assert_eq!(answer.status, 401);
    }
}

async fn check_with(agent_url: &str, key: &str) -> u16 {
    let body = json!({ "syncKey": key }).to_string();
    http().post(format!("{agent_url}/api/sync/check")).body(body).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn who_fails_too_often_is_answered_before_the_body_is_there() {
    let agent = TestAgent::start_with(three_attempts).await;
    fail_three_times(&agent).await;
    for path in ["manifest", "check"] {
        let head = format!("POST /api/sync/{path} HTTP/1.1\r\nhost: agent\r\ncontent-length: 1000\r\n\r\n");
        let mut stream = TcpStream::connect(agent.running.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        // To its end: the connection is closed, nothing else is read from it.
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("retry-after: "), "{answer}");
    }
}

#[tokio::test]
async fn signed_requests_pass_however_often_others_at_their_address_fail() {
    let agent = TestAgent::start_with(three_attempts).await;
    fail_three_times(&agent).await;
    assert_eq!(agent.request().send_with_token("garbage").await.status, 429);
    for _ in 0..100 {
        assert_eq!(agent.request().send().await.status, 200);
    }
}

#[tokio::test]
async fn a_wrong_key_is_called_wrong_and_not_busy_however_often_it_is_tried() {
    let agent = TestAgent::start_with(three_attempts).await;
    let client = AgentClient::new(http(), "tested", base_url(&agent.url()), unknown_key(), None);
    for attempt in 0..6 {
        let error = client.manifest().await.unwrap_err();
        assert!(matches!(&error, CallError::WrongKey { .. }) && !error.is_transient(), "{attempt}: {error:?}");
        assert!(error.to_string().contains("the key is not known here"), "{error}");
        assert_eq!(error.to_string().contains("tried too often from 127.0.0.1"), attempt >= 3, "{error}");
    }
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_so_under_signature_and_grants_are_not_held_up() {
    let slow = |settings| AgentSettings {
        rate_limit: Rate::parse("2/h"),
        keys: vec![SyncKey::new("another key of this agent").unwrap().into()],
        ..settings
    };
    let agent = TestAgent::start_with(slow).await;
    let client = agent.client();
    client.manifest().await.unwrap();
    client.manifest().await.unwrap();
    let error = client.manifest().await.unwrap_err();
    assert!(matches!(&error, CallError::Busy { says, .. } if says.contains("rate_limit")), "{error:?}");
    assert!(error.retry_after().is_some_and(|wait| wait.as_secs() > 1_000), "{error:?}");
    let answer = agent.request().send().await;
    assert_eq!((answer.status, answer.is_signed), (429, true));
    assert!(answer.headers.contains_key("retry-after"));
    let closing = CloseGrant { which: CloseWhich::Any, reason: "a test".into() };
    client.call(&closing).await.unwrap();
    let key = SyncKey::new("another key of this agent").unwrap();
    assert_eq!(RawRequest { key, ..agent.request() }.send().await.status, 200);
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_caller_has_its_own_attempts() {
    let behind = |settings| AgentSettings { trusted_proxies: networks("127.0.0.0/8"), ..three_attempts(settings) };
    let agent = TestAgent::start_with(behind).await;
    let guesser = proxy_for(&agent, "203.0.113.5").await;
    for status in [401, 401, 401, 429] {
        assert_eq!(check_with(&guesser, "not the key of this agent").await, status);
    }
    assert_eq!(check_with(&guesser, KEY).await, 429);
    assert_eq!(check_with(&proxy_for(&agent, "203.0.113.6").await, KEY).await, 200);
    // What the guesser says of itself stands left of what the proxy adds.
    let spoofing = proxy_for(&agent, "203.0.113.7, 203.0.113.5").await;
    assert_eq!(check_with(&spoofing, KEY).await, 429);
}

#[tokio::test]
async fn the_addresses_that_are_allowed_are_those_behind_a_trusted_proxy() {
    let behind = |settings| AgentSettings {
        trusted_proxies: networks("127.0.0.1"),
        allow: Some(networks("203.0.113.0/24")),
        ..settings
    };
    let agent = TestAgent::start_with(behind).await;
    let through = async |origin: &str| {
        let url = format!("{}/api/sync/manifest", proxy_for(&agent, origin).await);
        RawRequest { url, ..agent.request() }.send().await
    };
    assert_eq!(through("203.0.113.9").await.status, 200);
    let refused = through("203.0.113.9, 198.51.100.1").await.refusal();
    assert!(refused.message.contains("198.51.100.1"), "{}", refused.message);
    assert_eq!(agent.request().send().await.status, 403, "the proxy itself is not among them");
}

#[tokio::test]
async fn what_a_caller_says_of_its_address_is_not_believed() {
    let agent = TestAgent::start_with(|settings| AgentSettings {
        trusted_proxies: networks("10.0.0.0/8"),
        allow: Some(networks("203.0.113.0/24")),
        ..three_attempts(settings)
    });
    let agent = agent.await;
    for number in 0..5 {
        let mut request = agent.request();
        request.headers.push(("x-forwarded-for", "203.0.113.9"));
        assert_eq!(request.send().await.status, 403);
        request.key = unknown_key();
        let answer = request.send_with_token(&sign_request(&request.key, &request.claims)).await;
        assert_eq!(answer.status, if number < 3 { 403 } else { 429 });
        assert!(String::from_utf8_lossy(&answer.body).contains("127.0.0.1"), "{:?}", answer.body);
    }
}

/// A proxy that adds whom it was called by, as it was made to believe. Its URL.
async fn proxy_for(agent: &TestAgent, origin: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (behind, header) = (agent.running.address(), format!("X-Forwarded-For: {origin}\r\n"));
    tokio::spawn(async move {
        while let Ok((mut caller, _)) = listener.accept().await {
            let mut agent = TcpStream::connect(behind).await.unwrap();
            let mut first_line = Vec::new();
            while !first_line.ends_with(b"\r\n") {
                first_line.push(caller.read_u8().await.unwrap());
            }
            agent.write_all(&[&first_line, header.as_bytes()].concat()).await.unwrap();
            // One request per connection: who asks here makes a new client for each.
            let _hung_up = tokio::io::copy_bidirectional(&mut caller, &mut agent).await;
        }
    });
    url
}
