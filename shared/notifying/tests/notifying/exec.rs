//! Programs.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{bring, entry, finished};

fn program(run: &[&str], time_limit_ms: u64) -> notifying::Entry {
    entry(&format!("name = 'x'\nevent = '*'\n[exec]\nrun = {run:?}\ntime_limit_ms = {time_limit_ms}\n"))
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

#[tokio::test]
async fn a_program_gets_the_event_on_stdin_and_its_arguments_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("event; touch no-shell");
    bring(&program(&["tee", file.to_str().unwrap()], 20_000), &finished()).await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&read(&file)).unwrap(), finished());
}

#[tokio::test]
async fn one_that_does_not_read_its_input_is_no_failure() {
    let mut event = finished();
    event["error"] = "x".repeat(1 << 20).into();
    bring(&program(&["true"], 20_000), &event).await.unwrap();
}

#[tokio::test]
async fn one_that_fails_is_told_with_its_last_words() {
    let failed =
        bring(&program(&["sh", "-c", "echo first >&2; echo the cache is gone >&2; exit 3"], 20_000), &finished()).await;
    let why = failed.unwrap_err().why;
    assert!(why.contains("exit status: 3") && why.ends_with("the cache is gone"), "{why}");
    let missing = bring(&program(&["/no/such/program"], 20_000), &finished()).await.unwrap_err();
    assert!(missing.why.contains("/no/such/program cannot be started") && !missing.lasting, "{missing:?}");
}

#[tokio::test]
async fn one_that_takes_too_long_is_ended_with_all_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("children");
    let script =
        format!("sleep 600 & echo $! >> {0}; sh -c 'echo $$ >> {0}; exec sleep 600' & sleep 600", file.display());
    let failed = bring(&program(&["sh", "-c", &script], 1000), &finished()).await.unwrap_err();
    assert!(failed.why.contains("longer than 1000 ms"), "{failed:?}");
    let children: Vec<String> = read(&file).lines().map(str::to_owned).collect();
    assert_eq!(children.len(), 2);
    let begun = Instant::now();
    while children.iter().any(|child| lives(child)) {
        assert!(begun.elapsed() < Duration::from_secs(20), "a child still runs");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One that nobody has waited for yet has ended all the same.
fn lives(process: &str) -> bool {
    let stat = read(&Path::new("/proc").join(process).join("stat"));
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

#[tokio::test]
async fn a_child_that_is_left_running_does_not_hold_anybody_up() {
    let begun = Instant::now();
    bring(&program(&["sh", "-c", "sleep 30 & echo $! >&2"], 60_000), &finished()).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(25), "it was waited for");
}
