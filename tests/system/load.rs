//! An agent under load: 200 clients at once, each with a signed request under way all the time, every fourth of them
//! writing, beside a CMS that saves into the same SQLite file as Cockpit does. `make load` goes on for a minute with optimised
//! programs, prints times and fails when memory grows or somebody who saves waits; `make test` has some seconds of it, in
//! which nothing may be lost.

mod clients;
mod cms;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use config::{Config, Environment, Place};
use instances::Shape;
use protocol::api::{OpenGrant, RenewGrant};
use protocol::client::{AgentClient, HttpSettings, http_client};
use protocol::sign::SyncKey;
use rusqlite::Connection;
use tokio::task::JoinSet;

use crate::support::{Rig, memory, small};
use clients::{CLIENTS, Client, Seen};

/// Rows that are read and saved, when somebody wants to know times.
const POSTS: usize = 20_000;
/// Of a look at whether it works at all.
const FEW_SECONDS: u64 = 3;
/// The longest that somebody who saves may wait, in milliseconds.
const MAX_WAIT: f64 = 1000.0;
/// What the agent's own memory may rise by between two halves, in MiB.
const MAX_RISE: f64 = 8.0;

#[test]
fn under_two_hundred_clients_and_a_cms_that_saves_nothing_is_lost() {
    let seconds: Option<u64> = std::env::var("LOAD_SECONDS").ok().and_then(|text| text.trim().parse().ok());
    let shape = seconds.map_or_else(small, |_| Shape { posts: POSTS, ..Shape::default() });
    let mut rig = Rig::new(&shape);
    let pid = rig.agent("source").pid();
    let database = instances::data_file(&rig.source(), "content.sqlite");
    let over = Arc::new(AtomicBool::new(false));
    let cms = std::thread::spawn({
        let (database, over) = (Connection::open(&database).unwrap(), over.clone());
        move || cms::save_all_the_time(&database, shape.posts, &over)
    });
    let length = Duration::from_secs(seconds.unwrap_or(FEW_SECONDS));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (seen, memory) = runtime.block_on(ask(client(&rig), shape.posts, length, pid, over));
    let saves = cms.join().unwrap();

    let connection = Connection::open(database).unwrap();
    clients::assert_all_there(&connection, &seen.written);
    saves.assert_all_there(&connection);
    println!("{CLIENTS} clients, {} s: {seen}", length.as_secs());
    println!("{saves}");
    let (first, second) = memory.split_at(memory.len() / 2);
    let (first, second) = (middle(first), middle(second));
    println!("memory of the agent: {first:.1} MiB in the first half, {second:.1} MiB in the second");
    if seconds.is_some() {
        assert!(saves.longest() <= MAX_WAIT, "somebody who saved waited for more than a second");
        assert!(second <= first + MAX_RISE, "the agent's memory grows");
    }
}

/// What all clients saw, and what the agent's memory was meanwhile, once it was warm.
async fn ask(agent: AgentClient, posts: usize, length: Duration, pid: u32, over: Arc<AtomicBool>) -> (Seen, Vec<f64>) {
    let instance = agent.manifest().await.unwrap().instance;
    let agent = agent.for_instance(instance);
    let opening = OpenGrant {
        grant_id: "load".into(),
        authority: "a test".into(),
        run: "load".into(),
        holder: "a test".into(),
        ttl_ms: 60_000,
        about: None,
    };
    let token = agent.call(&opening).await.unwrap().token;
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let client = Client { agent: agent.clone(), number, posts, token: token.clone(), over: over.clone() };
        clients.spawn(client.ask_all_the_time());
    }
    let mut samples = Vec::new();
    while begun.elapsed() < length {
        agent.call(&RenewGrant { token: token.clone() }).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        if begun.elapsed() > length / 5 {
            samples.push(memory(pid));
        }
    }
    over.store(true, Ordering::Relaxed);
    let mut seen = Seen::default();
    while let Some(of_one) = clients.join_next().await {
        seen.add(of_one.unwrap());
    }
    (seen, samples)
}

fn client(rig: &Rig) -> AgentClient {
    let config = Config::load(&rig.config(), &Environment::of_process()).unwrap();
    let Place::Url { url, sync_key, .. } = &config.instances["source"].at else { unreachable!("it has a url") };
    let settings = HttpSettings { proxy: None, idle_connections: CLIENTS, ..HttpSettings::default() };
    let key = SyncKey::new(sync_key.expose()).unwrap();
    AgentClient::new(http_client(&settings).unwrap(), "source", url, key, None)
}

fn middle(samples: &[f64]) -> f64 {
    percentile(samples, 0.5)
}

fn percentile(samples: &[f64], part: f64) -> f64 {
    let mut samples = samples.to_vec();
    samples.sort_by(f64::total_cmp);
    let last = samples.len().saturating_sub(1);
    samples.get((last as f64 * part) as usize).copied().unwrap_or_default()
}
