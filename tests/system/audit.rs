//! The audit log of an instance, as commands show and check it.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Rig, documents_in, small, wait_until};

/// A worker keeps the grants of its runs alive for a while after their last jobs, but not of one that is over.
#[test]
fn nothing_is_refused_after_a_run_that_went_well() {
    let mut rig = Rig::new(&small());
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &[]);
    let first = rig.push().expect_code(0).json()["run"].as_str().unwrap().to_owned();
    instances::change(&rig.source(), 10.0, 1).unwrap();
    let gate = proxy.hold_posts(0);
    let second = rig.spawn_push();
    gate.wait_for(1);
    // In each round the grant of the first run had its turn, too.
    let renewed = proxy.count("grant/renew");
    wait_until("the grant was renewed twice", || proxy.count("grant/renew") >= renewed + 2);
    let entries = rig.run(&["audit", "target"]).expect_code(0).json();
    assert!(!actions(&entries).contains(&"refused"), "after {first}: {entries:#}");
    gate.open();
    second.wait().expect_code(0);
}

fn log_of(rig: &Rig, name: &str) -> PathBuf {
    rig.root(name).join("storage/cockpit-sync/audit/000000000001.jsonl")
}

fn actions(entries: &Value) -> Vec<&str> {
    entries.as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect()
}

#[test]
fn a_push_is_in_the_log_of_its_target_and_what_was_meddled_with_is_named() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let push = rig.push().expect_code(0).json();
    let run = push["run"].as_str().unwrap();

    let entries = rig.run(&["audit", "target", "--run", run]).expect_code(0).json();
    assert_eq!(actions(&entries), ["grant_opened", "run_ended", "grant_closed"]);
    assert_eq!(entries[0]["user"], push["started_by"]);
    assert_eq!(entries[1]["counts"]["created"], documents_in(&rig.source()) + 12, "with the files of 12 assets");
    assert!(rig.run_for_people(&["audit", "target"]).expect_code(0).stdout.contains("grant opened"));
    // A source has nothing to tell of it.
    let of_source = rig.run(&["audit", "source"]).expect_code(0).json();
    assert_eq!(actions(&of_source), ["agent_started"]);

    let copies: Vec<String> =
        redis::cmd("LRANGE").arg("{cs}:audit").arg(0).arg(-1).query(&mut rig.redis.connection()).unwrap();
    let copies: Vec<Value> = copies.iter().map(|copy| serde_json::from_str(copy).unwrap()).collect();
    let copied: Vec<&str> = copies.iter().map(|copy| copy["action"].as_str().unwrap()).collect();
    assert_eq!(copied, ["agent_started", "grant_opened", "run_ended", "grant_closed"]);
    assert!(copies.iter().all(|copy| copy["name"] == "target" && copy.get("previous").is_none()), "{copies:?}");

    let whole = rig.run(&["audit", "verify", "target"]).expect_code(0).json();
    // A worker that asks to keep a grant which was closed at that moment is refused, and that is written down.
    assert!(whole["entries"].as_u64().unwrap() >= 4 && whole["problems"].as_array().unwrap().is_empty(), "{whole}");
    let noted = whole["head"].as_str().unwrap().to_owned();
    rig.push().expect_code(0);
    rig.run(&["audit", "verify", "target", "--noted", &noted]).expect_code(0);

    let file = log_of(&rig, "target");
    let written = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = written.lines().collect();
    let cut = lines[..3].join("\n") + "\n";
    let removed = [&lines[..1], &lines[2..]].concat().join("\n") + "\n";
    let changed = written.replacen("grant_opened", "grant_closed", 1);
    for (text, named) in
        [(changed, "entry 2 was changed"), (removed, "entries 2 to 2 are missing"), (cut, "are missing at the end")]
    {
        std::fs::write(&file, text).unwrap();
        let found = rig.run(&["audit", "verify", "target"]).expect_code(7).json();
        let problems = found["problems"].as_array().unwrap();
        assert!(problems.len() == 1 && problems[0].as_str().unwrap().contains(named), "{problems:?}");
    }
    std::fs::write(&file, written).unwrap();
    rig.run(&["audit", "verify", "target"]).expect_code(0);
}
