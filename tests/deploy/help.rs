//! What `--help` says, as it is printed: a change of it is seen in review.
//!
//! `WRITE_HELP=1 cargo test --test deploy help` writes it anew.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Command, CommandFactory};
use cockpit_sync::cli::Arguments;

use crate::root;

fn folder() -> PathBuf {
    root().join("tests/fixtures/help")
}

/// The name of each command, with those it belongs to, and its help.
fn help_of(command: &Command, path: &str, all: &mut BTreeMap<String, String>) {
    let name = if path.is_empty() { command.get_name().to_owned() } else { format!("{path} {}", command.get_name()) };
    // As wide as a terminal may be, whatever this one is.
    let mut shown = command.clone().bin_name(&name).term_width(100).mut_args(|argument| argument.hide_env(true));
    let help = shown.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    all.insert(name.replace(' ', "-"), format!("{}\n", lines.join("\n").trim_end()));
    for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help") {
        help_of(below, &name, all);
    }
}

#[test]
fn help_of_every_command_is_what_is_recorded() {
    let mut all = BTreeMap::new();
    let mut command = Arguments::command();
    command.build();
    help_of(&command, "", &mut all);
    assert!(all.len() > 20, "{:?}", all.keys());
    if std::env::var_os("WRITE_HELP").is_some() {
        let _not_there = std::fs::remove_dir_all(folder());
        std::fs::create_dir_all(folder()).unwrap();
        for (name, help) in &all {
            std::fs::write(folder().join(format!("{name}.txt")), help).unwrap();
        }
        return;
    }
    let recorded = std::fs::read_dir(folder()).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap())
    });
    let recorded: BTreeMap<String, String> = recorded.collect();
    let names = || all.keys().chain(recorded.keys());
    let other: Vec<&String> = names().filter(|name| all.get(*name) != recorded.get(*name)).collect();
    assert!(
        other.is_empty(),
        "not as recorded: {other:?} (WRITE_HELP=1 cargo test --test deploy help, and look at the diff)"
    );
}
