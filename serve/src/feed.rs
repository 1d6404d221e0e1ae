//! Events to every open page: one subscription to Redis, handed on to all who listen here.
//!
//! Whoever falls behind reads on from the log in Redis, a page at a time: nobody's memory grows because of a slow reader.

use std::collections::VecDeque;
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

/// So many events are kept for those who have not taken them yet.
const BEHIND: usize = 256;
/// Events of the log that a reader holds at a time.
const PAGE: u32 = 64;
/// Open streams.
const READERS: usize = 512;
/// Readers that ask for the log at a time.
const REPLAYS: usize = 4;
/// A comment so often when nothing happens, so that a connection that is dead is noticed.
const KEEP_ALIVE: std::time::Duration = std::time::Duration::from_secs(15);

pub struct Feed {
    log: Arc<Log>,
    /// The subscription begins with the first who listens.
    sender: OnceCell<broadcast::Sender<Arc<Told>>>,
    readers: Arc<Semaphore>,
    stop: CancellationToken,
}

/// What happened, as Redis keeps it.
struct Log {
    queue: Queue,
    turns: Semaphore,
}

/// An event as it goes out to everybody.
struct Told {
    seq: u64,
    run: String,
    bytes: Bytes,
    /// The first after Redis lost its data: numbers begin anew.
    is_anew: bool,
}

impl Told {
    fn new(event: &Event, is_anew: bool) -> Self {
        // JSON in one line: that is how it was published.
        let bytes = format!("id: {}\ndata: {}\n\n", event.seq, event.json).into();
        Self { seq: event.seq, run: event.run.clone(), bytes, is_anew }
    }

    fn is_of(&self, run: Option<&str>) -> bool {
        run.is_none_or(|run| run == self.run)
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
    log: Arc<Log>,
    live: broadcast::Receiver<Arc<Told>>,
    /// The last event it was told of, or that is not for it.
    last: u64,
    /// There may be more in the log than in what is handed on.
    is_behind: bool,
    /// Read from the log and not told yet.
    ready: VecDeque<Bytes>,
    run: Option<String>,
    stop: CancellationToken,
    _slot: OwnedSemaphorePermit,
}

impl Feed {
    pub fn new(queue: Queue, stop: CancellationToken) -> Self {
        let log = Arc::new(Log { queue, turns: Semaphore::new(REPLAYS) });
        Self { log, sender: OnceCell::new(), readers: Arc::new(Semaphore::new(READERS)), stop }
    }

    async fn sender(&self) -> Result<&broadcast::Sender<Arc<Told>>, ApiError> {
        self.sender
            .get_or_try_init(async || {
                let (sender, _) = broadcast::channel(BEHIND);
                let queue = &self.log.queue;
                let events = queue.subscribe(queue.last_seq().await?);
                tokio::spawn(hand_on(events, sender.clone(), self.stop.clone()));
                Ok(sender)
            })
            .await
    }

    /// Server-sent events: what was missed, then what happens.
    pub async fn listen(&self, wanted: Wanted) -> Result<Response, ApiError> {
        let reader = self.reader(wanted).await?;
        let events = stream::unfold(reader, async |mut reader| reader.next().await.map(|bytes| (bytes, reader)));
        let events = events.map(Ok::<_, std::convert::Infallible>);
        let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
        // A web server in between must not collect them.
        Ok((headers, [("x-accel-buffering", "no")], Body::from_stream(events)).into_response())
    }

    async fn reader(&self, wanted: Wanted) -> Result<Reader, ApiError> {
        let slot = self.readers.clone().try_acquire_owned().map_err(|_| {
            ApiError::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "too_many", "too many pages are open here")
        })?;
        let live = self.sender().await?.subscribe();
        let (log, stop) = (self.log.clone(), self.stop.clone());
        let last = match wanted.after {
            Some(after) => after,
            None => log.queue.last_seq().await?,
        };
        let ready = VecDeque::from([Bytes::from_static(b"retry: 1000\n\n")]);
        let mut reader = Reader { log, live, last, is_behind: false, ready, run: wanted.run, stop, _slot: slot };
        if wanted.after.is_some() {
            reader.read_on().await?;
        }
        Ok(reader)
    }
}

/// Ends with the server.
async fn hand_on(mut events: queue::Subscription, sender: broadcast::Sender<Arc<Told>>, stop: CancellationToken) {
    let mut last = 0;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = stop.cancelled() => None,
        };
        let Some(event) = event else { return };
        // Nobody listens just now.
        let _readers = sender.send(Arc::new(Told::new(&event, event.seq <= last)));
        last = event.seq;
    }
}

impl Reader {
    /// The next of its events; nothing when the server stops, or Redis does not answer or has lost its data: whoever comes
    /// back is told then what it missed.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            if self.is_behind {
                self.read_on().await.ok()?;
                continue;
            }
            let received = tokio::select! {
                received = tokio::time::timeout(KEEP_ALIVE, self.live.recv()) => received,
                () = self.stop.cancelled() => return None,
            };
            let told = match received {
                Err(_silence) => return Some(Bytes::from_static(b": here\n\n")),
                Ok(Ok(told)) => told,
                Ok(Err(RecvError::Lagged(_))) => {
                    self.is_behind = true;
                    continue;
                }
                Ok(Err(RecvError::Closed)) => return None,
            };
            if told.seq <= self.last {
                if told.is_anew {
                    return None;
                }
                // The log had it already.
                continue;
            }
            self.last = told.seq;
            if told.is_of(self.run.as_deref()) {
                return Some(told.bytes.clone());
            }
        }
    }

    /// The next page of the log, after the last event.
    async fn read_on(&mut self) -> queue::Result<()> {
        // Listens first and reads then, so that nothing falls between the two.
        self.live = self.live.resubscribe();
        let turn = self.log.turns.acquire().await;
        let page = self.log.queue.next_events(self.last, PAGE).await?;
        drop(turn);
        if page.trimmed && self.last > 0 {
            self.ready.push_back(Bytes::from_static(b"event: gap\ndata: {\"event\":\"gap\"}\n\n"));
        }
        self.is_behind = page.events.len() == PAGE as usize;
        for event in &page.events {
            self.last = event.seq;
            let told = Told::new(event, false);
            if told.is_of(self.run.as_deref()) {
                self.ready.push_back(told.bytes);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use queue::Settings;
    use serde_json::Map;
    use servers::{Program, Server};

    use super::*;

    const EVENTS: u64 = 1000;

    /// What a reader was told of, from its `id` lines.
    async fn told(reader: &mut Reader) -> u64 {
        loop {
            let bytes = reader.next().await.unwrap();
            let id = bytes.strip_prefix(b"id: ").and_then(|rest| rest.split(|byte| *byte == b'\n').next());
            if let Some(id) = id {
                return str::from_utf8(id).unwrap().parse().unwrap();
            }
        }
    }

    #[tokio::test]
    async fn readers_that_read_nothing_hold_what_is_kept_for_all_and_those_behind_a_page_each() {
        let server = Server::start(&Program::of_this_system(), &[]);
        let (queue, _) = Queue::connect(Settings::new(server.url())).await.unwrap();
        let feed = Feed::new(queue.clone(), CancellationToken::new());
        let mut readers = Vec::new();
        for _ in 0..50 {
            readers.push(feed.reader(Wanted::default()).await.unwrap());
        }
        for _ in 0..EVENTS {
            queue.announce("told", &Map::new()).await.unwrap();
        }
        // When one has all of them, they were handed on to all.
        let mut first = readers.pop().unwrap();
        for seq in 1..=EVENTS {
            assert_eq!(told(&mut first).await, seq);
            assert!(first.ready.len() <= PAGE as usize);
        }
        let held = feed.sender.get().unwrap().len();
        assert!(held <= BEHIND, "{held} events are kept");
        for reader in &mut readers {
            assert_eq!(told(reader).await, 1);
            assert!((1..PAGE as usize).contains(&reader.ready.len()), "{}", reader.ready.len());
        }
        for seq in 2..=EVENTS {
            assert_eq!(told(&mut readers[0]).await, seq);
        }
    }
}
