//! Something else answers in the agent's place: never is it taken for data (I11).

use std::time::Duration;

use protocol::api::{Nothing, RenewGrant};
use protocol::client::{AgentClient, CallError, MAX_ANSWER_BYTES};
use protocol::sign::SyncKey;
use tokio::net::TcpListener;

use crate::fixture::{base_url, http, key};
use crate::stand_in::{StandIn, page, signed_page};

fn renewal() -> RenewGrant {
    RenewGrant { token: "a token".into() }
}

/// Bytes that would be a perfect answer if an agent had signed them.
fn perfect_body() -> Vec<u8> {
    rmp_serde::to_vec_named(&Nothing {}).unwrap()
}

async fn error_for(answer: impl Into<Vec<u8>>) -> CallError {
    StandIn::saying(answer).await.client().call(&renewal()).await.unwrap_err()
}

#[tokio::test]
async fn a_web_servers_error_page_is_described_and_not_interpreted() {
    let html = "<html><head><title>404 Not Found</title></head><body>nginx</body></html>";
    let error = error_for(page("404 Not Found", "content-type: text/html\r\nserver: nginx\r\n", html)).await;
    assert!(matches!(error, CallError::NotAnAgent { status: 404, .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("404 Not Found") && text.contains("/api/sync/ routed"), "{text}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn cockpits_empty_404_is_recognised() {
    let error = error_for(page("404 Not Found", "content-type: text/html\r\n", "")).await;
    assert!(error.to_string().contains("as Cockpit itself answers"), "{error}");
}

#[tokio::test]
async fn an_unsigned_200_is_refused_however_well_formed() {
    for body in [perfect_body(), b"{\"success\":true}".to_vec(), Vec::new()] {
        let error = error_for(page("200 OK", "content-type: application/msgpack\r\n", body)).await;
        assert!(matches!(error, CallError::NotAnAgent { status: 200, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn the_same_bytes_signed_are_an_answer() {
    let agent = StandIn::answering(|claims, _| signed_page(&key(), &claims.jti, 200, perfect_body())).await;
    agent.client().call(&renewal()).await.unwrap();
}

#[tokio::test]
async fn a_signature_of_another_key_another_request_or_another_body_is_none() {
    let other = SyncKey::new("a key that only somebody else has").unwrap();
    let somebody = StandIn::answering(move |claims, _| signed_page(&other, &claims.jti, 200, perfect_body())).await;
    let recorded = StandIn::answering(|_, _| signed_page(&key(), "an earlier request", 200, perfect_body())).await;
    let changed = StandIn::answering(|claims, _| {
        let mut answer = signed_page(&key(), &claims.jti, 200, perfect_body());
        *answer.last_mut().unwrap() ^= 1;
        answer
    })
    .await;
    for stand_in in [somebody, recorded, changed] {
        let error = stand_in.client().call(&renewal()).await.unwrap_err();
        assert!(matches!(error, CallError::NotAnAgent { status: 200, .. }), "{error:?}");
        assert!(error.to_string().contains("signature does not fit"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_leaves_the_outcome_unknown() {
    let whole = StandIn::answering(|claims, _| {
        let mut answer = signed_page(&key(), &claims.jti, 200, vec![0x80; 500]);
        answer.truncate(answer.len() - 100);
        answer
    });
    let error = whole.await.client().call(&renewal()).await.unwrap_err();
    assert!(matches!(error, CallError::Unknown { .. }) && error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_closes_without_a_word_leaves_the_outcome_unknown() {
    let error = error_for("").await;
    assert!(matches!(error, CallError::Unknown { .. }) && error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn silence_leaves_the_outcome_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client =
        AgentClient::new(http(), "production", base_url(&url), key(), None).with_timeout(Duration::from_millis(100));
    let error = client.call(&renewal()).await.unwrap_err();
    assert!(matches!(&error, CallError::Unknown { cause, .. } if cause.contains("too long")), "{error:?}");
}

#[tokio::test]
async fn a_port_where_nothing_listens_is_unreachable() {
    // A port that was just closed may be somebody else's the next moment; this one is nobody's.
    let url = "http://127.0.0.1:1".to_owned();
    let error = AgentClient::new(http(), "production", base_url(&url), key(), None).call(&renewal()).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }) && error.is_transient(), "{error:?}");
    assert!(error.to_string().contains(&url) && error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_proxy_that_lost_the_request_leaves_the_outcome_unknown() {
    for status in ["502 Bad Gateway", "504 Gateway Timeout", "500 Internal Server Error", "524 Timeout"] {
        let error = error_for(page(status, "", "<title>gateway</title>")).await;
        assert!(matches!(&error, CallError::Unknown { .. }) && error.is_transient(), "{error:?}");
    }
}

#[tokio::test]
async fn a_proxy_with_a_lower_limit_is_told_apart_from_the_agent() {
    let error = error_for(page("413 Content Too Large", "", "<title>413</title>")).await;
    assert!(matches!(error, CallError::ForeignTooLarge { .. }), "{error:?}");
    assert!(error.to_string().contains("client_max_body_size"), "{error}");
}

#[tokio::test]
async fn a_proxy_that_wants_to_be_left_alone_is_obeyed() {
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let error = error_for(page(status, "retry-after: 7\r\n", "")).await;
        assert!(matches!(error, CallError::Busy { .. }) && error.is_transient(), "{error:?}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    }
    assert_eq!(error_for(page("503 Service Unavailable", "", "")).await.retry_after(), None);
}

#[tokio::test]
async fn a_redirect_is_shown_and_not_followed() {
    let elsewhere = StandIn::answering(|claims, _| signed_page(&key(), &claims.jti, 200, perfect_body())).await;
    let location = format!("location: {}/api/sync/grant/renew\r\n", elsewhere.url);
    let error = error_for(page("307 Temporary Redirect", &location, "")).await;
    assert!(matches!(error, CallError::NotAnAgent { status: 307, .. }), "{error:?}");
    assert!(error.to_string().contains(&elsewhere.url), "{error}");
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn an_answer_without_end_is_cut() {
    let promised = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", MAX_ANSWER_BYTES + 1);
    assert!(matches!(error_for(promised).await, CallError::AnswerTooLarge { .. }));
    let mut unannounced = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
    unannounced.resize(MAX_ANSWER_BYTES + 1024, 0);
    assert!(matches!(error_for(unannounced).await, CallError::AnswerTooLarge { .. }));
}

#[tokio::test]
async fn a_page_cannot_write_control_characters_into_the_terminal() {
    let error = error_for(page("404 Not Found", "", "<title>\u{1b}[2Jgone\r\n</title>")).await;
    assert!(!error.to_string().contains(['\u{1b}', '\r', '\n']), "{:?}", error.to_string());
}
