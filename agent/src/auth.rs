//! Who asks, and whether this very request may be carried out.
//!
//! Owns tokens: key, time, audience, path, body, and that each is used once. It must not know what requests mean.
//! A token that is not signed with a key of ours gets no signed answer: signing for strangers would let them collect
//! signatures.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use protocol::api::{AgentError, ErrorCode};
use protocol::keys::Purpose;
use protocol::sign::{
    ANY_INSTANCE, Claims, MAX_LIFETIME_SECONDS, TokenError, body_hash, read_request_token, sign_answer,
};
use sha2::{Digest, Sha256};

use crate::keys::{AcceptedKey, KeyRing};
use crate::storage::Clock;

mod nonces;

use nonces::{Nonces, Seen};

/// How far a caller's clock may be ahead of ours.
const MAX_AHEAD_SECONDS: i64 = 60;
/// Requests remembered at once: about 16 MiB. At 60 s each that is more than 7,000 requests a second.
const REMEMBERED_REQUESTS: usize = 450_000;
/// When the memory is full, so much of it is free again after this time.
const FULL_RETRY_MS: u64 = 2_000;

/// Decides about tokens.
pub(crate) struct Authority {
    keys: Arc<KeyRing>,
    instance: String,
    now: Clock,
    /// What was signed before may have been seen by an earlier process.
    forgotten_before: AtomicI64,
    nonces: Mutex<Nonces>,
}

/// Somebody who has one of our keys. Its answers are signed.
pub(crate) struct Caller {
    key: Arc<AcceptedKey>,
    claims: Claims,
}

/// A request as the token must describe it.
pub(crate) struct Asked<'a> {
    pub method: &'a str,
    /// From `/api/sync/` on.
    pub path: &'a str,
    pub body: &'a [u8],
    /// May be addressed to "any" instance.
    pub any_instance: bool,
}

impl Caller {
    pub fn key_id(&self) -> &str {
        self.key.key.id()
    }

    /// As the audit log names it.
    pub fn key_name(&self) -> &str {
        &self.key.id
    }

    pub fn purpose(&self) -> Purpose {
        self.key.purpose
    }

    /// Ties an answer to this request.
    pub fn sign(&self, status: u16, body: &[u8]) -> String {
        sign_answer(&self.key.key, &self.claims.jti, status, body)
    }
}

impl Authority {
    pub fn new(keys: Arc<KeyRing>, instance: String, now: Clock) -> Self {
        let forgotten_before = AtomicI64::new(unix_seconds(&now));
        Self { keys, instance, now, forgotten_before, nonces: Mutex::new(Nonces::new(REMEMBERED_REQUESTS)) }
    }

    /// Whose token this is. The caller may still not be allowed to do what it asks.
    pub fn caller(&self, token: &str) -> Result<Caller, TokenError> {
        match self.caller_now(token) {
            // It may have come a moment ago.
            Err(TokenError::UnknownKey) if self.keys.reload() => self.caller_now(token),
            found => found,
        }
    }

    fn caller_now(&self, token: &str) -> Result<Caller, TokenError> {
        let keys = self.keys.all();
        let (used, claims) = read_request_token(keys.iter().map(|key| &key.key), token)?;
        let key = keys.iter().find(|key| key.key == *used).ok_or(TokenError::UnknownKey)?.clone();
        Ok(Caller { key, claims })
    }

    /// A raw key, as the documented check sends it.
    pub fn knows_raw(&self, key: &str) -> bool {
        // All keys are compared, so that the time does not tell which one fits.
        self.keys.good_for(Purpose::Check).iter().fold(false, |known, ours| ours.key.matches(key) | known)
    }

    /// Everything a token promises. Its use is recorded last, by the check that nothing can fail behind.
    pub fn admit(&self, caller: &Caller, asked: &Asked<'_>) -> Result<(), AgentError> {
        let claims = &caller.claims;
        let now = unix_seconds(&self.now);
        self.check_time(claims, now)?;
        check_key(&caller.key, self.keys.now_ms())?;
        if claims.aud != self.instance && !(asked.any_instance && claims.aud == ANY_INSTANCE) {
            return Err(AgentError::new(
                ErrorCode::WrongInstance,
                format!(
                    "the request is meant for instance {:?}, this one is {}: its URL leads to another instance than \
                     it did, or the instance was cloned or moved; start a new run",
                    bounded(&claims.aud),
                    self.instance
                ),
            ));
        }
        if claims.m != asked.method || claims.p != asked.path {
            return Err(AgentError::new(
                ErrorCode::Unauthorized,
                format!(
                    "the request was signed for {} {:?} and sent to {} {:?}",
                    bounded(&claims.m),
                    bounded(&claims.p),
                    asked.method,
                    asked.path
                ),
            ));
        }
        if claims.b != body_hash(asked.body) {
            return Err(AgentError::new(
                ErrorCode::Unauthorized,
                "the body is not the one that was signed: something on the way changed it",
            ));
        }
        self.record_use(claims, now)
    }

    fn check_time(&self, claims: &Claims, now: i64) -> Result<(), AgentError> {
        let lifetime = claims.exp.saturating_sub(claims.iat);
        if !(0..=MAX_LIFETIME_SECONDS).contains(&lifetime) {
            return Err(AgentError::new(
                ErrorCode::Unauthorized,
                format!("a token may live {MAX_LIFETIME_SECONDS} s, this one wants {lifetime} s"),
            ));
        }
        let state = if now > claims.exp {
            "expired"
        } else if claims.iat > now.saturating_add(MAX_AHEAD_SECONDS) {
            "from the future"
        } else {
            return Ok(());
        };
        let message = format!(
            "the token is {state}: signed at {} by the caller's clock, received at {now} by ours (Unix seconds); let \
             NTP set both clocks",
            claims.iat
        );
        Err(AgentError { server_time: Some(now), ..AgentError::new(ErrorCode::ClockSkew, message) })
    }

    fn record_use(&self, claims: &Claims, now: i64) -> Result<(), AgentError> {
        // What was seen before the start is forgotten, so no token from before it is taken: one of the very second
        // of the start may be, which I5 makes harmless.
        // Set back, the clock tells earlier times than that of the start; whoever signs anew signs by it.
        if claims.iat < self.forgotten_before.fetch_min(now, Ordering::Relaxed).min(now) {
            let message = "the request was signed before this agent started, which cannot know whether it was seen \
                           already: sign it anew";
            return Err(AgentError { server_time: Some(now), ..AgentError::new(ErrorCode::Replayed, message) });
        }
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        match nonces.record(nonce(&claims.jti), claims.exp, now) {
            Seen::New => Ok(()),
            Seen::Before => {
                Err(AgentError::new(ErrorCode::Replayed, "this very request was received before: sign it anew"))
            }
            Seen::Full => Err(AgentError {
                retry_after_ms: Some(FULL_RETRY_MS),
                ..AgentError::new(ErrorCode::Busy, "more requests in a minute than can be told apart")
            }),
        }
    }
}

fn check_key(key: &AcceptedKey, now_ms: i64) -> Result<(), AgentError> {
    if key.is_good(now_ms) {
        return Ok(());
    }
    let shown = |ms: Option<i64>| {
        let time = ms.and_then(chrono::DateTime::from_timestamp_millis);
        time.map_or_else(String::new, |time| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
    };
    let (when, limit) = match key.from_ms {
        Some(from) if now_ms < from => ("not good before", key.from_ms),
        _ => ("no longer good: it was until", key.until_ms),
    };
    let message = format!("the key {} is {when} {}, and it is {} here", key.id, shown(limit), shown(Some(now_ms)));
    Err(AgentError::new(ErrorCode::Unauthorized, message))
}

/// Of fixed size, whatever a caller takes for random.
fn nonce(jti: &str) -> [u8; 16] {
    let mut nonce = [0; 16];
    nonce.copy_from_slice(&Sha256::digest(jti)[..16]);
    nonce
}

fn unix_seconds(now: &Clock) -> i64 {
    let since = now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// What a caller wrote, for a message.
fn bounded(text: &str) -> String {
    text.chars().take(80).collect()
}
