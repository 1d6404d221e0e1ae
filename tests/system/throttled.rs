//! A target that takes only so much: it gets nearly that, it is asked for little more, nothing fails, and its editors
//! notice nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use instances::data_file;
use rusqlite::{Connection, OpenFlags};

use crate::support::{Act, Bucket, Rig, documents_in, small};

/// What it takes in a second: less than any machine could send.
const RATE: f64 = 6.0;

/// Somebody who saves all the time in the Cockpit of an instance. Nothing of it changes.
struct Editor {
    stop: Arc<AtomicBool>,
    saves: JoinHandle<Saves>,
}

#[derive(Debug, Default)]
struct Saves {
    tried: usize,
    had_to_wait: usize,
    /// Longer than Cockpit does.
    failed: usize,
}

impl Editor {
    fn start(root: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let saves = std::thread::spawn(move || {
            let mut saves = Saves::default();
            while !stopped.load(Ordering::Relaxed) {
                saves.try_one(&root);
                std::thread::sleep(Duration::from_millis(5));
            }
            saves
        });
        Self { stop, saves }
    }

    fn stop(self) -> Saves {
        self.stop.store(true, Ordering::Relaxed);
        self.saves.join().unwrap()
    }
}

impl Saves {
    fn try_one(&mut self, root: &std::path::Path) {
        // Not there before the first document.
        let content = data_file(root, "content.sqlite");
        let Ok(database) = Connection::open_with_flags(content, OpenFlags::SQLITE_OPEN_READ_WRITE) else { return };
        let save = |patience: Duration| {
            database.busy_timeout(patience).unwrap();
            database.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok()
        };
        self.tried += 1;
        if !save(Duration::ZERO) {
            self.had_to_wait += 1;
            self.failed += usize::from(!save(Duration::from_secs(5)));
        }
    }
}

fn gets_nearly_all_it_takes(refusal: Act) {
    let mut rig = Rig::new(&small());
    let documents = documents_in(&rig.source());
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &[]);
    let bucket = Bucket::limit(&proxy, "write", RATE, refusal);
    let editor = Editor::start(rig.target());
    let push = rig.run(&["push", "target", "--batch-size", "5"]).expect_code(0);
    let saves = editor.stop();
    assert_eq!((push.count("created"), push.json()["dead_jobs"].as_u64()), (documents, Some(0)));
    rig.assert_equal();
    println!("{saves:?}");
    assert!(saves.tried > 100 && saves.failed == 0, "{saves:?}");
    assert!(saves.had_to_wait * 4 < saves.tried, "an editor waits for the push: {saves:?}");
    let (granted, refused, share) = (bucket.granted(), bucket.refused(), bucket.share());
    println!("{granted} writes taken, {refused} refused, {share:.2} of what the target would have taken");
    assert!(share >= 0.9, "only {share:.2} of what the target would have taken");
    assert!(refused * 3 < granted, "{refused} refusals for {granted} writes");
    let window = &push.json()["window"];
    assert_eq!(window["most"], 16);
    assert!(window["now"].as_u64().unwrap() < 16, "{window}");
}

#[test]
fn a_target_behind_a_limit_of_requests_gets_nearly_as_many_and_refuses_few() {
    gets_nearly_all_it_takes(Act::Answer("429 Too Many Requests", "Retry-After: 1", "slow down"));
}

#[test]
fn a_target_that_is_unavailable_now_and_then_gets_nearly_all_it_takes() {
    gets_nearly_all_it_takes(Act::Answer("503 Service Unavailable", "", "<title>busy</title>"));
}

#[test]
fn an_agents_own_rate_limit_is_obeyed_by_every_worker_and_nothing_fails() {
    let mut rig = Rig::new(&small());
    let documents = documents_in(&rig.source());
    let own = rig.folder.path().join("agent.toml");
    std::fs::write(&own, "[agent]\nrate_limit = \"30/s\"\n").unwrap();
    rig.start_agent_with("target", &["--config", own.to_str().unwrap()]);
    rig.start_worker();
    rig.start_worker();
    let push = rig.run(&["push", "target", "--batch-size", "5"]).expect_code(0);
    assert_eq!((push.count("created"), push.json()["dead_jobs"].as_u64()), (documents, Some(0)));
    let log = rig.agent("target").stderr();
    assert!(log.contains("rate_limit"), "it was never reached, so nothing was shown");
    rig.assert_equal();
}

#[test]
fn a_target_that_answers_slowly_gets_fewer_jobs_at_a_time_and_the_next_run_begins_with_that() {
    let mut rig = Rig::new(&small());
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &[]);
    let posts = AtomicUsize::new(0);
    proxy.set(move |request| {
        let is_post = request.call == "write" && request.is_about("content/collections/posts");
        let is_slow = is_post && posts.fetch_add(1, Ordering::Relaxed) < 8;
        if is_slow { Act::After(Duration::from_millis(2200)) } else { Act::Pass }
    });
    let push = rig.run(&["push", "target", "--batch-size", "10"]).expect_code(0);
    let now = push.json()["window"]["now"].as_u64().unwrap();
    assert!((1..16).contains(&now), "{now} of 16 at a time");

    let gate = proxy.hold("grant/open", 0);
    let next = rig.spawn_push();
    gate.wait_for(1);
    let status = rig.run(&["status", "target"]).expect_code(0).json()["targets"][0]["window"].clone();
    assert_eq!((status["now"].as_u64(), status["most"].as_u64()), (Some(now), Some(16)));
    gate.open();
    next.wait().expect_code(0);
    rig.assert_equal();
}
