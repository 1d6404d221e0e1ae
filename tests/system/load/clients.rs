//! Those who ask the agent, and what they see: how long an answer took that was given, and how long it took to get it, coming
//! back as late and as often as the agent said (429) included.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use protocol::api::{Body, Call, DocumentsRequest, ListRequest, WriteDocument, WriteOutcome, WriteRequest};
use protocol::client::{AgentClient, CallError};
use protocol::collection::Collection;
use protocol::selection::Selection;
use rusqlite::Connection;

use super::percentile;

pub const CLIENTS: usize = 200;
/// One client of so many writes.
const WRITES: usize = 4;
/// Rows of a page, and documents that are then asked for.
const PAGE: u64 = 500;
const DOCUMENTS: usize = 20;

pub struct Client {
    pub agent: AgentClient,
    pub number: usize,
    pub posts: usize,
    pub token: String,
    pub over: Arc<AtomicBool>,
}

#[derive(Default)]
pub struct Seen {
    reads: Times,
    writes: Times,
    /// What the agent said was created.
    pub written: BTreeSet<String>,
}

/// Of requests of a kind, all of which were answered. Milliseconds.
#[derive(Default)]
struct Times {
    served: Vec<f64>,
    with_retries: Vec<f64>,
    sent_away: usize,
}

impl Client {
    /// One request after the other. What is not answered, or wrongly, fails the test.
    pub async fn ask_all_the_time(self) -> Seen {
        let mut seen = Seen::default();
        for count in 0_usize.. {
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            if self.number.is_multiple_of(WRITES) {
                self.write(count, &mut seen).await;
            } else {
                self.read(count, &mut seen).await;
            }
        }
        seen
    }

    async fn write(&self, count: usize, seen: &mut Seen) {
        let identity = format!("load-{}-{count}", self.number);
        let text = format!("{{\"_id\":\"{identity}\",\"title\":\"{}\",\"_modified\":1}}", "x".repeat(1000));
        let body = Body::Inline(text.into_bytes());
        let documents = vec![WriteDocument { identity: identity.clone(), expect: None, body }];
        let (token, collection) = (self.token.clone(), Collection::Items("posts".into()));
        let write = WriteRequest { token, collection, modified: None, override_locks: false, documents };
        let written = self.answered(&mut seen.writes, &write).await;
        assert_eq!(written.outcomes, [WriteOutcome::Created], "{identity}");
        seen.written.insert(identity);
    }

    async fn read(&self, count: usize, seen: &mut Seen) {
        let collection = Collection::Items("posts".into());
        let from_row = ((self.number * 7919 + count * 104_729) % self.posts) as u64 + 1;
        let list = ListRequest {
            collection: collection.clone(),
            selection: Selection::default(),
            from_row,
            to_row: Some(from_row + PAGE - 1),
            documents: false,
        };
        let listing = self.answered(&mut seen.reads, &list).await;
        let identities: Vec<String> = listing.entries.into_iter().take(DOCUMENTS).map(|entry| entry.identity).collect();
        assert!(!identities.is_empty(), "nothing from row {from_row} on");
        let wanted = DocumentsRequest { collection, identities: identities.clone(), run: None };
        let answer = self.answered(&mut seen.reads, &wanted).await;
        let got: Vec<String> = answer.documents.into_iter().map(|entry| entry.identity).collect();
        assert_eq!(got, identities);
    }

    /// Comes back as late as it is told to.
    async fn answered<C: Call>(&self, times: &mut Times, request: &C) -> C::Answer {
        let begun = Instant::now();
        loop {
            let sent = Instant::now();
            match self.agent.call(request).await {
                Err(CallError::Busy { retry_after, .. }) => {
                    times.sent_away += 1;
                    tokio::time::sleep(retry_after.unwrap_or(Duration::from_secs(1))).await;
                }
                Err(error) => panic!("client {} was not answered: {error}", self.number),
                Ok(answer) => {
                    times.served.push(sent.elapsed().as_secs_f64() * 1000.0);
                    times.with_retries.push(begun.elapsed().as_secs_f64() * 1000.0);
                    return answer;
                }
            }
        }
    }
}

impl Seen {
    pub fn add(&mut self, other: Self) {
        self.reads.add(other.reads);
        self.writes.add(other.writes);
        self.written.extend(other.written);
    }
}

impl Times {
    fn add(&mut self, other: Self) {
        self.served.extend(other.served);
        self.with_retries.extend(other.with_retries);
        self.sent_away += other.sent_away;
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "nothing lost\nreads: {}\nwrites: {}", self.reads, self.writes)
    }
}

impl fmt::Display for Times {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |times: &[f64]| format!("p50 {:.0} ms, p99 {:.0} ms", percentile(times, 0.5), percentile(times, 0.99));
        let (count, served, whole) = (self.served.len(), of(&self.served), of(&self.with_retries));
        write!(formatter, "{count} answered, {served}; with {} times told to come back {whole}", self.sent_away)
    }
}

/// As many as were answered, and these.
pub fn assert_all_there(database: &Connection, written: &BTreeSet<String>) {
    let sql = "SELECT json_extract(document, '$._id') FROM \"collections_posts\"
               WHERE json_extract(document, '$._id') LIKE 'load-%'";
    let mut statement = database.prepare(sql).unwrap();
    let there = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect::<Vec<String>>();
    assert_eq!(there.len(), written.len(), "documents that are there, and writes that were answered");
    assert_eq!(there.into_iter().collect::<BTreeSet<_>>(), *written);
    assert!(!written.is_empty());
}
