//! The body of a request: in memory up to a limit, and no longer than a minute in coming.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

/// So long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// So much of a body that is refused is read and thrown away: a caller that still sends would not see the answer.
const THROWN_AWAY_BYTES: usize = 16 * 1024 * 1024;

pub(super) enum BodyError {
    TooLarge,
    TooSlow,
    /// The caller is gone.
    Broken,
}

/// The whole body, if it has at most `limit` bytes.
pub(super) async fn read(body: Incoming, limit: usize) -> Result<Vec<u8>, BodyError> {
    tokio::time::timeout(BODY_TIMEOUT, collect(body, limit)).await.unwrap_or(Err(BodyError::TooSlow))
}

/// Reads on without keeping anything, so that the caller gets to read why it is refused.
pub(super) async fn throw_away(body: Incoming) {
    // Whatever goes wrong, it is refused anyway.
    let _refused_anyway = read(body, 0).await;
}

async fn collect(mut body: Incoming, limit: usize) -> Result<Vec<u8>, BodyError> {
    let promised = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut read = Vec::with_capacity(promised.min(limit));
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        length += data.len();
        if length > THROWN_AWAY_BYTES.max(limit) {
            return Err(BodyError::TooLarge);
        }
        if length <= limit {
            read.extend_from_slice(&data);
        }
    }
    if length > limit { Err(BodyError::TooLarge) } else { Ok(read) }
}
