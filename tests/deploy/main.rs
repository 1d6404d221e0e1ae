//! What people deploy with (docker-compose.yml, Dockerfile, deploy/) says nothing that this version does not understand.
#![expect(clippy::unwrap_used, reason = "tests")]

mod compose;
mod configuration;
mod help;
mod kubernetes;
mod systemd;
mod watching;
mod yaml;

use std::path::{Path, PathBuf};

use clap::Parser;
use cockpit_sync::cli::Arguments;
use config::{Config, Environment};
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a directory below deploy/.
fn files(directory: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("deploy").join(directory)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "there is nothing in deploy/{directory}");
    files
}

/// What follows `cockpit-sync` is a command that this version has, with flags that it knows.
fn is_understood(words: &[String]) {
    let typed = std::iter::once("cockpit-sync").chain(words.iter().map(String::as_str));
    if let Err(error) = Arguments::try_parse_from(typed) {
        panic!("{words:?}: {error}");
    }
}

fn words(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// Reads a config with these variables and no others.
fn read_config(text: &str, variables: &[&str]) -> Config {
    let value = |name: &str| match name.ends_with("_HASH") {
        true => "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA".to_owned(),
        false => "twenty characters long".to_owned(),
    };
    let environment = Environment::of(variables.iter().map(|name| ((*name).to_owned(), value(name))));
    Config::parse(text, Path::new("/etc/cockpit-sync.toml").into(), &environment).unwrap()
}
