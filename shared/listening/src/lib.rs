//! How a process listens for HTTP: connections are taken up to a limit, with time limits, and ended in order; with TLS
//! where the process ends it itself.
//!
//! It must not know what is asked or answered.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

pub mod tls;

/// More wait in the system's queue.
const MAX_CONNECTIONS: usize = 1024;
/// For the head of a request and the time before it. Longer than clients and web servers keep idle connections, so
/// that it is they who close them: a request sent into a closing connection has an unknown outcome.
const HEAD_TIMEOUT: Duration = Duration::from_secs(90);
/// Room for the head of a request, and for parts of its body.
const BUFFER_BYTES: usize = 64 * 1024;
/// A stop waits so long for requests that are being answered.
const GRACE: Duration = Duration::from_secs(10);
/// So often it is looked whether certificates were renewed.
const LOOK: Duration = Duration::from_secs(1);

/// Where requests come in.
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<tls::Server>>,
}

/// Why nothing can come in there.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("cannot listen on {0}: {1}")]
    Address(SocketAddr, io::Error),
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    pub address: SocketAddr,
    /// It speaks TLS with us.
    pub is_private: bool,
}

impl Listener {
    /// From here on connections wait in the system's queue. Without `tls` it is plain HTTP.
    pub async fn bind(listen: SocketAddr, tls: Option<tls::Files>) -> Result<Self, ListenError> {
        let tls = tls.map(tls::Server::load).transpose()?.map(Arc::new);
        let wrong = |error| ListenError::Address(listen, error);
        let listener = TcpListener::bind(listen).await.map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        Ok(Self { listener, address, tls })
    }

    /// Where it is, also when the system chose the port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has requests answered until `stop`, then waits for those that are being answered.
    pub async fn serve<A, F, B>(self, answer: A, stop: CancellationToken)
    where
        A: Fn(Peer, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send,
        B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut open = JoinSet::new();
        if let Some(tls) = self.tls.clone() {
            open.spawn(renew(tls, stop.clone()));
        }
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = open.join_next() => {
                    log_panic(ended);
                    continue;
                }
                accepted = self.accept(&slots) => accepted,
            };
            match accepted {
                Ok((stream, address, slot)) => {
                    let (tls, answer, stop) = (self.tls.clone(), answer.clone(), stop.clone());
                    open.spawn(async move {
                        let peer = Peer { address, is_private: tls.is_some() };
                        match tls {
                            None => serve_one(stream, peer, answer, stop).await,
                            Some(tls) => match tls.accept(stream).await {
                                Ok(stream) => serve_one(stream, peer, answer, stop).await,
                                Err(error) => tracing::debug!(peer = %address, %error, "no TLS"),
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
        drop(self.listener);
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

    async fn accept(&self, slots: &Arc<Semaphore>) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (stream, peer) = self.listener.accept().await?;
        // Answers and events are small, and somebody waits for them.
        stream.set_nodelay(true)?;
        Ok((stream, peer, slot))
    }
}

/// Certificates are renewed while a process runs.
async fn renew(tls: Arc<tls::Server>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        let tls = tls.clone();
        match tokio::task::spawn_blocking(move || tls.reload()).await {
            Ok(Ok(true)) => tracing::info!("the certificate was read again"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::error!(%error, "the certificate cannot be read: the one before stays"),
            Err(error) => tracing::error!(%error, "looking after the certificate failed"),
        }
    }
}

async fn serve_one<S, A, F, B>(stream: S, peer: Peer, answer: A, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Fn(Peer, Request<Incoming>) -> F,
    F: Future<Output = Response<B>>,
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    let service = service_fn(|request| {
        let answered = answer(peer, request);
        async move { Ok::<_, Infallible>(answered.await) }
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
        tracing::debug!(peer = %peer.address, %error, "a connection ended early");
    }
}

fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection ended unexpectedly");
    }
}
