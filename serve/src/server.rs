//! The server as a running thing: listens, takes connections up to a limit, ends in order.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;

use crate::access::Peer;
use crate::state::{Host, Serving, Shared};
use crate::{hooks, monitor, routes};

/// Open pages among them, which stay. More wait in the system's queue.
const CONNECTIONS: usize = 1024;
/// For the head of a request, and the time before it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// For the body of a request, and what is done until an answer begins. A plan of a large site takes its time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);
const BUFFER_BYTES: usize = 64 * 1024;
/// A stop waits so long for requests that are being answered.
const GRACE: Duration = Duration::from_secs(10);

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
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
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
        let listener = TcpListener::bind(listen).await.map_err(|error| StartError::Listen(listen, error))?;
        let address = listener.local_addr().map_err(|error| StartError::Listen(listen, error))?;
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
async fn supervise(listener: TcpListener, shared: Shared) -> Result<(), JoinError> {
    let stop = shared.stop.clone();
    let mut parts = JoinSet::new();
    parts.spawn(serve(listener, routes::router(shared.clone()), stop.clone()));
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

async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = open.join_next() => {
                log_panic(ended);
                continue;
            }
            accepted = accept(&listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, peer, slot)) => {
                let connection = serve_one(stream, peer, router.clone(), stop.clone());
                open.spawn(async move {
                    connection.await;
                    drop(slot);
                });
            }
            // Out of file descriptors, most likely: trying at once would only burn the processor.
            Err(error) => {
                tracing::error!(%error, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let all_ended = async {
        while let Some(ended) = open.join_next().await {
            log_panic(ended);
        }
    };
    if tokio::time::timeout(GRACE, all_ended).await.is_err() {
        tracing::warn!(connections = open.len(), "connections are cut: they did not end in time");
    }
    open.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Events are small, and somebody waits for them.
    stream.set_nodelay(true)?;
    Ok((stream, peer, slot))
}

async fn serve_one(stream: TcpStream, peer: SocketAddr, router: Router, stop: CancellationToken) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let router = router.clone();
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer));
            let answered = tokio::time::timeout(ANSWER_TIMEOUT, router.oneshot(request)).await;
            answered.unwrap_or_else(|_| Ok::<_, Infallible>(too_slow()))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %peer, %error, "a connection ended early");
    }
}

fn too_slow() -> axum::response::Response {
    use axum::http::StatusCode;
    use axum::response::IntoResponse;
    let message = "this took too long and was given up; what was begun may go on";
    crate::ApiError::new(StatusCode::GATEWAY_TIMEOUT, "timeout", message).into_response()
}

fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection ended unexpectedly");
    }
}
