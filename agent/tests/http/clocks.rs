//! Callers whose clock is wrong, and agents that were restarted.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use cockpit_sync_agent::{Agent, AgentSettings};
use protocol::api::ErrorCode;
use protocol::client::AgentClient;

use crate::fixture::{TestAgent, base_url, http, key, now, settings};

/// A client whose clock is wrong by so many seconds, and a count of how often it looked at it.
fn client_off_by(agent: &TestAgent, seconds: i64) -> (AgentClient, Arc<AtomicUsize>) {
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = looks.clone();
    let client = agent.client().with_clock(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        now() + seconds
    });
    (client, looks)
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_once_and_remembered() {
    let agent = TestAgent::start().await;
    for seconds in [-3_600, 3_600] {
        let (client, looks) = client_off_by(&agent, seconds);
        client.manifest().await.unwrap();
        assert_eq!(looks.swap(0, Ordering::SeqCst), 3, "refused, corrected, signed anew");
        client.manifest().await.unwrap();
        client.for_instance(agent.running.instance()).manifest().await.unwrap();
        assert_eq!(looks.load(Ordering::SeqCst), 2, "signed once each");
    }
}

#[tokio::test]
async fn an_agent_that_was_restarted_takes_no_older_request_and_a_client_signs_anew() {
    let agent = TestAgent::start().await;
    let mut recorded = agent.request();
    recorded.claims.iat -= 10;
    let root = agent.root;
    agent.running.shutdown().await.unwrap();
    let agent = TestAgent { running: Agent::start(settings(&root)).await.unwrap(), root };
    recorded.url = agent.endpoint("manifest");
    assert_eq!(recorded.send().await.refusal().code, ErrorCode::Replayed);
    // A clock that is behind by less than a token's life makes every request look like one from before the start.
    let (client, _) = client_off_by(&agent, -30);
    client.manifest().await.unwrap();
}

/// An agent whose clock is ahead of the machine's by as many seconds as the number says.
async fn start_ahead_by(ahead: &Arc<AtomicI64>) -> TestAgent {
    let shift = ahead.clone();
    let shifted = move |settings: AgentSettings| AgentSettings {
        now: Arc::new(move || {
            SystemTime::now() + Duration::from_secs(u64::try_from(shift.load(Ordering::SeqCst)).unwrap())
        }),
        ..settings
    };
    TestAgent::start_with(shifted).await
}

#[tokio::test]
async fn the_agents_clock_decides_not_the_machines() {
    let agent = start_ahead_by(&Arc::new(AtomicI64::new(86_400))).await;
    assert_eq!(agent.request().send().await.refusal().code, ErrorCode::ClockSkew);
    let client = AgentClient::new(http(), "tested", base_url(&agent.url()), key(), None);
    client.manifest().await.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_set_while_the_agent_runs_stops_nobody() {
    let ahead = Arc::new(AtomicI64::new(86_400));
    let agent = start_ahead_by(&ahead).await;
    let client = agent.client();
    for seconds in [86_400, 82_800, 90_000, 0] {
        ahead.store(seconds, Ordering::SeqCst);
        client.manifest().await.unwrap();
        client.manifest().await.unwrap();
    }
}
