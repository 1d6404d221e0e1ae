//! `doctor` says what is in order, what is not, and what to do.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::ownership::give_target_away;
use crate::support::{Output, Rig, small};

/// Level and words of what was found.
pub fn found(output: &Output, about: &str, check: &str) -> (String, String) {
    let json = output.json();
    let findings = json["findings"].as_array().unwrap();
    let one = findings.iter().find(|finding| finding["about"] == about && finding["check"] == check);
    let one = one.unwrap_or_else(|| panic!("{about} {check} was not looked at: {json}"));
    assert_eq!(one["level"] == "ok", one["todo"] == Value::Null, "what is not in order says what to do: {one}");
    (one["level"].as_str().unwrap().to_owned(), one["says"].as_str().unwrap().to_owned())
}

fn level(output: &Output, about: &str, check: &str) -> String {
    found(output, about, check).0
}

#[test]
fn doctor_finds_nothing_wrong_with_a_sound_deployment() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.push().expect_code(0);
    let doctor = rig.run(&["doctor"]).expect_code(0);
    for (about, check) in [("redis", "reachable"), ("workers", "alive")] {
        assert_eq!(level(&doctor, about, check), "ok", "{doctor:#?}");
    }
    for instance in ["source", "target"] {
        for check in ["reachable", "key", "version", "clock", "writable", "index", "sync"] {
            assert_eq!(level(&doctor, instance, check), "ok", "{instance} {check}: {doctor:#?}");
        }
        assert!(found(&doctor, instance, "disk").1.contains("MiB free"));
    }
}

#[test]
fn doctor_without_workers_or_with_an_agent_that_is_gone_ends_with_an_error_and_looks_at_the_rest() {
    let mut rig = Rig::new(&small());
    rig.agent("target").kill();
    let doctor = rig.run(&["doctor"]).expect_code(1);
    assert_eq!(level(&doctor, "workers", "alive"), "error");
    assert_eq!(level(&doctor, "target", "reachable"), "error");
    assert_eq!(level(&doctor, "source", "reachable"), "ok");
    rig.redis.kill();
    let doctor = rig.run(&["doctor", "source"]).expect_code(1);
    assert_eq!(level(&doctor, "redis", "reachable"), "error");
    assert_eq!(level(&doctor, "source", "key"), "ok");
}

#[test]
fn doctor_tells_a_wrong_key_from_an_agent_that_is_gone() {
    let mut rig = Rig::new(&small());
    let config = rig.config();
    let text = std::fs::read_to_string(&config).unwrap();
    let wrong = rig.folder.path().join("wrong.toml");
    std::fs::write(&wrong, text.replace(crate::support::KEY, "another key, also long enough")).unwrap();
    assert_eq!(level(&rig.run_with(&wrong, &["doctor", "target"]).expect_code(1), "target", "key"), "error");
}

#[test]
fn doctor_names_what_the_agents_user_may_not_write_to() {
    let mut rig = Rig::new(&small());
    let uploads = rig.target().join("storage/uploads");
    std::fs::create_dir_all(&uploads).unwrap();
    // An agent that is started as root goes on as the owner of the storage.
    if nix::unistd::geteuid().is_root() {
        give_target_away(&mut rig);
        std::os::unix::fs::chown(&uploads, Some(0), Some(0)).unwrap();
    }
    std::fs::set_permissions(&uploads, Permissions::from_mode(0o555)).unwrap();
    let doctor = rig.run(&["doctor", "target"]).expect_code(1);
    let (level, says) = found(&doctor, "target", "writable");
    assert!(level == "error" && says.contains("storage/uploads"), "{says}");
}
