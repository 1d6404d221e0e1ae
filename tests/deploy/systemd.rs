//! deploy/systemd: what systemd and this version's command line make of the units.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::{files, is_understood};

const PROGRAM: &str = "/usr/local/bin/cockpit-sync";
/// What `systemd-analyze security` calls well protected, of 100.
const MOST_EXPOSED: &str = "20";

#[test]
fn every_command_of_the_units_is_understood() {
    for file in files("systemd") {
        let text = std::fs::read_to_string(&file).unwrap();
        let start = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let start = start.strip_prefix(PROGRAM).unwrap_or_else(|| panic!("{} starts {start}", file.display()));
        // A template's instance is a number here.
        is_understood(&start.replace("%i", "1").split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    }
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    for_each_unit("systemd_finds_nothing_wrong_with_the_units", |unit| {
        let found = analyze(&["verify"], unit);
        let said = String::from_utf8_lossy(&found.stderr).into_owned();
        assert!(found.status.success() && !said.contains("cockpit-sync"), "{}: {said}", unit.display());
    });
}

#[test]
fn the_units_are_hardened() {
    for_each_unit("the_units_are_hardened", |unit| {
        let found = analyze(&["security", "--offline=true", "--threshold", MOST_EXPOSED], unit);
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stdout));
    });
}

fn analyze(arguments: &[&str], unit: &Path) -> Output {
    Command::new("systemd-analyze").args(arguments).arg(unit).output().unwrap()
}

/// The units as installed, with a program that is there.
fn for_each_unit(test: &str, check: impl Fn(&Path)) {
    let version = Command::new("systemd-analyze").arg("--version").output();
    let Some(version) = version.ok().and_then(|said| String::from_utf8(said.stdout).ok()) else {
        return servers::say_skipped(test, "there is no systemd-analyze");
    };
    let number: u32 = version.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or_default();
    if number < 250 {
        return servers::say_skipped(test, "systemd is older than 250: it cannot look at units that are not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    for file in files("systemd") {
        let text = std::fs::read_to_string(&file).unwrap().replace(PROGRAM, env!("CARGO_BIN_EXE_cockpit-sync"));
        let name = file.file_name().unwrap().to_str().unwrap().replace("@.", "@1.");
        let unit: PathBuf = folder.path().join(name);
        std::fs::write(&unit, text).unwrap();
        check(&unit);
    }
}
