//! Signatures of requests and answers: HMAC-SHA256 under a sync key.
//!
//! A request carries a JWT (HS256) that binds method, path, body, time and the instance it is meant for. An answer
//! carries an HMAC over the request's `jti`, the status and the body, so that a proxy's error page, another program
//! or an empty reply is never mistaken for data (I11).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::mirror::SignedOrder;

/// Requests are valid for so many seconds.
pub const LIFETIME_SECONDS: i64 = 60;
/// A token that says it lives longer than this is refused.
pub const MAX_LIFETIME_SECONDS: i64 = 120;
/// Header of a signed answer.
pub const ANSWER_HEADER: &str = "x-cockpit-sync-answer";
/// The audience of a manifest request: the caller does not know yet whom it talks to.
pub const ANY_INSTANCE: &str = "any";
/// The documented minimum length of a sync key.
pub const MIN_KEY_LENGTH: usize = 20;

/// A shared secret. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SyncKey {
    secret: String,
    id: String,
}

impl std::fmt::Debug for SyncKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SyncKey({})", self.id)
    }
}

/// The key is too short.
#[derive(Debug, thiserror::Error)]
#[error("a sync key needs at least {MIN_KEY_LENGTH} characters, this one has {0}")]
pub struct KeyTooShort(usize);

impl SyncKey {
    pub fn new(secret: impl Into<String>) -> Result<Self, KeyTooShort> {
        let secret = secret.into();
        let length = secret.chars().count();
        if length < MIN_KEY_LENGTH {
            return Err(KeyTooShort(length));
        }
        let mut id = hex::encode(hmac_of(secret.as_bytes(), &[b"cockpit-sync key id"]));
        id.truncate(16);
        Ok(Self { secret, id })
    }

    /// Tells keys apart without giving them away: `kid` of the tokens.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The raw key, compared in constant time (only `check` takes it raw).
    pub fn matches(&self, raw: &str) -> bool {
        use subtle::ConstantTimeEq;
        self.secret.as_bytes().ct_eq(raw.as_bytes()).into()
    }
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub iat: i64,
    pub exp: i64,
    /// Random: seen once.
    pub jti: String,
    /// The instance id, or [`ANY_INSTANCE`].
    pub aud: String,
    /// HTTP method.
    pub m: String,
    /// Path from `/api/sync/` on: proxies may put something before it.
    pub p: String,
    /// SHA-256 of the body, hex.
    pub b: String,
}

impl Claims {
    /// For a request that is sent now. `now` in Unix seconds, by the agent's clock as far as known.
    pub fn new(now: i64, instance: &str, path: &str, body: &[u8]) -> Self {
        Self {
            iat: now,
            exp: now + LIFETIME_SECONDS,
            jti: hex::encode(rand::random::<[u8; 16]>()),
            aud: instance.into(),
            m: "POST".into(),
            p: path.into(),
            b: body_hash(body),
        }
    }
}

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the token is not a JWT of this program (HS256, kid)")]
    Malformed,
    #[error("the key is not known here")]
    UnknownKey,
    #[error("the signature does not fit")]
    BadSignature,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

fn hmac_of(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    mac_of(key, parts).finalize().into_bytes().into()
}

fn mac_of(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac
}

/// SHA-256 in hex.
pub fn body_hash(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

fn encoded<T: Serialize>(value: &T) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).expect("headers and claims are plain strings and numbers"))
}

fn decoded<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)
}

/// The token for the `Authorization: Bearer` header.
pub fn sign_request(key: &SyncKey, claims: &Claims) -> String {
    let header = Header { alg: "HS256".into(), typ: "JWT".into(), kid: key.id.clone() };
    let signed = format!("{}.{}", encoded(&header), encoded(claims));
    let signature = hmac_of(key.secret.as_bytes(), &[signed.as_bytes()]);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Checks a token's signature and gives back the key it was made with and what it says. Time, audience, path and
/// body are the caller's to check.
pub fn read_request_token<'k>(
    keys: impl IntoIterator<Item = &'k SyncKey>,
    token: &str,
) -> Result<(&'k SyncKey, Claims), TokenError> {
    if token.len() > 4096 {
        return Err(TokenError::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
    let header: Header = decoded(header)?;
    if header.alg != "HS256" {
        return Err(TokenError::Malformed);
    }
    let key = keys.into_iter().find(|key| key.id == header.kid).ok_or(TokenError::UnknownKey)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed)?;
    mac_of(key.secret.as_bytes(), &[signed.as_bytes()])
        .verify_slice(&signature)
        .map_err(|_| TokenError::BadSignature)?;
    Ok((key, decoded(claims)?))
}

fn answer_parts(jti: &str, status: u16, body: &[u8]) -> String {
    format!("cockpit-sync answer\n{jti}\n{status}\n{}", body_hash(body))
}

/// The value of [`ANSWER_HEADER`].
pub fn sign_answer(key: &SyncKey, jti: &str, status: u16, body: &[u8]) -> String {
    hex::encode(hmac_of(key.secret.as_bytes(), &[answer_parts(jti, status, body).as_bytes()]))
}

/// Whether an answer is the agent's, to this very request.
pub fn answer_is_genuine(key: &SyncKey, jti: &str, status: u16, body: &[u8], signature: &str) -> bool {
    let Ok(signature) = hex::decode(signature) else { return false };
    mac_of(key.secret.as_bytes(), &[answer_parts(jti, status, body).as_bytes()]).verify_slice(&signature).is_ok()
}

/// Says that whoever has this key, at this time, lets a run do what its order names.
pub fn approve(key: &SyncKey, made: i64, order: Vec<u8>) -> SignedOrder {
    let approval = hex::encode(hmac_of(key.secret.as_bytes(), &[APPROVAL, &made.to_be_bytes(), &order]));
    SignedOrder { made, bytes: order, approval }
}

/// Whether an order was approved with one of these keys.
pub fn is_approved<'k>(keys: impl IntoIterator<Item = &'k SyncKey>, order: &SignedOrder) -> bool {
    let Ok(approval) = hex::decode(&order.approval) else { return false };
    let parts: [&[u8]; 3] = [APPROVAL, &order.made.to_be_bytes(), &order.bytes];
    keys.into_iter().any(|key| mac_of(key.secret.as_bytes(), &parts).verify_slice(&approval).is_ok())
}

/// So that nothing else that is signed can be taken for an approval.
const APPROVAL: &[u8] = b"cockpit-sync approval\n";

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn key(text: &str) -> SyncKey {
        SyncKey::new(text).unwrap()
    }

    #[test]
    fn a_token_tells_what_was_signed_and_nothing_else() {
        let keys = [key("first key, twenty chars"), key("second key, twenty chars")];
        let claims = Claims::new(1_000, "instance", "/api/sync/list", b"body");
        let token = sign_request(&keys[1], &claims);
        let (used, read) = read_request_token(&keys, &token).unwrap();
        assert_eq!((used, read), (&keys[1], claims));
        assert_eq!(read_request_token(&keys[..1], &token), Err(TokenError::UnknownKey));
        let (signed, _) = token.rsplit_once('.').unwrap();
        let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0; 32]));
        assert_eq!(read_request_token(&keys, &forged), Err(TokenError::BadSignature));
        assert_eq!(read_request_token(&keys, "a.b.c"), Err(TokenError::Malformed));
    }

    #[test]
    fn a_token_without_a_signature_algorithm_is_refused() {
        let keys = [key("first key, twenty chars")];
        let header = Header { alg: "none".into(), typ: "JWT".into(), kid: keys[0].id.clone() };
        let token = format!("{}.{}.", encoded(&header), encoded(&Claims::new(0, "any", "/", b"")));
        assert_eq!(read_request_token(&keys, &token), Err(TokenError::Malformed));
    }

    #[test]
    fn an_answer_fits_one_request_one_status_and_one_body() {
        let key = key("first key, twenty chars");
        let signature = sign_answer(&key, "jti", 200, b"data");
        assert!(answer_is_genuine(&key, "jti", 200, b"data", &signature));
        assert!(!answer_is_genuine(&key, "other", 200, b"data", &signature));
        assert!(!answer_is_genuine(&key, "jti", 404, b"data", &signature));
        assert!(!answer_is_genuine(&key, "jti", 200, b"", &signature));
        assert!(!answer_is_genuine(&key, "jti", 200, b"data", "zz"));
    }

    #[test]
    fn an_approval_fits_one_order_and_takes_the_key() {
        let keys = [key("first key, twenty chars"), key("second key, twenty chars")];
        let order = approve(&keys[1], 1_000, b"order".to_vec());
        assert!(is_approved(&keys, &order));
        assert!(!is_approved(&keys[..1], &order));
        assert!(!is_approved(&keys, &SignedOrder { bytes: b"another order".to_vec(), ..order.clone() }));
        assert!(!is_approved(&keys, &SignedOrder { made: 1_001, ..order.clone() }));
        for approval in ["", "zz"] {
            assert!(!is_approved(&keys, &SignedOrder { approval: approval.into(), ..order.clone() }));
        }
        assert!(!is_approved(&keys, &SignedOrder::default()));
    }

    #[test]
    fn a_key_never_shows_in_debug_output() {
        let key = key("a secret that must not leak");
        assert!(!format!("{key:?}").contains("secret"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_taken_for_a_token_but_the_very_one_that_was_signed(
            at: proptest::sample::Index, with in "[a-zA-Z0-9_.=-]?|.{0,4}", header in ".{0,30}", claims in ".{0,60}",
        ) {
            let key = SyncKey::new("a key of twenty characters").unwrap();
            let token = sign_request(&key, &Claims::new(1_000, "instance", "/api/sync/write", b"body"));
            let at = at.index(token.len());
            let changed = format!("{}{with}{}", &token[..at], &token[at + 1..]);
            proptest::prop_assert_eq!(read_request_token([&key], &changed).is_ok(), changed == token);
            // Soundly signed, and yet no token.
            for header in [header, format!("{{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"{}\"}}", key.id())] {
                let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(&claims));
                let signature = URL_SAFE_NO_PAD.encode(hmac_of(key.secret.as_bytes(), &[signed.as_bytes()]));
                let token = format!("{signed}.{signature}");
                proptest::prop_assert!(read_request_token([&key], &token).is_err());
            }
        }
    }
}
