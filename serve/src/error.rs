//! Why a request was not done, as programs read it. Browsers get a page of it ([`crate::pages::error`]).

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use producer::{Problem, ProblemKind};
use serde_json::json;

/// `{"error":{"code","message"}}` with its status.
#[derive(Debug, Clone)]
pub struct ApiError {
    pub status: StatusCode,
    /// For programs.
    pub code: &'static str,
    /// For people: what is wrong and what to do. Never a secret.
    pub message: String,
    pub retry_after: Option<Duration>,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: None }
    }

    /// The request itself is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "usage", message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// Nobody said who asks, or it is not true.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// Whoever asks may not.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub fn too_many(message: impl Into<String>, retry_after: Duration) -> Self {
        let retry_after = Some(retry_after);
        Self { retry_after, ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many", message) }
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        let status = match problem.kind {
            ProblemKind::Usage => StatusCode::BAD_REQUEST,
            ProblemKind::Refused => StatusCode::CONFLICT,
            ProblemKind::Unreachable => StatusCode::SERVICE_UNAVAILABLE,
            ProblemKind::Lost => StatusCode::NOT_FOUND,
            ProblemKind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, problem.kind.code(), problem.message)
    }
}

impl From<queue::Error> for ApiError {
    fn from(error: queue::Error) -> Self {
        Problem::from(error).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message } });
        let mut response = (self.status, Json(body)).into_response();
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, (wait.as_secs() + 1).into());
        }
        // For whoever makes a page of it.
        response.extensions_mut().insert(self);
        response
    }
}
