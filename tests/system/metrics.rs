//! What agents and workers show of themselves to those who watch.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;

use nix::sys::signal::Signal;

use crate::support::{Rig, cockpit_sync, small, wait_for, wait_until};

/// Status and body of a GET with these headers.
pub fn get(address: &str, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// A worker with metrics: where.
fn start_worker(rig: &mut Rig, arguments: &[&str]) -> String {
    let config = rig.config();
    start_worker_with(rig, &config, arguments)
}

fn start_worker_with(rig: &mut Rig, config: &std::path::Path, arguments: &[&str]) -> String {
    let worker = rig.start_worker_with(config, &[&["--metrics", "127.0.0.1:0"], arguments].concat());
    wait_for("metrics are served", || {
        let log = rig.worker(worker).stderr();
        let line = log.lines().find(|line| line.contains("metrics are served"))?;
        Some(line.split("address=").nth(1)?.trim().to_owned())
    })
}

/// The value of a sample.
fn value(metrics: &str, sample: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{sample} is not in {metrics}")).parse().unwrap()
}

fn exported(metrics: &str) -> BTreeSet<(String, String)> {
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

/// Name and type of what the document says a process exports.
fn documented(by: &str) -> BTreeSet<(String, String)> {
    let rows = include_str!("../../docs/metrics.md").lines().filter(|line| line.starts_with("| `cockpit_sync_"));
    let cells = rows.map(|row| row.split('|').map(|cell| cell.trim().trim_matches('`')).collect::<Vec<_>>());
    let of_process = cells.filter(|cells| cells[3] == by || cells[3] == "both");
    of_process.map(|cells| (cells[1].to_owned(), cells[2].to_owned())).collect()
}

#[test]
fn what_is_exported_after_a_push_is_what_is_documented_and_counts_every_job_once() {
    let mut rig = Rig::new(&small());
    let worker = start_worker(&mut rig, &[]);
    let before = get(&worker, "/metrics", "").1;
    assert_eq!(value(&before, "cockpit_sync_settles_total{verdict=\"done\"}"), 0.0);
    let push = rig.push().expect_code(0).json();

    let shown = get(&worker, "/metrics", "").1;
    assert_eq!(exported(&shown), documented("worker"));
    let done: u64 = push["stages"].as_array().unwrap().iter().map(|stage| stage["done"].as_u64().unwrap()).sum();
    // The open job and the close job belong to no stage.
    assert_eq!(value(&shown, "cockpit_sync_settles_total{verdict=\"done\"}"), (done + 2) as f64);
    assert_eq!(value(&shown, "cockpit_sync_claims_total{target=\"target\"}"), (done + 2) as f64);
    assert_eq!(value(&shown, "cockpit_sync_lease_changes_total{target=\"target\"}"), 1.0);
    assert_eq!(value(&shown, "cockpit_sync_workers"), 1.0);
    let bytes: f64 = shown
        .lines()
        .filter(|line| line.starts_with("cockpit_sync_job_bytes_sum"))
        .map(|line| line.split_once("} ").unwrap().1.parse::<f64>().unwrap())
        .sum();
    assert_eq!(bytes, push["bytes"].as_f64().unwrap());

    let target = get(&rig.address("target"), "/metrics", "").1;
    assert_eq!(exported(&target), documented("agent"));
    assert_eq!(value(&target, "cockpit_sync_http_requests_total{path=\"grant/open\",status=\"200\"}"), 1.0);
    assert_eq!(value(&target, "cockpit_sync_grants_refused_total{reason=\"held\"}"), 0.0);
}

#[test]
fn while_jobs_are_held_up_the_metrics_tell_how_many_are_where() {
    let mut rig = Rig::new(&small());
    let proxy = rig.proxy("target");
    let config = rig.config_with("through", &[("target", &proxy.address())]);
    let worker = start_worker_with(&mut rig, &config, &["--concurrency", "3"]);
    let gate = proxy.hold_posts(3);
    let push = rig.spawn(&["push", "target", "--batch-size", "50", "--window", "5"]);
    gate.wait_for(3);
    let of_place = |place: &str| format!("cockpit_sync_jobs{{target=\"target\",place=\"{place}\"}}");
    let shown = wait_for("nothing else moves", || {
        let shown = get(&worker, "/metrics", "").1;
        (value(&shown, &of_place("claimed")) == 3.0).then_some(shown)
    });
    let target = rig.run(&["status", "target"]).json()["targets"][0].clone();
    for place in ["backlog", "ready", "claimed", "delayed", "dead"] {
        assert_eq!(value(&shown, &of_place(place)), target["depth"][place].as_f64().unwrap(), "{place}");
    }
    let window = value(&shown, "cockpit_sync_window_jobs{target=\"target\"}");
    assert_eq!(window, target["window"]["now"].as_f64().unwrap());
    assert_eq!(value(&shown, "cockpit_sync_lease_held{target=\"target\"}"), 1.0);
    assert!(value(&shown, "cockpit_sync_oldest_run_age_seconds{target=\"target\"}") > 0.0);
    gate.open();
    push.wait().expect_code(0);
    let shown = get(&worker, "/metrics", "").1;
    for gone in [of_place("backlog"), of_place("claimed"), "cockpit_sync_lease_held{target=\"target\"}".into()] {
        assert_eq!(value(&shown, &gone), 0.0, "{gone}");
    }
}

#[test]
fn a_worker_without_redis_is_alive_but_not_ready() {
    let mut rig = Rig::new(&small());
    let worker = start_worker(&mut rig, &[]);
    let status = |path: &str| get(&worker, path, "").0;
    assert_eq!((status("/healthz"), status("/readyz")), (200, 200));
    rig.redis.kill();
    assert_eq!((status("/healthz"), status("/readyz")), (200, 503));
    assert_eq!(value(&get(&worker, "/metrics", "").1, "cockpit_sync_redis_up"), 0.0);
    rig.redis.restart();
    wait_until("it is ready again", || status("/readyz") == 200);
    assert_eq!(status("/nothing"), 404);
}

#[test]
fn an_agent_without_its_storage_is_alive_but_not_ready() {
    let mut rig = Rig::without_instances();
    rig.add_empty("target");
    let agent = rig.address("target");
    assert_eq!(get(&agent, "/readyz", ""), (200, "ready\n".into()));
    let data = rig.target().join("storage/data");
    std::fs::rename(&data, rig.target().join("storage/away")).unwrap();
    assert_eq!(get(&agent, "/healthz", "").0, 200);
    let (status, why) = get(&agent, "/readyz", "");
    assert!(status == 503 && why.contains("storage/data"), "{status} {why}");
}

#[test]
fn whoever_was_passed_on_by_a_web_server_needs_the_token() {
    let mut rig = Rig::without_instances();
    rig.add_empty("source");
    instances::make_empty(&rig.target()).unwrap();
    let own = rig.folder.path().join("agent.toml");
    std::fs::write(&own, "[agent]\nmetrics_token = \"sesame\"\n").unwrap();
    rig.start_agent_with("target", &["--config", own.to_str().unwrap()]);
    let worker = start_worker(&mut rig, &["--metrics-token", "sesame"]);
    for address in [rig.address("target"), worker] {
        for path in ["/metrics", "/healthz", "/readyz"] {
            let ask = |headers: &str| get(&address, path, headers).0;
            assert_eq!(ask(""), 200, "{path}");
            assert_eq!(ask("X-Forwarded-For: 192.0.2.1\r\n"), 403, "{path}");
            assert_eq!(ask("Forwarded: for=192.0.2.1\r\nAuthorization: Bearer wrong\r\n"), 403, "{path}");
            assert_eq!(ask("X-Forwarded-For: 192.0.2.1\r\nAuthorization: Bearer sesame\r\n"), 200, "{path}");
        }
    }
}

#[test]
fn a_worker_that_starts_before_its_redis_waits_for_it_is_not_ready_and_then_works() {
    let mut rig = Rig::new(&small());
    rig.redis.stop();
    let config = rig.config();
    let mut start = |arguments: &[&str]| {
        let mut command = cockpit_sync();
        command.arg("--config").arg(&config).arg("worker").args(arguments);
        rig.start(&mut command, "early")
    };
    let early = start(&["--metrics", "127.0.0.1:0"]);
    let mut impatient = start(&[]);
    let address = wait_for("metrics are served", || {
        let log = early.stderr();
        let line = log.lines().find(|line| line.contains("metrics are served"))?;
        Some(line.split("address=").nth(1)?.trim().to_owned())
    });
    let (status, says) = get(&address, "/readyz", "");
    assert_eq!(status, 503);
    assert!(says.contains("waits for Redis"), "{says}");
    assert_eq!(get(&address, "/healthz", "").0, 200);
    assert_eq!(value(&get(&address, "/metrics", "").1, "cockpit_sync_redis_up"), 0.0);
    wait_until("both say what they wait for", || {
        [&early, &impatient].iter().all(|worker| worker.stderr().contains("waiting for it"))
    });
    // A person is told at once.
    rig.push().expect_code(5);
    impatient.signal(Signal::SIGTERM);
    wait_until("one that waits can be stopped", || impatient.ended().is_some());
    assert_eq!(impatient.ended(), Some(0));

    rig.redis.restart();
    wait_until("it is ready", || get(&address, "/readyz", "").0 == 200);
    rig.push().expect_code(0);
    rig.assert_equal();
}

#[test]
fn what_drift_found_last_is_a_metric() {
    let mut rig = Rig::new(&small());
    let worker = start_worker(&mut rig, &[]);
    let drift = || value(&get(&worker, "/metrics", "").1, "cockpit_sync_drift_items{target=\"target\"}");
    assert_eq!(drift(), 0.0);
    let found = rig.run(&["drift", "target"]).expect_code(7).json();
    assert_eq!(drift(), found["counts"]["missing"].as_f64().unwrap());
    assert!(drift() > 0.0);
    rig.push().expect_code(0);
    rig.run(&["drift", "target"]).expect_code(0);
    assert_eq!(drift(), 0.0);
}
