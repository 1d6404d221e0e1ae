//! The command line itself.

use crate::support::{Process, cockpit_sync};

const COMMANDS: &[&str] = &[
    "push", "pull", "agent", "worker", "status", "runs", "show", "explain", "watch", "events", "cancel", "retry",
    "dead", "unlock", "check", "workers", "verify", "drift", "plan", "apply", "doctor",
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

#[test]
fn version_completions_and_manual_pages_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    let print = |arguments: &[&str]| {
        Process::start(cockpit_sync().args(arguments), folder.path(), arguments[0]).wait().expect_code(0)
    };
    let version = print(&["version", "--json"]).json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(version["protocol"].is_u64() && version["jobs"].is_u64(), "{version}");
    for (shell, word) in
        [("bash", "complete -F"), ("zsh", "#compdef cockpit-sync"), ("fish", "complete -c cockpit-sync")]
    {
        let script = print(&["completions", shell]).stdout;
        assert!(script.contains(word) && script.contains("unlock"), "{shell}: {script}");
    }
    assert!(print(&["man"]).stdout.contains(".TH cockpit-sync 1"));
    let pages = folder.path().join("man");
    print(&["man", "--out", pages.to_str().unwrap()]);
    assert!(std::fs::read_to_string(pages.join("cockpit-sync-push.1")).unwrap().contains("mirror"));
}
