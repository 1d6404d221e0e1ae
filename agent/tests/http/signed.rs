//! What an agent says under its signature, as the caller gets it.

use std::time::Duration;

use protocol::api::{AgentError, ErrorCode, Nothing, RenewGrant};
use protocol::client::CallError;
use serde::Serialize;

use crate::fixture::key;
use crate::stand_in::{StandIn, page, signed_page};

fn renewal() -> RenewGrant {
    RenewGrant { token: "a token".into() }
}

async fn refusing(error: AgentError) -> StandIn {
    let body = rmp_serde::to_vec_named(&error).unwrap();
    StandIn::answering(move |claims, _| signed_page(&key(), &claims.jti, error.code.status(), &body)).await
}

#[tokio::test]
async fn a_refusal_arrives_with_its_code_and_words() {
    let agent = refusing(AgentError::new(ErrorCode::GrantLost, "another run holds it")).await;
    let error = agent.client().call(&renewal()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::GrantLost));
    assert_eq!(error.to_string(), "production: another run holds it");
    assert!(!error.is_transient());
    assert_eq!(agent.requests(), 1, "a refusal is no reason to ask again");
}

#[tokio::test]
async fn busy_names_the_time_to_come_back() {
    let busy = AgentError { retry_after_ms: Some(1_250), ..AgentError::new(ErrorCode::Busy, "full") };
    let error = refusing(busy).await.client().call(&renewal()).await.unwrap_err();
    assert!(matches!(error, CallError::Busy { .. }) && error.is_transient(), "{error:?}");
    assert_eq!(error.retry_after(), Some(Duration::from_millis(1_250)));
}

#[tokio::test]
async fn a_replayed_request_is_signed_anew_once_and_no_more() {
    let refusal = rmp_serde::to_vec_named(&AgentError::new(ErrorCode::Replayed, "seen before")).unwrap();
    let done = rmp_serde::to_vec_named(&Nothing {}).unwrap();
    let again = refusal.clone();
    let once = StandIn::answering(move |claims, request| match request {
        0 => signed_page(&key(), &claims.jti, 401, &refusal),
        _ => signed_page(&key(), &claims.jti, 200, &done),
    })
    .await;
    once.client().call(&renewal()).await.unwrap();
    assert_eq!(once.requests(), 2);
    let always = StandIn::answering(move |claims, _| signed_page(&key(), &claims.jti, 401, &again)).await;
    let error = always.client().call(&renewal()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Replayed));
    assert_eq!(always.requests(), 2);
}

#[tokio::test]
async fn an_unsigned_refusal_changes_neither_clock_nor_request() {
    let skew = AgentError { server_time: Some(0), ..AgentError::new(ErrorCode::ClockSkew, "late") };
    let agent = StandIn::saying(page("401 No", "", rmp_serde::to_vec_named(&skew).unwrap())).await;
    let error = agent.client().call(&renewal()).await.unwrap_err();
    assert!(matches!(error, CallError::NotAnAgent { status: 401, .. }), "{error:?}");
    assert_eq!(agent.requests(), 1);
}

#[tokio::test]
async fn an_agent_of_another_version_is_refused_by_name() {
    #[derive(Serialize)]
    struct ManifestOfTheFuture {
        protocol: u32,
        everything_else: &'static str,
    }
    let body =
        rmp_serde::to_vec_named(&ManifestOfTheFuture { protocol: 999, everything_else: "is different" }).unwrap();
    let agent = StandIn::answering(move |claims, _| signed_page(&key(), &claims.jti, 200, &body)).await;
    let error = agent.client().manifest().await.unwrap_err();
    assert!(matches!(error, CallError::Version { theirs: 999, .. }), "{error:?}");
    assert!(error.to_string().contains("update this program"), "{error}");
}

#[tokio::test]
async fn a_signed_answer_in_an_unknown_form_is_an_error_not_a_panic() {
    let agent = StandIn::answering(|claims, _| signed_page(&key(), &claims.jti, 200, b"\xc1 no MessagePack")).await;
    let error = agent.client().call(&protocol::api::ManifestRequest::default()).await.unwrap_err();
    assert!(matches!(error, CallError::Unreadable { .. }), "{error:?}");
}
