//! Starting, ending, and what stands in the way of either.

use cockpit_sync_agent::{Agent, AgentSettings, StartError};
use protocol::client::{AgentClient, CallError};
use protocol::sign::{SyncKey, sign_request};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixture::{TestAgent, base_url, cockpit, http, key, settings};

#[tokio::test]
async fn an_agent_without_a_key_does_not_start_and_names_the_three_places_for_one() {
    let root = TempDir::new().unwrap();
    instances::make_empty(root.path()).unwrap();
    let Err(error) = Agent::start(settings(&root)).await else { panic!("it started") };
    assert!(matches!(error, StartError::NoKey), "{error:?}");
    for place in ["config/config.php", "COCKPIT_SYNC_KEY", "[agent]"] {
        assert!(error.to_string().contains(place), "{error}");
    }
    let given = AgentSettings { keys: vec![key().into()], ..settings(&root) };
    Agent::start(given).await.unwrap().shutdown().await.unwrap();
}

#[tokio::test]
async fn a_key_that_is_too_short_is_a_reason_not_to_start() {
    let root = cockpit();
    instances::with_sync_key(root.path(), "short").unwrap();
    let Err(error) = Agent::start(settings(&root)).await else { panic!("it started") };
    assert!(matches!(error, StartError::ConfigKey(_)), "{error:?}");
    assert!(error.to_string().contains("20 characters") && !error.to_string().contains("short\""), "{error}");
}

#[tokio::test]
async fn all_keys_are_accepted_so_that_they_can_be_rotated() {
    let new = SyncKey::new("the key that comes after it").unwrap();
    let keys = vec![new.clone().into()];
    let agent = TestAgent::start_with(|settings| AgentSettings { keys, ..settings }).await;
    agent.client().manifest().await.unwrap();
    AgentClient::new(http(), "tested", base_url(&agent.url()), new, None).manifest().await.unwrap();
}

#[tokio::test]
async fn a_wrong_key_is_called_that() {
    let agent = TestAgent::start().await;
    let other = SyncKey::new("the key of another instance").unwrap();
    let id = other.id().to_owned();
    let error = AgentClient::new(http(), "tested", base_url(&agent.url()), other, None).manifest().await.unwrap_err();
    assert!(matches!(error, CallError::WrongKey { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("sync.syncKey") && text.contains(&id) && !text.contains("another instance"), "{text}");
}

#[tokio::test]
async fn a_second_agent_on_one_storage_does_not_start() {
    let agent = TestAgent::start().await;
    let Err(error) = Agent::start(settings(&agent.root)).await else { panic!("it started") };
    assert!(matches!(error, StartError::Storage(_)), "{error:?}");
    agent.client().manifest().await.unwrap();
    agent.running.shutdown().await.unwrap();
    Agent::start(settings(&agent.root)).await.unwrap().shutdown().await.unwrap();
}

#[tokio::test]
async fn an_instance_keeps_its_id_across_restarts() {
    let agent = TestAgent::start().await;
    let id = agent.running.instance().to_owned();
    agent.running.shutdown().await.unwrap();
    let again = Agent::start(settings(&agent.root)).await.unwrap();
    assert_eq!(again.instance(), id);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_and_the_storage_given_back() {
    let first = TestAgent::start().await;
    let root = cockpit();
    let taken = AgentSettings { listen: first.running.address(), ..settings(&root) };
    let Err(error) = Agent::start(taken).await else { panic!("it started") };
    assert!(error.to_string().contains(&first.running.address().to_string()), "{error}");
    Agent::start(settings(&root)).await.unwrap().shutdown().await.unwrap();
}

#[tokio::test]
async fn an_agent_that_was_shut_down_is_unreachable() {
    let agent = TestAgent::start().await;
    let client = agent.client();
    client.manifest().await.unwrap();
    agent.running.shutdown().await.unwrap();
    let error = client.manifest().await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. } | CallError::Unknown { .. }), "{error:?}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_request_that_has_begun_is_answered_before_the_agent_ends() {
    let agent = TestAgent::start().await;
    let (address, request) = (agent.running.address(), agent.request());
    let token = sign_request(&request.key, &request.claims);
    let head = format!(
        "POST /api/sync/manifest HTTP/1.1\r\nhost: agent\r\nauthorization: Bearer {token}\r\nexpect: 100-continue\r\n\
         content-length: {}\r\n\r\n",
        request.body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut start = [0; 25];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&start), "HTTP/1.1 100 Continue\r\n\r\n");
    let ending = tokio::spawn(agent.running.shutdown());
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!ending.is_finished());
    stream.write_all(&request.body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&answer));
    ending.await.unwrap().unwrap();
}

#[tokio::test]
async fn many_callers_at_once_are_all_answered() {
    let agent = TestAgent::start().await;
    let callers = (0..40).map(|_| {
        let client = agent.client();
        tokio::spawn(async move {
            for _ in 0..10 {
                client.manifest().await.unwrap();
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
}
