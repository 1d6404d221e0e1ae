//! An agent under load: 200 clients at once, each with a signed request under way all the time, every fourth of them
//! writing, beside a CMS that saves into the same SQLite file as Cockpit does. Nothing may be lost, the agent's memory
//! stays as it is, and whoever saves in the CMS hardly waits.

mod figures;
mod resident;
#[expect(dead_code, reason = "nothing is pushed, nobody works")]
mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use config::{Config, Environment, Place};
use figures::{Figure, publish};
use protocol::api::{
    Body, Call, DocumentsRequest, ListRequest, OpenGrant, RenewGrant, WriteDocument, WriteOutcome, WriteRequest,
};
use protocol::client::{AgentClient, CallError, HttpSettings, http_client};
use protocol::collection::Collection;
use protocol::selection::Selection;
use protocol::sign::SyncKey;
use resident::megabytes;
use rig::{Rig, SOURCE};
use rusqlite::Connection;
use tokio::task::JoinSet;

const CLIENTS: usize = 200;
/// One client of so many writes.
const WRITES: usize = 4;
const POSTS: usize = 20_000;
/// Unless an argument says otherwise.
const SECONDS: u64 = 60;
/// How often the CMS saves, and how long Cockpit lets SQLite wait for a lock.
const SAVE_EVERY: Duration = Duration::from_millis(20);
const CMS_BUSY: Duration = Duration::from_secs(5);
/// The longest that somebody who saves may wait.
const WAIT_MS: f64 = 1000.0;
/// What memory may grow by between the middle and the end.
const GROWTH_MB: f64 = 16.0;

#[tokio::main]
async fn main() -> Result<()> {
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(SECONDS);
    let rig = Rig::start(POSTS, &[], 0)?;
    let agent = client(&rig).await?;
    let opening = OpenGrant {
        grant_id: "load".into(),
        authority: "a bench".into(),
        run: "load".into(),
        holder: "a bench".into(),
        ttl_ms: 60_000,
        about: None,
    };
    let token = agent.call(&opening).await?.token;
    let over = Arc::new(AtomicBool::new(false));
    let database = rig.root(SOURCE).join("storage/data/content.sqlite");
    let cms = std::thread::spawn({
        let (database, over) = (database.clone(), over.clone());
        move || save_all_the_time(&Connection::open(database)?, &over)
    });
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let client = Client { agent: agent.clone(), number, token: token.clone(), over: over.clone() };
        clients.spawn(client.ask_all_the_time());
    }
    let mut resident = Vec::new();
    // Once everything is warm, in the middle, at the end.
    for part in [0.2, 0.6, 1.0] {
        let until = begun + Duration::from_secs(seconds).mul_f64(part);
        while Instant::now() < until {
            agent.call(&RenewGrant { token: token.clone() }).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        resident.push(megabytes(&rig.agents[SOURCE], "VmRSS:")?);
    }
    over.store(true, Ordering::Relaxed);
    let mut seen = Seen::default();
    while let Some(of_one) = clients.join_next().await {
        seen.add(of_one??);
    }
    let took = begun.elapsed().as_secs_f64();
    let saves = cms.join().map_err(|_| anyhow!("the CMS panicked"))??;

    let written: i64 = Connection::open(database)?.query_row(
        "SELECT count(*) FROM \"collections_posts\" WHERE document LIKE '%\"load-%'",
        [],
        |row| row.get(0),
    )?;
    ensure!(
        usize::try_from(written)? == seen.writes.len(),
        "{} writes were answered, {written} documents are there",
        seen.writes.len()
    );
    println!(
        "{CLIENTS} clients, {seconds} s: {} reads and {} writes, all answered ({} came back after a 429); the CMS saved {} times",
        seen.reads.len(),
        seen.writes.len(),
        seen.busy,
        saves.len()
    );
    let [warm, middle, end] = resident[..] else { unreachable!("it was looked at three times") };
    publish(
        "load",
        "what it may be",
        &[
            Figure::new("requests", (seen.reads.len() + seen.writes.len()) as f64 / took, "/s", None, None),
            Figure::new("read, p50", percentile(&mut seen.reads, 0.5), "ms", None, None),
            Figure::new("read, p99", percentile(&mut seen.reads, 0.99), "ms", None, None),
            Figure::new("write, p50", percentile(&mut seen.writes, 0.5), "ms", None, None),
            Figure::new("write, p99", percentile(&mut seen.writes, 0.99), "ms", None, None),
            Figure::new("a save in the CMS, p99", percentile(&mut saves.clone(), 0.99), "ms", None, None),
            Figure::new(
                "a save in the CMS, longest",
                percentile(&mut saves.clone(), 1.0),
                "ms",
                WAIT_MS,
                Some(0.0..=1.0),
            ),
            Figure::new("agent, resident when warm", warm, "MB", None, None),
            Figure::new("agent, resident in the middle", middle, "MB", None, None),
            Figure::new("agent, resident at the end", end, "MB", middle + GROWTH_MB, Some(0.0..=1.0)),
        ],
    )?;
    ensure!(percentile(&mut saves.clone(), 1.0) < WAIT_MS, "somebody who saved waited for more than a second");
    ensure!(end <= middle + GROWTH_MB, "the agent grew");
    Ok(())
}

/// What a client, or all of them, saw: milliseconds until the answer, waiting when told to come back included.
#[derive(Default)]
struct Seen {
    reads: Vec<f64>,
    writes: Vec<f64>,
    busy: usize,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.reads.extend(other.reads);
        self.writes.extend(other.writes);
        self.busy += other.busy;
    }
}

struct Client {
    agent: AgentClient,
    number: usize,
    token: String,
    over: Arc<AtomicBool>,
}

impl Client {
    /// One request after the other. What is not answered is an error, and the end of the bench.
    async fn ask_all_the_time(self) -> Result<Seen> {
        let mut seen = Seen::default();
        let posts = || Collection::Items("posts".into());
        for count in 0_usize.. {
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            let begun = Instant::now();
            if self.number.is_multiple_of(WRITES) {
                let identity = format!("load-{}-{count}", self.number);
                let text = format!("{{\"_id\":\"{identity}\",\"title\":\"{}\",\"_modified\":1}}", "x".repeat(1000));
                let documents = vec![WriteDocument { identity, expect: None, body: Body::Inline(text.into_bytes()) }];
                let (token, modified) = (self.token.clone(), None);
                let write = WriteRequest { token, collection: posts(), modified, override_locks: false, documents };
                let written = self.answered(&mut seen.busy, &write).await?;
                ensure!(written.outcomes == [WriteOutcome::Created], "{:?}", written.outcomes);
                seen.writes.push(begun.elapsed().as_secs_f64() * 1000.0);
                continue;
            }
            let from_row = ((self.number * 7919 + count * 104_729) % POSTS) as u64;
            let (selection, to_row) = (Selection::default(), Some(from_row + 499));
            let list = ListRequest { collection: posts(), selection, from_row, to_row, documents: false };
            let listing = self.answered(&mut seen.busy, &list).await?;
            let identities = listing.entries.into_iter().take(20).map(|entry| entry.identity).collect();
            seen.reads.push(begun.elapsed().as_secs_f64() * 1000.0);
            let begun = Instant::now();
            let documents = DocumentsRequest { collection: posts(), identities, run: None };
            self.answered(&mut seen.busy, &documents).await?;
            seen.reads.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(seen)
    }

    /// Comes back as long, and as late, as it is told to.
    async fn answered<C: Call>(&self, busy: &mut usize, request: &C) -> Result<C::Answer> {
        loop {
            match self.agent.call(request).await {
                Err(CallError::Busy { retry_after, .. }) => {
                    *busy += 1;
                    tokio::time::sleep(retry_after.unwrap_or(Duration::from_secs(1))).await;
                }
                answer => return answer.with_context(|| format!("client {} was not answered", self.number)),
            }
        }
    }
}

/// As Cockpit saves: one statement, which waits for SQLite's lock. How long each took, in milliseconds.
fn save_all_the_time(database: &Connection, over: &AtomicBool) -> Result<Vec<f64>> {
    database.busy_timeout(CMS_BUSY)?;
    let mut took = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let (saves, row) = (i64::try_from(took.len())?, i64::try_from(took.len() % POSTS + 1)?);
        let begun = Instant::now();
        database
            .execute(
                "UPDATE \"collections_posts\" SET document = json_set(document, '$.saved', ?1) WHERE id = ?2",
                (saves, row),
            )
            .context("somebody who saved in the CMS got an error")?;
        took.push(begun.elapsed().as_secs_f64() * 1000.0);
        std::thread::sleep(SAVE_EVERY);
    }
    Ok(took)
}

fn percentile(milliseconds: &mut [f64], part: f64) -> f64 {
    milliseconds.sort_by(f64::total_cmp);
    let last = milliseconds.len().saturating_sub(1);
    milliseconds.get((last as f64 * part) as usize).copied().unwrap_or_default()
}

/// As the rig's config names it.
async fn client(rig: &Rig) -> Result<AgentClient> {
    let config = Config::load(&rig.config(), &Environment::of_process())?;
    let Place::Url { url, sync_key, .. } = &config.instances[SOURCE].at else { unreachable!("it has a url") };
    let http = http_client(&HttpSettings { proxy: None, idle_connections: CLIENTS, ..HttpSettings::default() })?;
    let anybody = AgentClient::new(http, SOURCE, url, SyncKey::new(sync_key.expose())?, None);
    let instance = anybody.manifest().await?.instance;
    Ok(anybody.for_instance(instance))
}
