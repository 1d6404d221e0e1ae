//! Who asks, and whether they may.
//!
//! With users in the config: a token (`Authorization: Bearer`) or a session's cookie, and the user's role. Without any: this
//! machine only, and it may do everything. A browser on this machine is no reason to trust the page it shows: what changes
//! something must come from a page of ours ([`origin`]).

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use config::{Config, Role};
use queue::Queue;

use crate::error::ApiError;
use crate::state::Shared;

mod attempts;
mod audit;
pub(crate) mod origin;
mod sessions;
mod tokens;
mod users;

pub use origin::Peer;
pub use sessions::{COOKIE, Session};
pub use tokens::{NewToken, new_token};

use sessions::Sessions;
use users::Users;

/// What an address asks of whoever uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: the way in, and what everybody may see.
    Nothing,
    /// As metrics of workers: this machine, the metrics token, or any user who may look.
    Watch,
    /// `sync/view`.
    View,
    /// `sync/manage`.
    Manage,
    /// `sync/hook`, or `sync/manage`.
    Hook,
}

impl Needs {
    fn are_met_by(self, role: Role) -> bool {
        match self {
            Self::Nothing => true,
            Self::Watch | Self::View => matches!(role, Role::Manage | Role::View),
            Self::Manage => role == Role::Manage,
            Self::Hook => matches!(role, Role::Manage | Role::Hook),
        }
    }
}

/// Who asks. Handlers take it as an argument: `caller: Caller`.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The user's name; none for this machine where no user is configured, and where nobody needed to say.
    pub name: Option<String>,
    pub role: Option<Role>,
    pub address: IpAddr,
    /// They came with a session's cookie, so they can log out.
    pub session: bool,
}

impl Caller {
    /// Whether what changes something is for them.
    pub fn may_manage(&self) -> bool {
        self.role == Some(Role::Manage)
    }

    /// As it stands in "started by": "anna at 10.0.0.7".
    pub fn in_words(&self) -> String {
        format!("{} at {}", self.name.as_deref().unwrap_or("somebody"), self.address)
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Self>().cloned();
        Ok(caller.expect("every route is added with what it needs, and passes the guard that puts this here"))
    }
}

pub struct Access {
    users: Users,
    sessions: Sessions,
}

impl Access {
    pub fn new(config: &Config, queue: Queue) -> Self {
        Self { users: Users::new(config.users.clone()), sessions: Sessions::new(queue) }
    }

    /// Nobody is configured: this machine only.
    pub fn is_open(&self) -> bool {
        self.users.are_none()
    }

    /// Who asks, if they may.
    pub(crate) async fn admit(&self, request: &Parts, needs: Needs, shared: &Shared) -> Result<Caller, ApiError> {
        let headers = &request.headers;
        let peer = Peer::of(&request.extensions);
        let changes = !matches!(request.method, Method::GET | Method::HEAD);
        if self.is_open() {
            origin::is_this_machine(peer, headers)?;
            if changes {
                origin::is_not_of_another_site(headers)?;
            }
            let role = Some(Role::Manage);
            return Ok(Caller { name: None, role, address: peer.address(), session: false });
        }
        let address = peer.behind_proxy(headers);
        let nobody = Caller { name: None, role: None, address, session: false };
        let looks_up = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if needs == Needs::Watch && shared.viewers.may_view(peer.address(), looks_up) {
            return Ok(nobody);
        }
        let caller = match self.identify(headers, address, changes).await {
            Ok(caller) => caller,
            Err(_) if needs == Needs::Nothing => return Ok(nobody),
            Err(error) => return Err(error),
        };
        if caller.role.is_some_and(|role| needs.are_met_by(role)) {
            return Ok(caller);
        }
        let denied = denied(&caller, needs);
        audit::denied(&shared.queue, &caller, &request.method, request.uri.path()).await;
        Err(denied)
    }

    async fn identify(&self, headers: &HeaderMap, address: IpAddr, changes: bool) -> Result<Caller, ApiError> {
        if let Some(given) = headers.get(AUTHORIZATION) {
            let token = given.to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
            let token = token.ok_or_else(|| ApiError::unauthorized("authorization is \"Bearer TOKEN\""))?;
            let (name, role) = self.users.recognise(token.trim(), address).await?;
            return Ok(Caller { name: Some(name), role: Some(role), address, session: false });
        }
        let Some(id) = sessions::id_in(headers) else {
            return Err(ApiError::unauthorized("log in, or send a token: \"Authorization: Bearer TOKEN\""));
        };
        if changes {
            origin::is_of_ours(headers)?;
        }
        let session = self.sessions.find(id).await?;
        let role = session.as_ref().and_then(|session| self.users.role_of(&session.user, &session.credential));
        match (session, role) {
            (Some(session), Some(role)) => {
                Ok(Caller { name: Some(session.user), role: Some(role), address, session: true })
            }
            _ => Err(ApiError::unauthorized("this session is over: log in again")),
        }
    }

    /// A session for whoever has this token. Answers who that is, and the cookie.
    pub async fn log_in(
        &self,
        token: &str,
        caller: &Caller,
        headers: &HeaderMap,
    ) -> Result<(Caller, String), ApiError> {
        if self.is_open() {
            return Err(ApiError::usage("no user is configured, so there is nothing to log in to"));
        }
        origin::is_not_of_another_site(headers)?;
        let (name, role) = match self.users.recognise(token.trim(), caller.address).await {
            Ok(known) => known,
            Err(error) => {
                audit::login_failed(self.sessions.queue(), caller).await;
                return Err(error);
            }
        };
        let credential = self.users.credential_of(&name).unwrap_or_default();
        let id = self.sessions.begin(Session { user: name.clone(), credential }).await?;
        let caller = Caller { name: Some(name), role: Some(role), address: caller.address, session: true };
        audit::logged_in(self.sessions.queue(), &caller).await;
        Ok((caller, sessions::cookie(&id, origin::is_private(headers))))
    }

    /// Ends the session. Answers the cookie that takes the place of its.
    pub async fn log_out(&self, headers: &HeaderMap) -> Result<String, ApiError> {
        if let Some(id) = sessions::id_in(headers) {
            self.sessions.end(id).await?;
        }
        Ok(sessions::no_cookie())
    }
}

fn denied(caller: &Caller, needs: Needs) -> ApiError {
    let who = caller.name.as_deref().unwrap_or("nobody");
    let has = caller.role.map_or("no role", Role::name);
    let wanted = match needs {
        Needs::Manage => "sync/manage",
        Needs::Hook => "sync/hook or sync/manage",
        _ => "sync/view or sync/manage",
    };
    ApiError::forbidden(format!("{who} has {has}; this needs {wanted}"))
}
