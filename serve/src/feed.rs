//! Events to every open page: one subscription to Redis, handed on to all who listen here.
//!
//! Whoever falls behind is cut off, and replays when it comes back: nobody's memory grows because of a slow reader.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use queue::{Event, Queue};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::error::ApiError;

/// So many events may somebody be behind.
const BEHIND: usize = 1024;
/// Open streams.
const READERS: usize = 512;
/// Replays at a time: each holds what is in the log.
const REPLAYS: usize = 4;
/// A comment so often when nothing happens, so that a connection that is dead is noticed.
const KEEP_ALIVE: std::time::Duration = std::time::Duration::from_secs(15);

pub struct Feed {
    queue: Queue,
    /// The subscription begins with the first who listens.
    sender: OnceCell<broadcast::Sender<Arc<Told>>>,
    readers: Arc<Semaphore>,
    replays: Semaphore,
    stop: CancellationToken,
}

/// An event as it goes out to everybody.
struct Told {
    seq: u64,
    run: String,
    bytes: Bytes,
}

impl Told {
    fn new(event: &Event) -> Self {
        // JSON in one line: that is how it was published.
        let bytes = format!("id: {}\ndata: {}\n\n", event.seq, event.json).into();
        Self { seq: event.seq, run: event.run.clone(), bytes }
    }
}

/// What somebody listens to.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// What came after this event is replayed; none: only what happens from now on.
    pub after: Option<u64>,
    /// Only of this run.
    pub run: Option<String>,
}

/// One reader's place.
struct Reader {
    receiver: broadcast::Receiver<Arc<Told>>,
    /// Up to here it was replayed: what of that comes once more is left out, until something newer came.
    replayed: u64,
    run: Option<String>,
    stop: CancellationToken,
    _slot: OwnedSemaphorePermit,
}

impl Feed {
    pub fn new(queue: Queue, stop: CancellationToken) -> Self {
        let readers = Arc::new(Semaphore::new(READERS));
        Self { queue, sender: OnceCell::new(), readers, replays: Semaphore::new(REPLAYS), stop }
    }

    async fn sender(&self) -> Result<&broadcast::Sender<Arc<Told>>, ApiError> {
        self.sender
            .get_or_try_init(async || {
                let (sender, _) = broadcast::channel(BEHIND);
                let events = self.queue.subscribe(self.queue.last_seq().await?);
                tokio::spawn(hand_on(events, sender.clone(), self.stop.clone()));
                Ok(sender)
            })
            .await
    }

    /// Server-sent events: what was missed, then what happens.
    pub async fn listen(&self, wanted: Wanted) -> Result<Response, ApiError> {
        let slot = self.readers.clone().try_acquire_owned().map_err(|_| {
            ApiError::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "too_many", "too many pages are open here")
        })?;
        // Listens first and replays then, so that nothing falls between the two.
        let receiver = self.sender().await?.subscribe();
        let mut begin = vec![Bytes::from_static(b"retry: 1000\n\n")];
        let mut replayed = 0;
        if let Some(after) = wanted.after {
            let _turn = self.replays.acquire().await;
            let replay = self.queue.events_since(after).await?;
            if replay.trimmed && after > 0 {
                begin.push(Bytes::from_static(b"event: gap\ndata: {\"event\":\"gap\"}\n\n"));
            }
            for event in &replay.events {
                replayed = event.seq;
                if wanted.run.as_ref().is_none_or(|run| *run == event.run) {
                    begin.push(Told::new(event).bytes);
                }
            }
        }
        let reader = Reader { receiver, replayed, run: wanted.run, stop: self.stop.clone(), _slot: slot };
        let live = stream::unfold(reader, async |mut reader| reader.next().await.map(|bytes| (bytes, reader)));
        let all = stream::iter(begin).chain(live).map(Ok::<_, std::convert::Infallible>);
        let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
        // A web server in between must not collect them.
        Ok((headers, [("x-accel-buffering", "no")], Body::from_stream(all)).into_response())
    }
}

/// Ends with the server.
async fn hand_on(mut events: queue::Subscription, sender: broadcast::Sender<Arc<Told>>, stop: CancellationToken) {
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = stop.cancelled() => None,
        };
        let Some(event) = event else { return };
        // Nobody listens just now.
        let _readers = sender.send(Arc::new(Told::new(&event)));
    }
}

impl Reader {
    /// The next event of its; nothing when it fell behind, or the server stops.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let received = tokio::select! {
                received = tokio::time::timeout(KEEP_ALIVE, self.receiver.recv()) => received,
                () = self.stop.cancelled() => return None,
            };
            let told = match received {
                Err(_silence) => return Some(Bytes::from_static(b": here\n\n")),
                Ok(Ok(told)) => told,
                Ok(Err(RecvError::Lagged(_) | RecvError::Closed)) => return None,
            };
            if told.seq <= self.replayed {
                continue;
            }
            // Numbers begin anew when Redis has lost its data.
            self.replayed = 0;
            if self.run.as_ref().is_none_or(|run| *run == told.run) {
                return Some(told.bytes.clone());
            }
        }
    }
}
