//! From what an agent answered to what becomes of the job.

use std::time::Duration;

use comparing::CompareError;
use comparing::shaping::ShapingError;
use protocol::api::ErrorCode;
use protocol::client::CallError;
use queue::Verdict;

/// Without a Retry-After, come back to a busy agent after so long.
const BUSY_PAUSE: Duration = Duration::from_secs(1);
/// How long to leave a target alone that somebody else may write to.
const HELD_PAUSE: Duration = Duration::from_secs(2);

/// The verdict for a comparison that failed.
pub fn verdict_of_comparing(error: CompareError) -> Verdict {
    match error {
        CompareError::Call(error) => verdict_of(error),
        CompareError::Incomplete(message) => Verdict::retry(message),
        CompareError::Shaping(error) => verdict_of_shaping(error),
    }
}

/// The verdict for documents that cannot be shaped here.
pub fn verdict_of_shaping(error: ShapingError) -> Verdict {
    match error {
        ShapingError::NotHere(error) => Verdict::Fail { error },
        ShapingError::Failed(error) => Verdict::retry(error),
    }
}

/// The verdict for a request that failed. A lost grant and a busy agent are no failures of the job.
pub fn verdict_of(error: CallError) -> Verdict {
    if let CallError::Busy { retry_after, .. } = &error {
        return Verdict::Throttled { after: retry_after.unwrap_or(BUSY_PAUSE), reason: error.to_string() };
    }
    let Some(refusal) = error.refusal() else {
        // Unreachable, an error page, an unknown outcome: the same request again is safe (I5), and may go better.
        return Verdict::Retry { error: error.to_string(), after: error.retry_after() };
    };
    let message = error.to_string();
    match refusal.code {
        ErrorCode::GrantLost | ErrorCode::GrantSuperseded | ErrorCode::DatabaseReplaced => {
            let holder = refusal.grant.as_ref().map_or(message, |grant| grant.holder.clone());
            Verdict::FenceLost { holder }
        }
        ErrorCode::GrantHeld | ErrorCode::SyncLock => Verdict::Return { after: Some(HELD_PAUSE), reason: message },
        ErrorCode::Busy => {
            let after = refusal.retry_after_ms.map_or(BUSY_PAUSE, Duration::from_millis);
            Verdict::Throttled { after, reason: message }
        }
        ErrorCode::Forbidden | ErrorCode::ReadOnly | ErrorCode::UnsupportedStorage | ErrorCode::WrongInstance => {
            Verdict::Fail { error: message }
        }
        ErrorCode::BadRequest
        | ErrorCode::Unauthorized
        | ErrorCode::ClockSkew
        | ErrorCode::Replayed
        | ErrorCode::TooLarge
        | ErrorCode::DiskFull
        | ErrorCode::Storage
        | ErrorCode::Internal => Verdict::Retry { error: message, after: error.retry_after() },
    }
}
