//! Sessions of browsers: kept in Redis, so that every process that serves knows them, and ended where they are.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::COOKIE as COOKIE_HEADER;
use queue::Queue;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::ApiError;

/// The cookie's name.
pub const COOKIE: &str = "cockpit_sync_session";
/// From log in to log in.
const LASTS: Duration = Duration::from_secs(12 * 60 * 60);

/// Somebody who logged in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Session {
    pub user: String,
    /// With which token, without saying it.
    pub credential: String,
}

pub struct Sessions(Queue);

impl Sessions {
    pub fn new(queue: Queue) -> Self {
        Self(queue)
    }

    pub fn queue(&self) -> &Queue {
        &self.0
    }

    /// Answers its id: whoever has it is that user.
    pub async fn begin(&self, session: Session) -> Result<String, ApiError> {
        let id = hex::encode(rand::random::<[u8; 32]>());
        let value = serde_json::to_vec(&session).expect("two strings always encode");
        self.0.keep(&name_of(&id), &value, LASTS).await?;
        Ok(id)
    }

    pub async fn find(&self, id: &str) -> Result<Option<Session>, ApiError> {
        let value = self.0.kept(&name_of(id)).await?;
        Ok(value.and_then(|value| serde_json::from_slice(&value).ok()))
    }

    pub async fn end(&self, id: &str) -> Result<(), ApiError> {
        Ok(self.0.forget(&name_of(id)).await?)
    }
}

/// Whoever reads Redis does not learn the ids.
fn name_of(id: &str) -> String {
    format!("session:{}", hex::encode(Sha256::digest(id)))
}

/// The session that a browser says it has.
pub fn id_in(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE_HEADER).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, id)| id)
}

/// Not for scripts, and not with requests that other sites make.
pub fn cookie(id: &str, is_private: bool) -> String {
    let secure = if is_private { "; Secure" } else { "" };
    format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}", LASTS.as_secs())
}

pub fn no_cookie() -> String {
    format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")
}
