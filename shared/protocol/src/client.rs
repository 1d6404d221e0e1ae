//! The client of an agent: signs requests, and believes only answers that the agent signed (I11).
//!
//! Owns one request from its bytes to its verified answer: signature, clock, time limits, bounds, and what went wrong
//! in words. It must not know what a request means, and it repeats only what the agent has refused: because of its time
//! or age, or because it takes no more for now.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};

use crate::api::{AgentError, Call, ErrorCode, Serves};
use crate::mirror::SignedOrder;
use crate::sign::{ANSWER_HEADER, ANY_INSTANCE, Claims, SyncKey, answer_is_genuine, body_hash, sign_request};
use crate::{BASE_PATH, PROTOCOL_VERSION, trace};

mod answer;
mod base_url;
mod certificate;
mod check;
mod clock;
mod error;
mod foreign;
mod http;
mod shared;
mod version;

pub use base_url::{BaseUrl, IntoBaseUrl, PlainHttp, UrlError};
pub use check::{CheckAnswer, check_raw};
pub use error::CallError;
pub use http::{HttpClientError, HttpSettings, http_client};
pub use shared::SharedAnswers;

use answer::{RawAnswer, read_answer};
use clock::AgentClock;

/// What requests and answers are made of.
pub const MEDIA_TYPE: &str = "application/msgpack";
/// Header of everything an agent answers, signed or not: tells an agent that does not know our key from another program.
pub const AGENT_HEADER: &str = "x-cockpit-sync";
/// Its value.
pub const AGENT_HEADER_VALUE: &str = "agent";
/// An answer that is longer is not read to its end.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// From the first byte sent to the last byte received.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// A busy agent that does not say when to come back is left alone for so long.
pub const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// Talks to the agent of one instance. Clones share connections and what is known of the agent's clock.
#[derive(Clone)]
pub struct AgentClient {
    http: reqwest::Client,
    /// The instance's name in the caller's config: for messages.
    name: String,
    /// A URL that is not sound is an error of every call, never a request.
    base_url: Result<BaseUrl, UrlError>,
    key: SyncKey,
    instance: Option<String>,
    clock: Arc<AgentClock>,
    timeout: Duration,
    patience: Duration,
    /// What others have asked, from this moment on.
    shared: Option<(Arc<SharedAnswers>, Instant)>,
}

impl AgentClient {
    /// `instance` is the id that the agent's manifest tells; without it only the manifest can be asked for.
    pub fn new(
        http: reqwest::Client,
        name: impl Into<String>,
        base_url: impl IntoBaseUrl,
        key: SyncKey,
        instance: Option<String>,
    ) -> Self {
        let clock = Arc::new(AgentClock::new(Arc::new(unix_now)));
        let base_url = base_url.into_base_url();
        let (timeout, patience) = (CALL_TIMEOUT, Duration::ZERO);
        Self { http, name: name.into(), base_url, key, instance, clock, timeout, patience, shared: None }
    }

    /// The same agent, asked as this instance and no other.
    pub fn for_instance(&self, instance: impl Into<String>) -> Self {
        Self { instance: Some(instance.into()), ..self.clone() }
    }

    /// With another limit for a whole request (default [`CALL_TIMEOUT`]).
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same agent; where it takes no more for now, a call comes back as it is told to, for so long in all.
    pub fn patient(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    /// The same agent; what it has answered to others since then, and would answer to anybody, it is not asked again.
    pub fn sharing(&self, answers: Arc<SharedAnswers>, since: Instant) -> Self {
        Self { shared: Some((answers, since)), ..self.clone() }
    }

    /// With another clock (Unix seconds) than the system's.
    pub fn with_clock(mut self, now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(AgentClock::new(Arc::new(now)));
        self
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn base_url(&self) -> Result<&BaseUrl, CallError> {
        self.base_url.as_ref().map_err(|error| CallError::BadUrl { instance: self.name.clone(), cause: error.clone() })
    }

    /// Which instance it insists on.
    pub fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }

    /// Signs an order for a mirror or an undo of this instance (see [`crate::mirror`]).
    pub fn approve(&self, order: Vec<u8>) -> SignedOrder {
        crate::sign::approve(&self.key, self.clock.now(), order)
    }

    /// Sends a request and gives back the verified answer.
    pub async fn call<C: Call>(&self, request: &C) -> Result<C::Answer, CallError> {
        let body = self.call_raw(request).await?;
        crate::msgpack::read(&body).map_err(|error| self.unreadable(C::PATH, &error))
    }

    /// The verified body of a 200.
    pub(crate) async fn call_raw<C: Call>(&self, request: &C) -> Result<Vec<u8>, CallError> {
        let body = Bytes::from(rmp_serde::to_vec_named(request).map_err(|error| self.unreadable(C::PATH, &error))?);
        match self.shared.as_ref().filter(|_| request.serves() != Serves::WhoAsks) {
            Some((shared, since)) => {
                let since = (request.serves() == Serves::Everybody).then_some(*since);
                let key = format!("{} {} {}", self.instance().unwrap_or_default(), C::PATH, body_hash(&body));
                shared.answer(key, since, self.ask(C::PATH, body)).await
            }
            None => self.ask(C::PATH, body).await,
        }
    }

    async fn ask(&self, path: &str, body: Bytes) -> Result<Vec<u8>, CallError> {
        let begun = Instant::now();
        loop {
            match self.by_its_clock(path, body.clone()).await {
                Err(CallError::Busy { retry_after, .. })
                    if begun.elapsed() + retry_after.unwrap_or(BUSY_PAUSE) < self.patience =>
                {
                    tokio::time::sleep(retry_after.unwrap_or(BUSY_PAUSE)).await;
                }
                answer => return answer,
            }
        }
    }

    async fn by_its_clock(&self, path: &str, body: Bytes) -> Result<Vec<u8>, CallError> {
        let first = self.attempt(path, body.clone()).await;
        let Err(CallError::Refused { error, .. }) = &first else { return first };
        if !self.clock.learn_from(error) {
            return first;
        }
        tracing::debug!(instance = %self.name, code = ?error.code, "signing anew by the agent's clock");
        self.attempt(path, body).await
    }

    async fn attempt(&self, path: &str, body: Bytes) -> Result<Vec<u8>, CallError> {
        let base_url = self.base_url()?;
        let audience = self.instance.as_deref().unwrap_or(ANY_INSTANCE);
        let claims = Claims::new(self.clock.now(), audience, &format!("{BASE_PATH}{path}"), &body);
        let sent = body.len();
        let mut request = self
            .http
            .post(base_url.endpoint(path))
            .header(AUTHORIZATION, format!("Bearer {}", sign_request(&self.key, &claims)))
            .header(CONTENT_TYPE, MEDIA_TYPE)
            .timeout(self.timeout)
            .body(body);
        if let Some(traceparent) = trace::current() {
            request = request.header(trace::HEADER, traceparent);
        }
        let response = request.send().await;
        let response = response.map_err(|error| CallError::from_transport(&self.name, base_url, &error))?;
        let answer = read_answer(response, MAX_ANSWER_BYTES)
            .await
            .map_err(|error| CallError::from_reading(&self.name, base_url, path, error))?;
        self.verified(base_url, path, &claims.jti, sent, answer)
    }

    /// Nothing of an answer is looked at before its signature, except to say whose it seems to be (I11).
    fn verified(
        &self,
        base_url: &BaseUrl,
        path: &str,
        jti: &str,
        sent: usize,
        answer: RawAnswer,
    ) -> Result<Vec<u8>, CallError> {
        let genuine = answer
            .header(ANSWER_HEADER)
            .is_some_and(|signature| answer_is_genuine(&self.key, jti, answer.status, &answer.body, signature));
        if !genuine {
            return Err(foreign::classify(&self.name, base_url, &self.key, sent, &answer));
        }
        if answer.status == 200 {
            return Ok(answer.body);
        }
        let error: AgentError = crate::msgpack::read(&answer.body).map_err(|error| self.unreadable(path, &error))?;
        if error.code == ErrorCode::Busy {
            let retry_after = error.retry_after_ms.map(Duration::from_millis).or_else(|| answer.retry_after());
            return Err(CallError::Busy { instance: self.name.clone(), retry_after, says: error.message });
        }
        Err(CallError::Refused { instance: self.name.clone(), error: Box::new(error) })
    }

    fn unreadable(&self, path: &str, error: &dyn std::error::Error) -> CallError {
        CallError::Unreadable { instance: self.name.clone(), path: path.into(), cause: error.to_string() }
    }
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
