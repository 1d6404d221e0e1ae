//! An agent that ends TLS itself: who is believed on either side, and certificates that are renewed while it runs.

use std::time::Duration;

use cockpit_sync_agent::{Agent, AgentSettings, RunningAgent, StartError};
use listening::{ListenError, tls};
use protocol::client::{AgentClient, CallError, HttpSettings, http_client};
use servers::{Authority, Certificate};
use tempfile::TempDir;

use crate::fixture::{base_url, cockpit, key, settings};

/// An agent at 127.0.0.1 with this certificate.
async fn agent(certificate: &Certificate, client_ca: Option<&Authority>) -> (RunningAgent, TempDir) {
    let root = cockpit();
    let files = tls::Files {
        cert: certificate.cert.clone(),
        key: certificate.key.clone(),
        client_ca: client_ca.map(Authority::ca),
    };
    let settings = AgentSettings { tls: Some(files), ..settings(&root) };
    (Agent::start(settings).await.unwrap(), root)
}

/// A client that believes this authority, and has this certificate.
fn client(agent: &RunningAgent, ca: Option<&Authority>, own: Option<&Certificate>) -> AgentClient {
    let http = http_client(&HttpSettings {
        proxy: None,
        ca: ca.map(Authority::ca),
        certificate: own.map(|own| (own.cert.clone(), own.key.clone())),
        ..HttpSettings::default()
    });
    let url = format!("https://{}", agent.address());
    AgentClient::new(http.unwrap(), "tested", base_url(&url), key(), None)
}

async fn is_let_in(client: &AgentClient) -> bool {
    match client.manifest().await {
        Ok(_) => true,
        Err(error) => {
            assert!(error.is_about_certificates(), "{error:?}");
            false
        }
    }
}

#[tokio::test]
async fn a_certificate_of_ones_own_authority_is_believed_and_no_other() {
    let authority = Authority::new("own");
    let (agent, _root) = agent(&authority.sign("agent", "127.0.0.1"), None).await;
    assert!(is_let_in(&client(&agent, Some(&authority), None)).await);
    assert!(!is_let_in(&client(&agent, Some(&Authority::new("another")), None)).await);
    assert!(!is_let_in(&client(&agent, None, None)).await, "the system does not know it");
    let plain = format!("http://{}/api/sync/check", agent.address());
    assert!(reqwest::Client::new().get(plain).send().await.is_err());
}

#[tokio::test]
async fn where_clients_need_a_certificate_one_of_the_named_authority_is_let_in() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let (agent, _root) = agent(&servers.sign("agent", "127.0.0.1"), Some(&clients)).await;
    assert!(is_let_in(&client(&agent, Some(&servers), Some(&clients.sign("worker", "worker")))).await);
    assert!(!is_let_in(&client(&agent, Some(&servers), None)).await);
    assert!(!is_let_in(&client(&agent, Some(&servers), Some(&servers.sign("other", "other")))).await);
}

/// With TLS 1.3 whoever is turned away may learn it at any moment of a request, or only that the connection is gone.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_turned_away_is_told_that_it_is_about_its_certificate_whenever_that_comes_out() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let (agent, _root) = agent(&servers.sign("agent", "127.0.0.1"), Some(&clients)).await;
    let stranger = servers.sign("stranger", "stranger");
    let (nobody, stranger) = (client(&agent, Some(&servers), None), client(&agent, Some(&servers), Some(&stranger)));
    for _ in 0..200 {
        for client in [&nobody, &stranger] {
            let error = client.manifest().await.unwrap_err();
            let says = error.to_string();
            let is_known = matches!(error, CallError::TurnedAway { .. } | CallError::Unreachable { .. });
            assert!(is_known && error.is_about_certificates() && says.contains("client_cert"), "{says}");
        }
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections_and_ends_none_that_is_there() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let certificate = old.sign("agent", "127.0.0.1");
    let (agent, _root) = agent(&certificate, None).await;
    let connected = client(&agent, Some(&old), None);
    assert!(is_let_in(&connected).await);
    let renewed = new.sign("agent", "127.0.0.1");
    // Half way the key does not fit: the certificate before stays.
    std::fs::copy(&renewed.cert, &certificate.cert).unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(is_let_in(&client(&agent, Some(&old), None)).await);
    std::fs::copy(&renewed.key, &certificate.key).unwrap();
    let mut tries = 0;
    while !is_let_in(&client(&agent, Some(&new), None)).await {
        tries += 1;
        assert!(tries < 100, "the new certificate is not shown");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // It would not believe the new one: it goes on over the connection that it has.
    assert!(is_let_in(&connected).await);
    assert!(!is_let_in(&client(&agent, Some(&old), None)).await);
}

#[tokio::test]
async fn files_that_are_of_no_use_are_named_at_the_start() {
    let root = cockpit();
    let authority = Authority::new("own");
    let (certificate, other) = (authority.sign("agent", "127.0.0.1"), authority.sign("other", "127.0.0.1"));
    for (cert, key) in [(&root.path().join("not there"), &certificate.key), (&certificate.cert, &other.key)] {
        let files = tls::Files { cert: cert.clone(), key: key.clone(), client_ca: None };
        let settings = AgentSettings { tls: Some(files), ..settings(&root) };
        let Err(error) = Agent::start(settings).await else { panic!("it started") };
        assert!(matches!(error, StartError::Listen(ListenError::Tls(_))), "{error:?}");
        assert!(error.to_string().contains(&cert.display().to_string()), "{error}");
    }
}
