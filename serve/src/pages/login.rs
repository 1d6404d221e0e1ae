//! The way in and out.

use askama::Template;
use axum::extract::{Form, Query, State};
use axum::http::HeaderMap;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::{Shell, answer, see};
use crate::access::Caller;
use crate::error::ApiError;
use crate::state::Shared;

#[derive(Template)]
#[template(path = "login.html")]
struct Login {
    shell: Shell,
    message: Option<String>,
    next: String,
}

#[derive(Deserialize)]
pub struct Wanted {
    next: Option<String>,
}

#[derive(Deserialize)]
pub struct Given {
    token: String,
    next: Option<String>,
}

pub async fn show(State(shared): State<Shared>, caller: Caller, Query(wanted): Query<Wanted>) -> Response {
    let next = ours(wanted.next);
    if shared.access.is_open() || caller.role.is_some() {
        return see(&next);
    }
    ask(axum::http::StatusCode::OK, None, next)
}

fn ask(status: axum::http::StatusCode, message: Option<String>, next: String) -> Response {
    answer(status, &Login { shell: Shell::plain("Log in"), message, next })
}

pub async fn log_in(
    State(shared): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    Form(given): Form<Given>,
) -> Result<Response, ApiError> {
    let next = ours(given.next);
    match shared.access.log_in(&given.token, &caller, &headers).await {
        Ok((_, cookie)) => Ok(([(SET_COOKIE, cookie)], see(&next)).into_response()),
        Err(error) if error.retry_after.is_some() => Err(error),
        Err(error) => Ok(ask(error.status, Some(error.message), next)),
    }
}

pub async fn log_out(State(shared): State<Shared>, headers: HeaderMap) -> Result<Response, ApiError> {
    let cookie = shared.access.log_out(&headers).await?;
    Ok(([(SET_COOKIE, cookie)], see("/login")).into_response())
}

/// Only to a page of ours: whoever makes a link to the login does not choose where it leads.
fn ours(next: Option<String>) -> String {
    next.filter(|path| is_path(path)).unwrap_or_else(|| "/".into())
}

fn is_path(path: &str) -> bool {
    path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\n', '\r', '\t'])
}

/// As it stands behind `?name=`.
pub fn as_query(text: &str) -> String {
    let mut query = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' => query.push(char::from(byte)),
            _ => query.push_str(&format!("%{byte:02X}")),
        }
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_a_page_of_ours_only() {
        let leads = |next: &str| ours(Some(next.into()));
        assert_eq!(leads("/runs?state=failed"), "/runs?state=failed");
        for elsewhere in ["//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example", ""] {
            assert_eq!(leads(elsewhere), "/", "{elsewhere:?}");
        }
        assert_eq!(as_query("/runs?a=b c&d"), "/runs%3Fa%3Db%20c%26d");
    }
}
