//! Events: what happened, in order, replayable. A subscription replays what it missed and then follows, without a gap.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt};
use redis::AsyncCommands;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::scripts::ANNOUNCE;
use crate::{Error, Queue, Result, retry};

/// So many events a subscription holds at a time.
const AT_ONCE: u32 = 256;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Counts up by one with every event of the deployment; starts again when Redis lost its data.
    pub seq: u64,
    /// The producer's word for it.
    pub name: String,
    pub run: String,
    /// The whole event.
    pub body: Map<String, Value>,
    /// The text as published.
    pub json: String,
}

/// Events after a given one.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    pub events: Vec<Event>,
    /// Some events in between are gone from the log.
    pub trimmed: bool,
}

impl Event {
    fn parse(json: String) -> Result<Self> {
        let body: Map<String, Value> =
            serde_json::from_str(&json).map_err(|error| Error::Answer(format!("event: {error}")))?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
        Ok(Self {
            seq: body.get("seq").and_then(Value::as_u64).unwrap_or_default(),
            name: text("event"),
            run: text("run"),
            body,
            json,
        })
    }
}

#[derive(Serialize)]
struct Announced<'a> {
    event: &'a str,
    about: &'a str,
}

/// One entry of the log: its id, then its fields (a name and the text).
type LogEntry = (String, Vec<String>);

impl Queue {
    /// Publishes an event that is about no run.
    pub async fn announce(&self, name: &str, about: &Map<String, Value>) -> Result<()> {
        let object = serde_json::to_string(about).expect("a JSON object always encodes");
        self.call(&ANNOUNCE, &Announced { event: name, about: &object[1..object.len() - 1] }).await
    }

    /// The number of the last event; 0 before the first.
    pub async fn last_seq(&self) -> Result<u64> {
        let seq: Option<u64> = self.connection().await?.get(self.keys.seq()).await?;
        Ok(seq.unwrap_or_default())
    }

    /// All events after number `seq` that are still in the log. When the numbers have started anew since, all there are.
    pub async fn events_since(&self, seq: u64) -> Result<Replay> {
        self.next_events(seq, u32::MAX).await
    }

    /// The same for those who would not hold them all at once: the first of them, at most so many.
    pub async fn next_events(&self, seq: u64, most: u32) -> Result<Replay> {
        let mut connection = self.connection().await?;
        // One transaction, so that the counter belongs to the log.
        let (last, entries): (Option<u64>, Vec<LogEntry>) = redis::pipe()
            .atomic()
            .get(self.keys.seq())
            .cmd("XRANGE")
            .arg(self.keys.event_log())
            .arg(format!("({seq}"))
            .arg("+")
            .arg("COUNT")
            .arg(most)
            .query_async(&mut *connection)
            .await?;
        let last = last.unwrap_or_default();
        if last < seq {
            drop(connection);
            let anew = Box::pin(self.next_events(0, most)).await?;
            return Ok(Replay { events: anew.events, trimmed: true });
        }
        let events: Vec<Event> = entries
            .into_iter()
            .filter_map(|(_, fields)| fields.into_iter().nth(1))
            .map(Event::parse)
            .collect::<Result<_>>()?;
        let first = events.first().map_or(last + 1, |event| event.seq);
        Ok(Replay { events, trimmed: first != seq + 1 })
    }

    /// Every event after number `since`: first those of the log, then as they happen. Reconnects by itself.
    pub fn subscribe(&self, since: u64) -> Subscription {
        let (sender, receiver) = mpsc::channel(AT_ONCE as usize);
        let follower = Follower { queue: self.clone(), last: since, sender };
        Subscription { receiver, task: tokio::spawn(follower.run()) }
    }
}

/// A stream of events; ends only when dropped.
pub struct Subscription {
    receiver: mpsc::Receiver<Event>,
    task: JoinHandle<()>,
}

impl Subscription {
    pub async fn next(&mut self) -> Option<Event> {
        self.receiver.recv().await
    }
}

impl Stream for Subscription {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.receiver.poll_recv(context)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Follower {
    queue: Queue,
    last: u64,
    sender: mpsc::Sender<Event>,
}

/// Why a subscription ended.
enum Ended {
    NobodyListens,
    /// Redis lost its data. What this subscription still holds is from before, under numbers that are given again.
    NumbersBeginAnew,
}

impl Follower {
    async fn run(mut self) {
        let mut backoff = retry::reconnect();
        loop {
            let before = self.last;
            match self.follow().await {
                Ok(Ended::NobodyListens) => return,
                Ok(Ended::NumbersBeginAnew) => {
                    tracing::warn!("redis lost its data; the numbers of events begin anew");
                    continue;
                }
                Err(error) => tracing::warn!(%error, "the subscription to events broke; it is set up again"),
            }
            if self.last != before {
                backoff = retry::reconnect();
            }
            tokio::time::sleep(retry::next(&mut backoff)).await;
        }
    }

    /// Subscribes first and replays then, so that nothing falls between the two; what comes twice is known by its number.
    async fn follow(&mut self) -> Result<Ended> {
        let mut pubsub = self.queue.listening_connection().await?;
        pubsub.subscribe(self.queue.keys.events()).await?;
        if let Some(ended) = self.catch_up().await? {
            return Ok(ended);
        }
        let mut messages = pubsub.into_on_message();
        loop {
            let message = match tokio::time::timeout(self.queue.settings.response_timeout, messages.next()).await {
                Ok(Some(message)) => message,
                Ok(None) => return Err(Error::Unreachable("the connection for events was closed".into())),
                // Nothing happened, or it is a server that another one took over from.
                Err(_silence) => {
                    let before = self.last;
                    if let Some(ended) = self.catch_up().await? {
                        return Ok(ended);
                    }
                    if self.last != before {
                        return Err(Error::Unreachable("events do not come in any more".into()));
                    }
                    continue;
                }
            };
            let event = Event::parse(message.get_payload()?)?;
            if event.seq == self.last + 1 {
                self.last = event.seq;
                if self.sender.send(event).await.is_err() {
                    return Ok(Ended::NobodyListens);
                }
            } else if let Some(ended) = self.catch_up().await? {
                return Ok(ended);
            }
        }
    }

    /// Sends on what the log has after the last event. Something when the subscription ends by that.
    async fn catch_up(&mut self) -> Result<Option<Ended>> {
        loop {
            let events = self.queue.next_events(self.last, AT_ONCE).await?.events;
            let is_all = events.len() < AT_ONCE as usize;
            let begins_anew = events.first().is_some_and(|event| event.seq <= self.last);
            for event in events {
                self.last = event.seq;
                if self.sender.send(event).await.is_err() {
                    return Ok(Some(Ended::NobodyListens));
                }
            }
            if begins_anew {
                return Ok(Some(Ended::NumbersBeginAnew));
            }
            if is_all {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVENT: &str = r#"{"event":"sync.item.pushed","seq":17,"run":"r1","counts":{"items":2},"items":["a"]}"#;

    proptest! {
        #[test]
        fn any_line_is_an_event_or_refused(
            line in damage::damaged(Just(EVENT.to_owned()), 3), other in ".{0,60}",
        ) {
            for line in [line, other] {
                let is_object = serde_json::from_str::<Value>(&line).is_ok_and(|value| value.is_object());
                let read = Event::parse(line.clone());
                prop_assert_eq!(read.is_ok(), is_object);
                prop_assert!(read.map_or(true, |event| event.json == line));
            }
        }
    }
}
