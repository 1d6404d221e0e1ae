//! An answer as it came, bounded in size, before anybody believes it.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};

pub(super) struct RawAnswer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Why an answer was not read to its end.
pub(super) enum ReadError {
    TooLarge(usize),
    Broken(reqwest::Error),
}

impl RawAnswer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// `Retry-After` in seconds; dates are not used by anything that stands before an agent.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.header(RETRY_AFTER.as_str())?.trim().parse().ok().map(Duration::from_secs)
    }
}

/// Reads at most `limit` bytes: whoever answers cannot fill our memory (I8).
pub(super) async fn read_answer(mut response: reqwest::Response, limit: usize) -> Result<RawAnswer, ReadError> {
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    let promised = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    if promised > limit {
        return Err(ReadError::TooLarge(limit));
    }
    let mut body = Vec::with_capacity(promised.min(4 * 1024 * 1024));
    while let Some(chunk) = response.chunk().await.map_err(ReadError::Broken)? {
        if body.len() + chunk.len() > limit {
            return Err(ReadError::TooLarge(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(RawAnswer { status, headers, body })
}
