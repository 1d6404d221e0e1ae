//! Answers as HTTP: signed for callers with a key, plain JSON for everybody else.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use protocol::api::AgentError;
use protocol::client::{AGENT_HEADER, AGENT_HEADER_VALUE, MEDIA_TYPE};
use protocol::sign::ANSWER_HEADER;

use crate::auth::Caller;

pub(super) type Answer = Response<Full<Bytes>>;

/// What is not done, with the status where the code's own would say too little (404, 405, 415).
pub(super) struct Refusal {
    pub status: u16,
    pub error: AgentError,
}

impl From<AgentError> for Refusal {
    fn from(error: AgentError) -> Self {
        Self { status: error.code.status(), error }
    }
}

/// Tied to the request by its caller's key (I11).
pub(super) fn signed(caller: &Caller, status: u16, body: Vec<u8>) -> Answer {
    let signature = caller.sign(status, &body);
    let mut answer = plain(status, MEDIA_TYPE, body);
    let signature = HeaderValue::try_from(signature).expect("hex digits are a header value");
    answer.headers_mut().insert(HeaderName::from_static(ANSWER_HEADER), signature);
    answer
}

pub(super) fn refused(caller: &Caller, refusal: &Refusal) -> Answer {
    let body = rmp_serde::to_vec_named(&refusal.error).expect("an error is strings and numbers");
    with_retry_after(signed(caller, refusal.status, body), &refusal.error)
}

/// For those whose key is not known: a client takes nothing from it but that it has the wrong key.
pub(super) fn refused_stranger(refusal: &Refusal) -> Answer {
    let body = serde_json::json!({ "code": refusal.error.code, "message": refusal.error.message });
    with_retry_after(json(refusal.status, &body), &refusal.error)
}

/// For those who tried too often: their bodies are not read, so nothing can follow on the connection.
pub(super) fn come_back(mut answer: Answer, wait: Duration) -> Answer {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

pub(super) fn json(status: u16, body: &serde_json::Value) -> Answer {
    plain(status, "application/json", body.to_string().into_bytes())
}

pub(super) fn plain(status: u16, kind: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = StatusCode::from_u16(status).expect("statuses are listed in this crate and the protocol");
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static(AGENT_HEADER), HeaderValue::from_static(AGENT_HEADER_VALUE));
    answer
}

fn with_retry_after(mut answer: Answer, error: &AgentError) -> Answer {
    if let Some(milliseconds) = error.retry_after_ms {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(milliseconds.div_ceil(1000)));
    }
    answer
}
