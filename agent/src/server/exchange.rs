//! One request from its head to its answer: address, caller, body, token, turn, storage, signature.
//!
//! Bodies are taken as they are: a compressed one is refused, so that its bound is a bound.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING};
use hyper::{HeaderMap, Method, Request};
use protocol::BASE_PATH;
use protocol::api::{AgentError, ErrorCode, MAX_REQUEST_BYTES};
use protocol::sign::TokenError;
use protocol::trace;
use protocol::viewing::{Page, Viewers};
use tracing::Instrument;

use super::answer::{self, Answer, Refusal};
use super::body::{self, BodyError};
use super::limits::Limits;
use super::rates::{Attempt, Attempts, KeyRates};
use super::{check, metrics, origin, pages};
use crate::audit::{Durable, Refused, Who};
use crate::auth::{Asked, Authority, Caller};
use crate::routes::{Kind, Route, Rules};
use crate::settings::{Networks, Render};
use crate::storage::Storage;

/// Requests are made to stay below [`MAX_REQUEST_BYTES`]; names of fields may come on top. Proxies allow 1 MB.
const BODY_LIMIT: usize = MAX_REQUEST_BYTES + 64 * 1024;

/// What all requests share.
pub(super) struct Exchange {
    pub authority: Authority,
    pub allow: Option<Networks>,
    pub trusted_proxies: Networks,
    pub rules: Arc<Rules>,
    pub limits: Limits,
    pub attempts: Attempts,
    pub key_rates: KeyRates,
    pub storage: Arc<Storage>,
    pub viewers: Viewers,
    pub render: Option<Render>,
}

impl Exchange {
    pub async fn answer(&self, peer: IpAddr, request: Request<Incoming>) -> Answer {
        if let Some(page) = Page::at(request.uri().path()) {
            return pages::answer(self, page, peer, request.headers()).await;
        }
        let origin = origin::of(peer, request.headers(), &self.trusted_proxies);
        let path = below_base(request.uri().path()).to_owned();
        let begun = Instant::now();
        let span = tracing::info_span!(target: trace::TARGET, "request", otel.name = metrics::label(&path), otel.kind = "server");
        trace::follow(&span, request.headers().get(trace::HEADER).and_then(|value| value.to_str().ok()));
        let answer = self.answer_below_base(origin, &path, request).instrument(span).await;
        metrics::answered(&path, answer.status().as_u16(), begun.elapsed());
        answer
    }

    async fn answer_below_base(&self, origin: IpAddr, path: &str, request: Request<Incoming>) -> Answer {
        if path == "check" && self.is_allowed(origin) {
            return check::answer(self, origin, request).await;
        }
        let caller = match bearer(request.headers()).and_then(|token| self.authority.caller(token)) {
            Ok(caller) => caller,
            Err(error) => return self.refuse_stranger(origin, path, &error, request).await,
        };
        match self.carried_out(origin, path, &caller, request).await {
            Ok(body) => answer::signed(&caller, 200, body),
            Err(refusal) => {
                self.note_refusal(origin, path, Some(caller.key_name()), &refusal).await;
                metrics::refused(refusal.error.code);
                answer::refused(&caller, &refusal)
            }
        }
    }

    async fn refuse_stranger(
        &self,
        origin: IpAddr,
        path: &str,
        error: &TokenError,
        request: Request<Incoming>,
    ) -> Answer {
        let mut refusal = if self.is_allowed(origin) { stranger(path, error) } else { not_from_here(origin) };
        if let Some(wait) = self.must_wait(origin) {
            self.audit_refusal(origin, path, None, ErrorCode::Busy, "tried too often, so it is not looked at").await;
            // What is wrong is said all the same: whoever mixed up two keys must not take it for a busy agent.
            refusal.error.message += &format!(" (tried too often from {origin}, so requests are not looked at)");
            return answer::come_back(answer::refused_stranger(&Refusal { status: 429, ..refusal }), wait);
        }
        metrics::failed_attempt(match error {
            TokenError::Malformed => "malformed",
            TokenError::UnknownKey => "unknown_key",
            TokenError::BadSignature => "bad_signature",
        });
        self.note_refusal(origin, path, None, &refusal).await;
        body::throw_away(request.into_body()).await;
        answer::refused_stranger(&refusal)
    }

    /// Counts an attempt without one of our keys. One line tells of all that are not looked at.
    pub(super) fn must_wait(&self, origin: IpAddr) -> Option<Duration> {
        match self.attempts.count(origin) {
            Attempt::Looked => None,
            Attempt::Last => {
                tracing::warn!(%origin, "failed attempts of this address come too fast: most are no longer looked at");
                None
            }
            Attempt::TooMany(wait) => {
                metrics::failed_attempt("too_many");
                Some(wait)
            }
        }
    }

    async fn carried_out(
        &self,
        origin: IpAddr,
        path: &str,
        caller: &Caller,
        request: Request<Incoming>,
    ) -> Result<Vec<u8>, Refusal> {
        let route = match self.acceptable(origin, path, caller, &request) {
            Ok(route) => route,
            Err(refusal) => {
                body::throw_away(request.into_body()).await;
                return Err(refusal);
            }
        };
        let _room = self.limits.room_for_body().await;
        let method = request.method().clone();
        let body = body::read(request.into_body(), BODY_LIMIT).await.map_err(|error| body_refusal(&error))?;
        let asked = Asked {
            method: method.as_str(),
            path: &format!("{BASE_PATH}{path}"),
            body: &body,
            any_instance: route.for_any_instance(),
        };
        self.authority.admit(caller, &asked)?;
        self.storage.keys().used(caller.key_id(), origin);
        let who = Who { key: caller.key_name().to_owned(), purpose: caller.purpose(), address: origin };
        self.in_turn(route, who, body).await.map_err(Refusal::from)
    }

    /// What can be said before the body is read.
    fn acceptable(
        &self,
        origin: IpAddr,
        path: &str,
        caller: &Caller,
        request: &Request<Incoming>,
    ) -> Result<&'static Route, Refusal> {
        if !self.is_allowed(origin) {
            return Err(not_from_here(origin));
        }
        let bad = |status, message: String| Refusal { status, error: AgentError::new(ErrorCode::BadRequest, message) };
        let Some(route) = Route::find(path) else {
            return Err(bad(404, format!("this agent does not know the request {path:?}: has it the same version?")));
        };
        if request.method() != Method::POST {
            return Err(bad(405, format!("{path} is sent with POST, not with {}", request.method())));
        }
        if request.headers().get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return Err(bad(415, "compressed bodies are not accepted: send it as it is".into()));
        }
        if route.kind != Kind::Control {
            // Grants are never stuck behind reads and writes.
            self.key_rates.count(caller.key_id())?;
        }
        Ok(route)
    }

    async fn in_turn(&self, route: &'static Route, who: Who, body: Vec<u8>) -> Result<Vec<u8>, AgentError> {
        let turn = self.limits.turn(route.kind).await?;
        let (storage, rules) = (self.storage.clone(), self.rules.clone());
        let work = move || {
            let answer = route.answer(&storage, &rules, &who, &body);
            // Not before: a caller that hangs up does not end what the storage is doing.
            drop(turn);
            answer
        };
        on_a_thread_that_may_block(route.path, work).await
    }

    /// A line in the log and in the audit log.
    async fn note_refusal(&self, origin: IpAddr, path: &str, key: Option<&str>, refusal: &Refusal) {
        let reason = log(origin, path, refusal);
        self.audit_refusal(origin, path, key, refusal.error.code, reason).await;
    }

    /// It is on the disk before the one who is refused is told so.
    pub(super) async fn audit_refusal(
        &self,
        origin: IpAddr,
        path: &str,
        key: Option<&str>,
        code: ErrorCode,
        reason: &str,
    ) {
        let refused =
            Refused { address: origin.to_string(), key: key.map(str::to_owned), path: metrics::label(path), code };
        let Some(entry) = self.storage.audit().refused(refused, reason) else { return };
        let audit = self.storage.audit().clone();
        let written = tokio::task::spawn_blocking(move || audit.append(entry, Durable::Now)).await;
        if let Ok(Err(error)) = written {
            tracing::error!(%error, "a refusal could not be written to the audit log");
        }
    }

    fn is_allowed(&self, origin: IpAddr) -> bool {
        self.allow.as_ref().is_none_or(|allow| allow.contains(origin))
    }
}

/// What panics is a failed request, not a dead agent.
async fn on_a_thread_that_may_block(
    path: &str,
    work: impl FnOnce() -> Result<Vec<u8>, AgentError> + Send + 'static,
) -> Result<Vec<u8>, AgentError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        tracing::error!(path, %error, "a request failed unexpectedly");
        let message = format!("{path} failed unexpectedly in the agent: its log says more");
        Err(AgentError::new(ErrorCode::Internal, message))
    })
}

/// The part below `/api/sync/`; proxies may put something before that. Empty when it lies elsewhere.
fn below_base(path: &str) -> &str {
    path.split_once(BASE_PATH).map_or("", |(_, below)| below)
}

fn bearer(headers: &HeaderMap) -> Result<&str, TokenError> {
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or(TokenError::Malformed)?;
    value.strip_prefix("Bearer ").ok_or(TokenError::Malformed)
}

/// Without a key of ours nobody learns more than that this is an agent.
fn stranger(path: &str, error: &TokenError) -> Refusal {
    if Route::find(path).is_none() {
        return Refusal { status: 404, error: AgentError::new(ErrorCode::BadRequest, "there is nothing here") };
    }
    AgentError::new(ErrorCode::Unauthorized, error.to_string()).into()
}

fn not_from_here(origin: IpAddr) -> Refusal {
    let message = format!("requests from {origin} are not allowed by this agent's own config (allow)");
    AgentError::new(ErrorCode::Forbidden, message).into()
}

fn body_refusal(error: &BodyError) -> Refusal {
    let bad = |status, message| Refusal { status, error: AgentError::new(ErrorCode::BadRequest, message) };
    match error {
        BodyError::TooLarge => {
            let message = format!("a request has at most {BODY_LIMIT} bytes: send less at once");
            AgentError::new(ErrorCode::TooLarge, message).into()
        }
        BodyError::TooSlow => bad(408, "the body did not arrive in time"),
        BodyError::Broken => bad(400, "the body broke off"),
    }
}

/// One line for each refusal. No message of a decoder: those repeat what was sent. Gives back what it says.
fn log<'r>(origin: IpAddr, path: &str, refusal: &'r Refusal) -> &'r str {
    let reason = match refusal.error.code {
        ErrorCode::BadRequest => "not a request this agent can read",
        _ => &refusal.error.message,
    };
    let shown: String = path.chars().take(60).collect();
    let (status, code) = (refusal.status, refusal.error.code);
    if code == ErrorCode::GrantLost {
        // How a run learns that its turn is over; nobody has to do anything about it.
        tracing::info!(%origin, path = ?shown, status, ?code, reason, "request refused");
    } else {
        tracing::warn!(%origin, path = ?shown, status, ?code, reason, "request refused");
    }
    reason
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failed_request_that_names_no_details() {
        let failed = on_a_thread_that_may_block("write", || panic!("the document said so")).await.unwrap_err();
        assert_eq!(failed.code, ErrorCode::Internal);
        assert!(failed.message.contains("write") && !failed.message.contains("document"), "{}", failed.message);
    }

    #[test]
    fn requests_are_found_behind_whatever_a_proxy_puts_before_them() {
        assert_eq!(below_base("/api/sync/grant/open"), "grant/open");
        assert_eq!(below_base("/cms/api/sync/list"), "list");
        assert_eq!(below_base("/api/synchronous/list"), "");
    }
}
