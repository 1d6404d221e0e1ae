//! The command line itself.

use crate::support::{Process, cockpit_sync};

const COMMANDS: &[&str] = &[
    "push", "pull", "agent", "worker", "status", "runs", "show", "explain", "watch", "events", "cancel", "retry",
    "dead", "unlock", "check", "workers", "verify", "drift", "plan", "apply",
];

#[test]
fn every_command_explains_itself() {
    let folder = tempfile::tempdir().unwrap();
    for name in COMMANDS {
        let help = Process::start(cockpit_sync().args([name, "--help"]), folder.path(), name).wait().expect_code(0);
        assert!(help.stdout.contains(&format!("cockpit-sync {name}")), "{help:#?}");
    }
    let help = Process::start(cockpit_sync().arg("--help"), folder.path(), "help").wait().expect_code(0);
    for name in COMMANDS {
        assert!(help.stdout.contains(&format!("  {name} ")), "{name} is not listed: {}", help.stdout);
    }
    assert!(help.stdout.contains("Exit codes"), "{}", help.stdout);
}

#[test]
fn what_is_no_command_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let nonsense = Process::start(cockpit_sync().arg("psh"), folder.path(), "nonsense").wait().expect_code(2);
    assert!(nonsense.stderr.contains("push"), "it does not suggest what was meant: {nonsense:#?}");
}

#[test]
fn an_agent_says_why_it_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let agent = |name: &str, root: &std::path::Path| {
        let mut command = cockpit_sync();
        command.args(["--json", "agent", "--listen", "127.0.0.1:0", "--root"]).arg(root);
        Process::start(&mut command, folder.path(), name).wait().expect_code(2)
    };
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    agent("no-cockpit", &empty).says(&["storage/data"]);
    let without_key = folder.path().join("cockpit");
    instances::make_empty(&without_key).unwrap();
    agent("no-key", &without_key).says(&["sync key", "syncKey", "COCKPIT_SYNC_KEY"]);
}
