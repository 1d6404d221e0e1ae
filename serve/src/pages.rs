//! The dashboard: pages for people, over the same state as the API.
//!
//! Owns HTML. Who may see a page is said where its route is added; what a page does is done as the API does it. Every page is
//! whole without JavaScript; `static/live.js` only asks for it again when something happened.

use askama::Template;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Redirect, Response};

use crate::access::{Caller, Needs};
use crate::error::ApiError;
use crate::routes::Routes;

mod audit;
mod chart;
mod dead;
mod events;
mod history;
mod login;
mod logs;
mod overview;
mod plan;
mod plans;
mod run;
mod sync;
mod targets;
mod words;

pub use plans::Plans;

/// Nothing from elsewhere, nothing written into a page: what a document holds is shown, never done.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// Of what belongs to this version of the program.
const FILES: [(&str, &str, &str); 3] = [
    ("/static/style.css", "text/css; charset=utf-8", include_str!("../static/style.css")),
    ("/static/live.js", "text/javascript; charset=utf-8", include_str!("../static/live.js")),
    ("/static/icon.svg", "image/svg+xml", include_str!("../static/icon.svg")),
];

/// The pages' addresses.
pub fn routes(routes: Routes) -> Routes {
    let mut routes = routes;
    for (path, kind, content) in FILES {
        routes = routes.get(path, Needs::Nothing, async move || {
            ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache"), (X_CONTENT_TYPE_OPTIONS, "nosniff")], content)
        });
    }
    routes
        .get("/", Needs::View, overview::show)
        .get("/sync", Needs::View, sync::show)
        .post("/sync", Needs::Manage, sync::plan)
        .get("/plans/{id}", Needs::View, plan::show)
        .post("/plans/{id}/run", Needs::Manage, plan::run)
        .get("/runs", Needs::View, history::show)
        .get("/runs/{id}", Needs::View, run::show)
        .get("/runs/{id}/undo", Needs::Manage, run::show_undo)
        .post("/runs/{id}/undo", Needs::Manage, run::undo)
        .post("/runs/{id}/item", Needs::Manage, run::item)
        .post("/runs/{id}/dead/{what}", Needs::Manage, dead::act)
        .post("/runs/{id}/{what}", Needs::Manage, run::act)
        .get("/targets", Needs::View, targets::show)
        .post("/targets/{name}/check", Needs::Manage, targets::check)
        .get("/targets/{name}/reset", Needs::Manage, targets::show_reset)
        .post("/targets/{name}/reset", Needs::Manage, targets::reset)
        .get("/events", Needs::View, events::show)
        .get("/audit", Needs::View, audit::show)
        .get("/logs", Needs::View, logs::show)
        .get("/dead", Needs::View, dead::show)
        .get("/login", Needs::Nothing, login::show)
        .post("/login", Needs::Nothing, login::log_in)
        .post("/logout", Needs::Nothing, login::log_out)
}

/// What is around every page.
pub struct Shell {
    pub title: String,
    pub user: Option<String>,
    /// What changes something is shown.
    pub manages: bool,
    /// There is a session to end.
    pub session: bool,
    pub entries: Vec<Entry>,
}

/// Of the navigation.
pub struct Entry {
    pub path: &'static str,
    pub name: &'static str,
    pub is_here: bool,
}

const ENTRIES: [(&str, &str); 8] = [
    ("/", "Overview"),
    ("/sync", "Run sync"),
    ("/runs", "History"),
    ("/targets", "Targets"),
    ("/events", "Events"),
    ("/audit", "Audit log"),
    ("/logs", "Logs"),
    ("/dead", "Dead jobs"),
];

impl Shell {
    pub fn new(caller: &Caller, here: &str, title: impl Into<String>) -> Self {
        let entry = |(path, name): (&'static str, &'static str)| Entry { path, name, is_here: path == here };
        Self {
            title: title.into(),
            user: Some(caller.name.clone().unwrap_or_else(|| "this machine".into())),
            manages: caller.may_manage(),
            session: caller.session,
            entries: ENTRIES.into_iter().map(entry).collect(),
        }
    }

    /// Of pages that nobody has to be known for.
    pub fn plain(title: impl Into<String>) -> Self {
        Self { title: title.into(), user: None, manages: false, session: false, entries: Vec::new() }
    }
}

/// A page as it is sent.
pub fn page(template: &impl Template) -> Response {
    answer(StatusCode::OK, template)
}

fn answer(status: StatusCode, template: &impl Template) -> Response {
    let Ok(html) = template.render() else {
        return (StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be made\n").into_response();
    };
    let headers: [(HeaderName, &str); 4] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // `same-origin`: with less, browsers do not say that our own forms are ours.
        (REFERRER_POLICY, "same-origin"),
        // As long as somebody is logged in, and no longer.
        (CACHE_CONTROL, "no-store"),
    ];
    (status, headers, Html(html)).into_response()
}

/// After a form: the page that shows what became of it.
pub fn see(path: &str) -> Response {
    Redirect::to(path).into_response()
}

#[derive(Template)]
#[template(path = "error.html")]
struct Failure {
    shell: Shell,
    message: String,
    back: &'static str,
}

/// A failure, for people. `at`: what they asked for.
pub fn error(error: ApiError, at: &Uri) -> Response {
    if error.status == StatusCode::UNAUTHORIZED && at.path() != "/login" {
        return see(&format!("/login?next={}", login::as_query(at.path())));
    }
    let title = match error.status {
        StatusCode::NOT_FOUND => "Not there",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::CONFLICT => "Refused",
        StatusCode::SERVICE_UNAVAILABLE => "Unreachable",
        _ => "That did not work",
    };
    let failure = Failure { shell: Shell::plain(title), message: error.message, back: "/" };
    let mut response = answer(error.status, &failure);
    if let Some(wait) = error.retry_after {
        response.headers_mut().insert(RETRY_AFTER, (wait.as_secs() + 1).into());
    }
    response
}
