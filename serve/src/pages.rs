//! The dashboard: pages for people, over the same state as the API.
//!
//! Owns HTML. Who may see a page is said where its route is added; what a page does is done as the API does it.

use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;
use crate::routes::Routes;

/// The pages' addresses.
pub fn routes(routes: Routes) -> Routes {
    routes
}

/// A failure, for people. `_at`: what they asked for.
pub fn error(error: ApiError, _at: &Uri) -> Response {
    let plain = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
    (error.status, plain, format!("{}\n", error.message)).into_response()
}
