//! The embedded default: a config with two paths and nothing else running.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::{Output, Process, cockpit_sync, documents_in, small, wait_until};

struct Embedded {
    folder: TempDir,
}

impl Embedded {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        instances::make(&folder.path().join("here"), &small()).unwrap();
        instances::make_empty(&folder.path().join("there")).unwrap();
        let config = "local = 'staging'\n[instance.staging]\npath = 'here'\n\
                      [instance.production]\npath = 'there'\npush = true\n";
        std::fs::write(folder.path().join("cockpit-sync.toml"), config).unwrap();
        Self { folder }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = cockpit_sync();
        command.arg("--json").args(arguments).current_dir(self.folder.path());
        command
    }

    fn spawn(&self, name: &str, arguments: &[&str]) -> Process {
        Process::start(&mut self.command(arguments), self.folder.path(), name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.spawn("command", arguments).wait()
    }

    fn assert_equal(&self) {
        let (here, there) = (self.folder.path().join("here"), self.folder.path().join("there"));
        let comparison = instances::compare(&here, &there).unwrap();
        assert!(comparison.is_equal(), "{comparison}");
    }
}

/// Whether any process has this folder in its command line or as its working directory.
fn somebody_works_in(folder: &Path) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes.map(|entry| entry.path()).any(|process| {
        let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
        let directory = std::fs::read_link(process.join("cwd")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(folder.to_str().unwrap()) || directory.starts_with(folder)
    })
}

#[test]
fn two_paths_in_a_config_are_all_a_push_needs() {
    let embedded = Embedded::new();
    let documents = documents_in(&embedded.folder.path().join("here"));
    let push = embedded.run(&["push", "production"]).expect_code(0);
    assert_eq!(push.count("created"), documents);
    embedded.assert_equal();

    let again = embedded.run(&["push", "production"]).expect_code(0);
    assert_eq!((again.count("created"), again.count("updated")), (0, 0));
    let runs = embedded.run(&["runs"]).expect_code(0).json();
    assert_eq!(runs.as_array().map(Vec::len), Some(2), "the history lives on between commands: {runs}");
}

#[test]
fn nothing_of_it_runs_on_when_the_command_is_over() {
    let embedded = Embedded::new();
    embedded.run(&["push", "production"]).expect_code(0);
    wait_until("its redis-server is gone", || !somebody_works_in(embedded.folder.path()));
}

#[test]
fn nothing_of_it_runs_on_when_the_command_is_killed() {
    let embedded = Embedded::new();
    let mut push = embedded.spawn("killed", &["push", "production"]);
    wait_until("its redis-server is there", || embedded.folder.path().join(".cockpit-sync/redis.sock").exists());
    push.kill();
    wait_until("its redis-server is gone", || !somebody_works_in(embedded.folder.path()));
    embedded.run(&["push", "production"]).expect_code(0);
    embedded.assert_equal();
}

#[test]
fn a_second_command_joins_the_host_of_the_first() {
    let embedded = Embedded::new();
    let first = embedded.spawn("first", &["push", "production"]);
    let second = embedded.spawn("second", &["push", "production"]);
    let (first, second) = (first.wait().expect_code(0), second.wait().expect_code(0));
    let documents = documents_in(&embedded.folder.path().join("here"));
    assert_eq!(first.count("created") + second.count("created"), documents);
    embedded.assert_equal();
}

#[test]
fn detach_without_a_host_is_refused_as_usage_and_writes_nothing() {
    let embedded = Embedded::new();
    let push = embedded.run(&["push", "production", "--detach"]).expect_code(2);
    push.says(&["--detach", "redis"]);
    assert_eq!(documents_in(&embedded.folder.path().join("there")), 0);
}

#[test]
fn a_worker_without_redis_in_the_config_says_that_it_needs_one() {
    let embedded = Embedded::new();
    embedded.run(&["worker"]).expect_code(2).says(&["redis"]);
}

#[test]
fn without_a_redis_server_program_the_error_says_how_to_get_one() {
    let embedded = Embedded::new();
    let mut command = embedded.command(&["push", "production"]);
    command.env("PATH", "/nowhere");
    let push = Process::start(&mut command, embedded.folder.path(), "no-redis").wait();
    assert_ne!(push.code, 0);
    push.says(&["redis-server", "install"]);
}

#[test]
fn ctrl_c_cancels_the_push_and_ends_everything() {
    let embedded = Embedded::new();
    let push = embedded.spawn("interrupted", &["push", "production", "--batch-size", "1", "--window", "1"]);
    let there = embedded.folder.path().join("there");
    wait_until("something has landed", || instances::count(&there, "content/collections/posts").unwrap() > 0);
    push.signal(nix::sys::signal::Signal::SIGINT);
    let push = push.wait().expect_code(6);
    assert_eq!(push.json()["state"], "cancelled");
    wait_until("its redis-server is gone", || !somebody_works_in(embedded.folder.path()));

    let landed = documents_in(&there);
    let again = embedded.run(&["push", "production"]).expect_code(0);
    assert_eq!(again.count("unchanged"), landed);
    embedded.assert_equal();
}

#[test]
fn a_mirror_needs_no_more_than_a_push() {
    let embedded = Embedded::new();
    embedded.run(&["push", "production"]).expect_code(0);
    let there = embedded.folder.path().join("there");
    let only_there = serde_json::json!({"name": "Only here", "_state": 1, "_id": "aaaaaaaaaaaaaaaaaaaaaaaa"});
    instances::insert_document(&there, "content/collections/authors", &only_there).unwrap();
    let mirror = embedded.run(&["push", "production", "--mirror"]).expect_code(0);
    assert_eq!(mirror.count("deleted"), 1);
    embedded.assert_equal();
}

#[test]
fn the_host_brings_notifications_before_it_ends() {
    let embedded = Embedded::new();
    let folder = embedded.folder.path();
    let file = folder.join("cockpit-sync.toml");
    let entry = "[[on]]\nname = 'done'\nevent = 'sync.push.finished'\nexec = { run = ['tee', 'told'] }\n";
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, config + entry).unwrap();
    embedded.run(&["push", "production"]).expect_code(0);
    let told = std::fs::read_to_string(folder.join("told")).unwrap();
    assert!(told.contains("sync.push.finished"), "{told}");
}
