//! The check as Cockpit documents it: `GET` says that Sync is here, `POST {"syncKey"}` whether the key fits.
//!
//! The raw key is taken as documented, so it must come over TLS (the web server ends that) or from this machine. It
//! is compared in constant time, never logged, and wrong ones are limited per address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::RETRY_AFTER;
use hyper::{Method, Request};
use serde::Deserialize;
use serde_json::json;

use super::answer::{self, Answer};
use super::body;
use super::exchange::Exchange;

const BODY_LIMIT: usize = 4 * 1024;
/// So many wrong keys are looked at per address and [`WINDOW`].
const WRONG_KEYS: u32 = 30;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; when there are more, all share one limit.
const ADDRESSES: usize = 1024;

#[derive(Deserialize)]
struct CheckRequest {
    #[serde(rename = "syncKey")]
    sync_key: String,
}

pub(super) async fn answer(exchange: &Exchange, peer: IpAddr, request: Request<Incoming>) -> Answer {
    match *request.method() {
        Method::GET | Method::HEAD => success(exchange),
        Method::POST => with_key(exchange, peer, request.into_body()).await,
        _ => failure(405, "the check is asked for with GET, or with POST and a key"),
    }
}

async fn with_key(exchange: &Exchange, peer: IpAddr, body: Incoming) -> Answer {
    let Ok(body) = body::read(body, BODY_LIMIT).await else {
        return failure(400, "the body is too long or broke off");
    };
    let Ok(request) = serde_json::from_slice::<CheckRequest>(&body) else {
        return failure(400, "the body must be {\"syncKey\":\"...\"} as JSON");
    };
    if let Some(wait) = exchange.guesses.must_wait(peer, Instant::now()) {
        tracing::warn!(%peer, "checks with wrong keys are refused for a while");
        let mut busy = failure(429, "too many wrong keys: come back later");
        busy.headers_mut().insert(RETRY_AFTER, wait.as_secs().max(1).into());
        return busy;
    }
    if exchange.authority.knows_raw(&request.sync_key) {
        return success(exchange);
    }
    exchange.guesses.count(peer, Instant::now());
    tracing::warn!(%peer, "check with a wrong key");
    failure(401, "the sync key is not the one of this Cockpit")
}

fn success(exchange: &Exchange) -> Answer {
    let version = exchange.storage.version_for_check();
    answer::json(200, &json!({ "success": true, "version": version.as_deref().unwrap_or("unknown") }))
}

fn failure(status: u16, error: &str) -> Answer {
    answer::json(status, &json!({ "success": false, "error": error }))
}

/// Wrong keys by address.
#[derive(Default)]
pub(super) struct Guesses(Mutex<HashMap<Option<IpAddr>, Window>>);

struct Window {
    since: Instant,
    wrong: u32,
}

impl Guesses {
    /// How long an address that guessed too often is not listened to.
    fn must_wait(&self, peer: IpAddr, now: Instant) -> Option<Duration> {
        let windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = |of: Option<IpAddr>| {
            let window = windows.get(&of)?;
            let left = WINDOW.checked_sub(now.duration_since(window.since))?;
            (window.wrong >= WRONG_KEYS).then_some(left)
        };
        if windows.contains_key(&Some(peer)) { spent(Some(peer)) } else { spent(None) }
    }

    fn count(&self, peer: IpAddr, now: Instant) {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        windows.retain(|_, window| now.duration_since(window.since) < WINDOW);
        let known = windows.contains_key(&Some(peer)) || windows.len() < ADDRESSES;
        let window = windows.entry(known.then_some(peer)).or_insert(Window { since: now, wrong: 0 });
        window.wrong += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn an_address_that_guesses_keys_is_not_listened_to_for_a_while() {
        let guesses = Guesses::default();
        let start = Instant::now();
        for _ in 0..WRONG_KEYS {
            assert_eq!(guesses.must_wait(PEER, start), None);
            guesses.count(PEER, start);
        }
        assert_eq!(guesses.must_wait(PEER, start + WINDOW / 4), Some(WINDOW * 3 / 4));
        assert_eq!(guesses.must_wait(IpAddr::from([10, 0, 0, 1]), start), None);
        assert_eq!(guesses.must_wait(PEER, start + WINDOW * 2), None);
    }

    #[test]
    fn many_addresses_share_what_is_left() {
        let guesses = Guesses::default();
        let start = Instant::now();
        let address = |number: usize| IpAddr::from(u32::try_from(number).unwrap_or(0).to_be_bytes());
        for number in 0..ADDRESSES + usize::try_from(WRONG_KEYS).unwrap_or(0) {
            guesses.count(address(number), start);
        }
        assert!(guesses.must_wait(address(1_000_000), start).is_some());
        assert!(guesses.must_wait(address(1), start).is_none());
        assert!(guesses.0.lock().unwrap_or_else(PoisonError::into_inner).len() <= ADDRESSES + 1);
    }
}
