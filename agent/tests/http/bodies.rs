//! Bodies of every kind of request, damaged in every way: each is answered, and what is refused has changed nothing.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cockpit_sync_agent::Agent;
use instances::{Made, Shape, Stored};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use protocol::BASE_PATH;
use protocol::api::{Call, CloseGrant, CloseWhich, GrantOpened, ManifestRequest, OpenGrant};
use protocol::sign::{ANSWER_HEADER, Claims, answer_is_genuine, sign_request};
use rusqlite::Connection;

use crate::fixture::*;

mod damage;
mod samples;

use damage::{Damage, Sent, any_damage};

/// What a process may take that is sent all this, and that makes and judges it besides.
const MEMORY_BYTES: u64 = 1 << 30;

#[test]
fn whatever_a_caller_with_a_key_sends_is_answered_and_nothing_is_half_written() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let target = runtime.block_on(Target::start());
    let config = Config { failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    let judged = TestRunner::new(config).run(&any_damage(), |damage| runtime.block_on(target.judge(&damage)));
    judged.unwrap_or_else(|error| panic!("{error}"));
    assert!(peak_of_memory() < MEMORY_BYTES, "{} bytes", peak_of_memory());
    // And it is well: it can be asked, and started again.
    runtime.block_on(async {
        let client = target.agent.client();
        client.call(&ManifestRequest {}).await.unwrap();
        let Target { agent: TestAgent { running, root }, .. } = target;
        running.shutdown().await.unwrap();
        Agent::start(settings(&root)).await.unwrap().shutdown().await.unwrap();
    });
}

/// So that a new request is added there, too.
#[test]
fn there_is_a_sample_of_every_request_that_an_agent_knows() {
    let routes = include_str!("../../src/routes.rs");
    let count = routes.matches("Route::of::<").count();
    let made = instances::make(tempfile::tempdir().unwrap().path(), &Shape::small()).unwrap();
    let paths: BTreeSet<&str> = samples::all("instance", "token", &made).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths.len(), count, "{paths:?}");
}

/// A running agent, and what it is known to hold.
struct Target {
    agent: TestAgent,
    http: reqwest::Client,
    made: Made,
    token: RefCell<String>,
    grants: RefCell<u32>,
    watch: RefCell<Watch>,
    stored: RefCell<Stored>,
}

impl Target {
    async fn start() -> Self {
        let root = tempfile::tempdir().unwrap();
        let made = instances::make(root.path(), &Shape::small()).unwrap();
        instances::with_sync_key(root.path(), KEY).unwrap();
        let running = Agent::start(settings(&root)).await.unwrap();
        let watch = Watch::of(root.path());
        let stored = Stored::of(root.path()).unwrap();
        let target = Self {
            agent: TestAgent { running, root },
            http: http(),
            made,
            token: RefCell::default(),
            grants: RefCell::default(),
            watch: RefCell::new(watch),
            stored: RefCell::new(stored),
        };
        target.open_grant().await;
        target
    }

    async fn judge(&self, damage: &Damage) -> Result<(), TestCaseError> {
        let samples = samples::all(self.agent.running.instance(), &self.token.borrow(), &self.made);
        let (path, sound) = &samples[damage.request.index(samples.len())];
        let body = damage.of(sound);
        let answer = self.send(path, &body, &damage.sent).await;
        let (status, said) = (answer.status, String::from_utf8_lossy(&answer.body).into_owned());
        prop_assert!(answer.is_signed, "{path}: an unsigned {status}: {said}");
        // 500: a panic, or a storage that was asked for what it cannot do.
        prop_assert!(status == 200 || (400..500).contains(&status), "{path}: {status}: {said}");
        if self.watch.borrow_mut().has_moved() {
            let now = Stored::of(self.agent.root.path()).unwrap();
            let differences = now.differences(&self.stored.borrow());
            prop_assert!(status == 200 || differences.is_empty(), "{path}: {status}, and yet {differences:?}");
            *self.stored.borrow_mut() = now;
        }
        if status == 409 || status == 423 || path.starts_with("grant/") {
            self.open_grant().await;
        }
        Ok(())
    }

    /// Ends whatever grant there is, and opens a new one.
    async fn open_grant(&self) {
        *self.grants.borrow_mut() += 1;
        let number = *self.grants.borrow();
        let sound = |body: Vec<u8>, path: &'static str| async move {
            let answer = self.send(path, &body, &Sent::AsItIs).await;
            assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
            answer.body
        };
        let close = CloseGrant { which: CloseWhich::Any, reason: "the next one".into() };
        sound(rmp_serde::to_vec_named(&close).unwrap(), CloseGrant::PATH).await;
        let open = OpenGrant {
            grant_id: format!("of case {number}"),
            authority: "redis-1".into(),
            run: format!("of case {number}"),
            holder: "a test".into(),
            ttl_ms: 600_000,
            about: None,
        };
        let answer = sound(rmp_serde::to_vec_named(&open).unwrap(), OpenGrant::PATH).await;
        *self.token.borrow_mut() = rmp_serde::from_slice::<GrantOpened>(&answer).unwrap().token;
    }

    async fn send(&self, path: &str, body: &[u8], sent: &Sent) -> RawAnswer {
        let claims = Claims::new(now(), self.agent.running.instance(), &format!("{BASE_PATH}{path}"), body);
        let request = self.http.post(self.agent.endpoint(path)).bearer_auth(sign_request(&key(), &claims));
        let request = match sent {
            Sent::SaidToBe(encoding) => request.header("content-encoding", *encoding),
            Sent::AsItIs | Sent::Longer(_) => request,
        };
        let answer = request.body(body.to_vec()).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.bytes().await.unwrap().to_vec();
        let is_signed = headers.get(ANSWER_HEADER).is_some_and(|signature| {
            answer_is_genuine(&key(), &claims.jti, status, &body, signature.to_str().unwrap())
        });
        RawAnswer { status, headers, body, is_signed }
    }
}

/// Whether anything was written, told fast. It may say so when nothing was: SQLite tidies up now and then.
struct Watch {
    root: PathBuf,
    databases: BTreeMap<PathBuf, (Connection, i64)>,
    files: BTreeMap<PathBuf, (u64, SystemTime)>,
}

impl Watch {
    fn of(root: &Path) -> Self {
        let mut watch = Self { root: root.into(), databases: BTreeMap::new(), files: BTreeMap::new() };
        watch.has_moved();
        watch
    }

    fn has_moved(&mut self) -> bool {
        let mut has_moved = false;
        for entry in std::fs::read_dir(self.root.join("storage/data")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "sqlite") && !self.databases.contains_key(&path) {
                let connection = Connection::open(&path).unwrap();
                self.databases.insert(path, (connection, -1));
            }
        }
        for (connection, seen) in self.databases.values_mut() {
            let version = connection.pragma_query_value(None, "data_version", |row| row.get(0)).unwrap();
            has_moved |= std::mem::replace(seen, version) != version;
        }
        let mut files = BTreeMap::new();
        for folder in ["uploads", "content"] {
            add_files(&self.root.join("storage").join(folder), &mut files);
        }
        has_moved |= files != self.files;
        self.files = files;
        has_moved
    }
}

fn add_files(folder: &Path, files: &mut BTreeMap<PathBuf, (u64, SystemTime)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            add_files(&entry.path(), files);
        } else {
            files.insert(entry.path(), (metadata.len(), metadata.modified().unwrap()));
        }
    }
}

/// The most memory this process ever had.
fn peak_of_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}
