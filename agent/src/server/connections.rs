//! Connections: taken up to a limit, with time limits, and ended in order.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::exchange::Exchange;

/// More wait in the system's queue.
const MAX_CONNECTIONS: usize = 1024;
/// For the head of a request and the time before it. Longer than clients and web servers keep idle connections, so
/// that it is they who close them: a request sent into a closing connection has an unknown outcome.
const HEAD_TIMEOUT: Duration = Duration::from_secs(90);
/// Room for the head of a request, and for parts of its body.
const BUFFER_BYTES: usize = 64 * 1024;
/// A shutdown waits so long for requests that are being answered.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// Serves until `stop`.
pub(super) async fn serve(listener: TcpListener, exchange: Arc<Exchange>, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
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
                let (exchange, stop) = (exchange.clone(), stop.clone());
                open.spawn(async move {
                    match exchange.tls.clone() {
                        None => serve_one(stream, peer, exchange, stop).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve_one(stream, peer, exchange, stop).await,
                            Err(error) => tracing::debug!(peer = %peer, %error, "no TLS"),
                        },
                    }
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

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> std::io::Result<Accepted> {
    let slot = slots.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Answers are small, and whoever asked waits for them.
    stream.set_nodelay(true)?;
    Ok((stream, peer, slot))
}

async fn serve_one<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: SocketAddr,
    exchange: Arc<Exchange>,
    stop: CancellationToken,
) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let exchange = exchange.clone();
        async move { Ok::<_, Infallible>(exchange.answer(peer.ip(), request).await) }
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

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection ended unexpectedly");
    }
}
