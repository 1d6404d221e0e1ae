//! The check as Cockpit documents it: `GET` says that Sync is here, `POST {"syncKey"}` whether the key fits.
//!
//! The raw key is taken as documented, so it must come over TLS (the web server ends that) or from this machine. It
//! is compared in constant time and never logged. As it is not signed, each counts as an attempt: whether the key fits
//! must not be found out more often.

use std::net::IpAddr;

use hyper::body::Incoming;
use hyper::{Method, Request};
use protocol::api::ErrorCode;
use serde::Deserialize;
use serde_json::json;

use super::answer::{self, Answer};
use super::body;
use super::exchange::Exchange;
use super::metrics;

const BODY_LIMIT: usize = 4 * 1024;

#[derive(Deserialize)]
struct CheckRequest {
    #[serde(rename = "syncKey")]
    sync_key: String,
}

pub(super) async fn answer(exchange: &Exchange, origin: IpAddr, request: Request<Incoming>) -> Answer {
    match *request.method() {
        Method::GET | Method::HEAD => success(exchange),
        Method::POST => with_key(exchange, origin, request.into_body()).await,
        _ => failure(405, "the check is asked for with GET, or with POST and a key"),
    }
}

async fn with_key(exchange: &Exchange, origin: IpAddr, body: Incoming) -> Answer {
    if let Some(wait) = exchange.must_wait(origin) {
        let reason = "tried too often, so it is not looked at";
        exchange.audit_refusal(origin, "check", None, ErrorCode::Busy, reason).await;
        return answer::come_back(failure(429, "too many attempts: come back later"), wait);
    }
    let Ok(body) = body::read(body, BODY_LIMIT).await else {
        return failure(400, "the body is too long or broke off");
    };
    let Ok(request) = serde_json::from_slice::<CheckRequest>(&body) else {
        return failure(400, "the body must be {\"syncKey\":\"...\"} as JSON");
    };
    if exchange.authority.knows_raw(&request.sync_key) {
        return success(exchange);
    }
    metrics::failed_attempt("raw_key");
    tracing::warn!(%origin, "check with a wrong key");
    exchange.audit_refusal(origin, "check", None, ErrorCode::Unauthorized, "a wrong key").await;
    failure(401, "the sync key is not the one of this Cockpit")
}

fn success(exchange: &Exchange) -> Answer {
    let version = exchange.storage.version_for_check();
    answer::json(200, &json!({ "success": true, "version": version.as_deref().unwrap_or("unknown") }))
}

fn failure(status: u16, error: &str) -> Answer {
    answer::json(status, &json!({ "success": false, "error": error }))
}
