//! Keys change while syncs go on: the recipe of docs/security.md, as it stands there.

use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{KEY, Output, Rig, cockpit_sync, small, wait_until};

/// The commands of the recipe, with this test's places for those of the document.
fn recipe(root: &Path, folder: &Path) -> Vec<Vec<String>> {
    let document = include_str!("../../docs/security.md");
    let (_, after) = document.split_once("## Changing a key").unwrap();
    let block = after.split("```").nth(1).unwrap();
    let placed = |word: &str| match word {
        "/var/www/cockpit" => root.display().to_string(),
        "production" => "target".into(),
        word if word.starts_with("/run/") => folder.join(&word[5..]).display().to_string(),
        word => word.to_owned(),
    };
    let commands = block.lines().filter_map(|line| line.strip_prefix("cockpit-sync "));
    commands.map(|line| line.split_whitespace().take_while(|word| *word != "#").map(placed).collect()).collect()
}

fn beside(rig: &mut Rig, arguments: &[&str]) -> Output {
    let mut command = cockpit_sync();
    command.arg("--json").args(arguments);
    rig.start(&mut command, "keys").wait()
}

/// The config, with the key of the target in a file.
fn with_key_file(rig: &Rig, file: &Path) -> std::path::PathBuf {
    let text = std::fs::read_to_string(rig.config()).unwrap();
    let (before, target) = text.split_once("[instance.target]").unwrap();
    let given = format!("sync_key = \"{KEY}\"");
    let target = target.replacen(&given, &format!("sync_key_file = {file:?}"), 1);
    let config = rig.folder.path().join("key-in-file.toml");
    std::fs::write(&config, format!("{before}[instance.target]{target}")).unwrap();
    config
}

#[test]
fn a_key_is_changed_during_a_push_by_the_documented_commands_and_not_one_request_fails() {
    let mut rig = Rig::new(&small());
    let (root, folder) = (rig.target(), rig.folder.path().to_owned());
    let (old_file, root_text) = (folder.join("production.key"), root.display().to_string());
    let make = ["keys", "new", "--root", &root_text, "--id", "2026", "--purpose", "write", "--output"];
    beside(&mut rig, &[&make[..], &[old_file.to_str().unwrap()]].concat()).expect_code(0);
    let config = with_key_file(&rig, &old_file);
    rig.start_worker_with(&config, &[]);
    let push = ["push", "target", "--batch-size", "10", "--max-rate", "25/s"];
    let push = rig.spawn_with(&config, &push);
    wait_until("the push is at work", || rig.commits("target") > 5);

    let steps = recipe(&root, &folder);
    let words: Vec<Vec<&str>> = steps.iter().map(|step| step.iter().map(String::as_str).collect()).collect();
    assert_eq!(
        words.iter().map(|step| step[..2.min(step.len())].join(" ")).collect::<Vec<_>>(),
        ["keys new", "keys test", "worker &", "keys list", "keys retire"]
    );
    let made = beside(&mut rig, &words[0]).expect_code(0);
    let tested = rig.run_with(&config, &words[1]).expect_code(0).json();
    assert_eq!((tested["id"].as_str(), tested["purpose"].as_str()), (Some("2027"), Some("write")));
    let secret = std::fs::read_to_string(folder.join("2027.key")).unwrap();
    assert!(!made.stdout.contains(secret.trim()), "what is in a file is not printed");
    std::fs::rename(folder.join("2027.key"), &old_file).unwrap();
    let new_worker = rig.start_worker_with(&config, &[]);
    rig.worker(new_worker - 1).signal(Signal::SIGTERM);
    wait_until("the old worker has ended", || rig.worker(new_worker - 1).ended().is_some());

    let uses = root.join("storage/cockpit-sync/key-use.json");
    wait_until("the use of the old key was written", || {
        std::fs::read_to_string(&uses).is_ok_and(|text| text.contains("\"2026\"") && text.contains("127.0.0.1"))
    });
    let listed = beside(&mut rig, &words[3]).expect_code(0).json();
    let ids: Vec<&str> = listed.as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"2026") && ids.contains(&"2027"), "{ids:?}");
    // It was used a moment ago: once is not enough.
    let once = beside(&mut rig, &["keys", "retire", "--root", &root_text, "2026", "--yes-i-mean", "2026"]);
    once.expect_code(4).says(&["--though-in-use 2026"]);
    let not_meant = beside(&mut rig, &["keys", "retire", "--root", &root_text, "2026"]);
    not_meant.expect_code(4).says(&["--yes-i-mean 2026"]);
    assert!(push_goes_on(&rig), "the push was over before its key was changed");
    beside(&mut rig, &words[4]).expect_code(0);

    push.wait().expect_code(0);
    rig.assert_equal();
    let entries = rig.run(&["audit", "target", "--last", "1000"]).expect_code(0).json();
    // A worker that keeps a grant which its own run has just given back is told so.
    let is_failure =
        |entry: &&Value| entry["action"] == "refused" && !entry["reason"].as_str().unwrap().starts_with("grant/renew");
    let failures: Vec<&Value> = entries.as_array().unwrap().iter().filter(is_failure).collect();
    assert!(failures.is_empty(), "{failures:?}");
    assert!(entries.as_array().unwrap().iter().any(|entry| entry["key"] == "2027"), "{entries}");
    let old = rig.run_with(&config, &["keys", "test", "target"]).expect_code(0).json();
    assert_eq!(old["id"], "2027");
}

/// The grant is open still.
fn push_goes_on(rig: &Rig) -> bool {
    let state = rig.target().join("storage/cockpit-sync/state.db");
    let count = "SELECT count(*) FROM open_grant";
    let open: i64 = rusqlite::Connection::open(state).unwrap().query_row(count, [], |row| row.get(0)).unwrap();
    open == 1
}
