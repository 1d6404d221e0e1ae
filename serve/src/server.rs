//! The server as a running thing: starts, answers, ends in order.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use config::ServerTls;
use hyper::body::Incoming;
use listening::{ListenError, Listener, tls};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;

use crate::access::{Peer, origin};
use crate::state::{Host, Serving, Shared};
use crate::{hooks, monitor, routes};

/// For the body of a request, and what is done until an answer begins. A plan of a large site takes its time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);

/// A server that is not running yet has no state: see [`Server::start`].
pub struct Server;

/// Serves until it is shut down. Dropped, it ends on its own time.
pub struct RunningServer {
    address: SocketAddr,
    stop: CancellationToken,
    _stops_when_dropped: DropGuard,
    serving: JoinHandle<Result<(), JoinError>>,
}

/// Why it does not start, in words for the person who starts it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(
        "no user is configured, so whoever reaches {0} could do everything: serve listens on this machine only \
         (--listen 127.0.0.1:PORT), or add [user.NAME] to the config (cockpit-sync token NAME makes a token)"
    )]
    Open(SocketAddr),
}

/// It ended though nobody asked it to.
#[derive(Debug, thiserror::Error)]
#[error("the server ended unexpectedly: {0}")]
pub struct ServerFailed(#[from] JoinError);

impl Server {
    /// Listens. When this returns, requests are answered.
    pub async fn start(host: Host, listen: SocketAddr) -> Result<RunningServer, StartError> {
        if host.config.users.is_empty() && !listen.ip().to_canonical().is_loopback() {
            return Err(StartError::Open(listen));
        }
        let tls = host.config.serve_tls.clone();
        let tls = tls.map(|ServerTls { cert, key, client_ca }| tls::Files { cert, key, client_ca });
        let listener = Listener::bind(listen, tls).await?;
        let address = listener.address();
        let stop = CancellationToken::new();
        let shared = Arc::new(Serving::new(host, stop.clone()));
        let serving = tokio::spawn(supervise(listener, shared));
        Ok(RunningServer { address, _stops_when_dropped: stop.clone().drop_guard(), stop, serving })
    }
}

impl RunningServer {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no new requests, and answers those it has.
    pub async fn shutdown(self) -> Result<(), ServerFailed> {
        self.stop.cancel();
        Ok(self.serving.await??)
    }

    /// Serves until `stop` is done. An end that comes before is an error.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) -> Result<(), ServerFailed> {
        tokio::select! {
            early = &mut self.serving => return Ok(early??),
            () = stop => {}
        }
        self.shutdown().await
    }
}

/// Runs until it is told to stop, or one of its parts ends; then everything ends in order.
async fn supervise(listener: Listener, shared: Shared) -> Result<(), JoinError> {
    let stop = shared.stop.clone();
    let mut parts = JoinSet::new();
    let router = routes::router(shared.clone());
    parts.spawn(listener.serve(move |peer, request| answer(router.clone(), peer, request), stop.clone()));
    // What runs beside requests.
    parts.spawn(beside(monitor::watch(shared.clone()), stop.clone()));
    parts.spawn(beside(hooks::look_after(shared), stop.clone()));
    let mut first_failure = Ok(());
    while let Some(ended) = parts.join_next().await {
        stop.cancel();
        first_failure = first_failure.and(ended);
    }
    first_failure
}

/// Something that may have nothing to do, and ends then.
async fn beside(work: impl Future<Output = ()>, stop: CancellationToken) {
    work.await;
    stop.cancelled().await;
}

/// One request, whole in time or given up.
async fn answer(router: Router, peer: listening::Peer, request: Request<Incoming>) -> Response {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(Peer(peer.address));
    if peer.is_private {
        // As a web server before us would say it.
        request.headers_mut().insert(origin::SCHEME, HeaderValue::from_static("https"));
    }
    let answered = tokio::time::timeout(ANSWER_TIMEOUT, router.oneshot(request)).await;
    answered.map_or_else(|_| too_slow(), |Ok::<_, Infallible>(answer)| answer)
}

fn too_slow() -> Response {
    let message = "this took too long and was given up; what was begun may go on";
    crate::ApiError::new(StatusCode::GATEWAY_TIMEOUT, "timeout", message).into_response()
}
