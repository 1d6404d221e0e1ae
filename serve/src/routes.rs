//! Every address there is, and who may use it. The list is also what the OpenAPI document is checked against.

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Extension, Router};

use crate::access::Needs;
use crate::error::ApiError;
use crate::state::Shared;
use crate::{api, pages, watched};

/// The largest request that is read. The largest that makes sense is a job file.
const BODY_BYTES: usize = 1 << 20;

/// One address and method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    pub needs: Needs,
}

/// Routes in the making: there is no way to add one without saying who may use it.
#[derive(Default)]
pub struct Routes {
    router: Router<Shared>,
    listed: Vec<Route>,
}

impl Routes {
    pub fn get<H, T>(self, path: &'static str, needs: Needs, handler: H) -> Self
    where
        H: Handler<T, Shared>,
        T: 'static,
    {
        self.add(Method::GET, path, needs, on(MethodFilter::GET, handler))
    }

    pub fn post<H, T>(self, path: &'static str, needs: Needs, handler: H) -> Self
    where
        H: Handler<T, Shared>,
        T: 'static,
    {
        self.add(Method::POST, path, needs, on(MethodFilter::POST, handler))
    }

    pub fn delete<H, T>(self, path: &'static str, needs: Needs, handler: H) -> Self
    where
        H: Handler<T, Shared>,
        T: 'static,
    {
        self.add(Method::DELETE, path, needs, on(MethodFilter::DELETE, handler))
    }

    fn add(mut self, method: Method, path: &'static str, needs: Needs, handler: MethodRouter<Shared>) -> Self {
        let guarded = handler.route_layer(from_fn_with_state(needs, guard));
        self.router = self.router.route(path, guarded);
        self.listed.push(Route { method, path, needs });
        self
    }
}

/// All of them.
fn all() -> Routes {
    pages::routes(api::routes(watched::routes(Routes::default())))
}

/// What answers requests.
pub fn router(shared: Shared) -> Router {
    all()
        .router
        .fallback(nothing_there)
        .method_not_allowed_fallback(not_like_that)
        .layer(from_fn(in_words))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(Extension(shared.clone()))
        .with_state(shared)
}

/// Lets a request pass when whoever sent it may do that, and says who it is.
async fn guard(
    State(needs): State<Needs>,
    Extension(shared): Extension<Shared>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let caller = shared.access.admit(&parts, needs, &shared).await?;
    parts.extensions.insert(caller);
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// Programs read JSON, people a page.
async fn in_words(request: Request, next: Next) -> Response {
    let is_for_programs = request.uri().path().starts_with("/api/");
    let path = request.uri().clone();
    let response = next.run(request).await;
    match response.extensions().get::<ApiError>() {
        Some(error) if !is_for_programs => pages::error(error.clone(), &path),
        _ => response,
    }
}

async fn nothing_there(request: Request) -> Response {
    ApiError::not_found(format!("there is nothing at {}", request.uri().path())).into_response()
}

async fn not_like_that(request: Request) -> Response {
    let message = format!("{} is not for {}", request.uri().path(), request.method());
    ApiError::new(axum::http::StatusCode::METHOD_NOT_ALLOWED, "method", message).into_response()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_openapi_document_describes_every_route_with_its_role_and_no_other() {
        let document: Value = serde_json::from_str(api::OPENAPI).unwrap();
        let mut described = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let role = operation["x-role"].as_str().unwrap_or_else(|| panic!("{method} {path} names no x-role"));
                described.insert((method.to_uppercase(), path.clone(), role.to_owned()));
            }
        }
        let role = |needs: Needs| match needs {
            Needs::Nothing => "none",
            Needs::Watch => "watch",
            Needs::View => "sync/view",
            Needs::Manage => "sync/manage",
            Needs::Hook => "sync/hook",
        };
        let listed = all().listed;
        let of_api = listed.iter().filter(|route| route.path.starts_with("/api/") || route.needs == Needs::Watch);
        let there: BTreeSet<_> = of_api
            .map(|route| (route.method.to_string(), route.path.to_owned(), role(route.needs).to_owned()))
            .collect();
        let (more, less): (Vec<_>, Vec<_>) =
            (described.difference(&there).collect(), there.difference(&described).collect());
        assert!(more.is_empty() && less.is_empty(), "only described: {more:?}; not described: {less:?}");
    }
}
