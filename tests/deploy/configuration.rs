//! docs/configuration.md: every setting there is, and none that there is not. Which there are is asked of those who read
//! configs, by a setting that nobody knows: they then name those they know.
//!
//! `WRITE_CONFIGURATION=1 cargo test --test deploy configuration` writes the page anew.

mod page;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use agent::AgentToml;
use config::reference::{Setting, TABLES, Table, Usual, VARIABLES};
use config::{Config, Environment};
use producer::options::Options;
use regex::Regex;
use serde_json::{Map, Value, json};

use crate::root;

/// What a table needs around it.
const AROUND: &str =
    "[instance.staging]\nurl = \"https://staging.example.com\"\nsync_key = \"twenty characters long\"\n";
const PRODUCTION: &str =
    "[instance.production]\nurl = \"https://x\"\nsync_key = \"twenty characters long\"\npush = true\npull = true\n";
const TIDY: &str = "[command.tidy]\nrun = [\"tidy\"]\n";

#[test]
fn configuration_page_is_as_it_is_written() {
    let file = root().join("docs/configuration.md");
    if std::env::var_os("WRITE_CONFIGURATION").is_some() {
        return std::fs::write(file, page::write()).unwrap();
    }
    let is_so = std::fs::read_to_string(file).unwrap() == page::write();
    assert!(is_so, "docs/configuration.md is another: WRITE_CONFIGURATION=1 cargo test --test deploy configuration");
}

#[test]
fn every_example_of_a_setting_is_read() {
    for table in TABLES.iter() {
        for setting in &table.settings {
            read(table, &setting.example).unwrap_or_else(|error| panic!("{} {}: {error}", table.head, setting.name));
        }
    }
}

#[test]
fn what_is_said_to_be_the_default_is_what_is_read_where_nothing_is_said() {
    for table in TABLES.iter() {
        for Setting { name, default, .. } in &table.settings {
            let Usual::Value(value) = default else { continue };
            let said = read(table, &format!("{name} = {value}")).unwrap();
            assert_eq!(said, read(table, "").unwrap(), "{} {name}", table.head);
        }
    }
}

#[test]
fn the_page_has_the_settings_that_there_are_and_no_others() {
    let is_below = |table: &&Table| table.head.is_empty() || table.is_of_agent() || !table.before.is_empty();
    let tables_of_file: Vec<String> =
        TABLES.iter().filter(|table| !is_below(table)).map(|table| name_of(table).to_owned()).collect();
    for table in TABLES.iter() {
        let mut listed: BTreeSet<String> = table.settings.iter().map(|setting| setting.name.to_owned()).collect();
        match table.head {
            "" => listed.extend(tables_of_file.iter().cloned().chain(["preset".into()])),
            // What it does not know is an option.
            "[[schedule]]" => {
                assert_eq!(listed, settings_of_schedules());
                let refused = read(table, "not_known = 1").unwrap_err();
                assert!(refused.contains("there is no option notKnown"), "{refused}");
                continue;
            }
            _ => {}
        }
        let refused = read(table, "not_known = 1").unwrap_err();
        let known: BTreeSet<String> = match refused.split_once("there are ") {
            Some((_, names)) => names.split(", ").map(|name| name.trim().to_owned()).collect(),
            None => {
                let (_, names) = refused.split_once("expected ").unwrap_or_else(|| panic!("{refused}"));
                names.split('`').skip(1).step_by(2).map(str::to_owned).collect()
            }
        };
        assert_eq!(listed, known, "{}: {refused}", table.head);
    }
}

#[test]
fn the_program_prints_its_settings() {
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_cockpit-sync")).arg("settings").args(arguments).output().unwrap()
    };
    let said: Value = serde_json::from_slice(&run(&["--json"]).stdout).unwrap();
    let heads: Vec<&str> = said.as_array().unwrap().iter().map(|table| table["table"].as_str().unwrap()).collect();
    assert_eq!(heads, TABLES.iter().map(|table| table.head).collect::<Vec<_>>());
    let one = String::from_utf8(run(&["queue"]).stdout).unwrap();
    let queue = TABLES.iter().find(|table| table.head == "[queue]").unwrap();
    assert!(queue.settings.iter().all(|setting| one.contains(setting.name)) && !one.contains("[redis]"), "{one}");
    let unknown = run(&["nothing"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("[queue]"), "{unknown:?}");
}

/// Those that are no options.
fn settings_of_schedules() -> BTreeSet<String> {
    let source = std::fs::read_to_string(root().join("shared/config/src/schedule.rs")).unwrap();
    let (_, fields) = source.split_once("struct Entry {").unwrap();
    let (fields, _) = fields.split_once('}').unwrap();
    let name = Regex::new(r"(?m)^    (\w+): ").unwrap();
    let names = name.captures_iter(fields).map(|found| found[1].to_owned()).filter(|name| name != "options");
    names.chain(["name".to_owned()]).collect()
}

#[test]
fn every_setting_is_of_the_type_that_is_said_and_one_of_another_type_is_refused() {
    for table in TABLES.iter() {
        for setting in &table.settings {
            let (head, name, kind) = (table.head, setting.name, setting.kind);
            let example: toml::Table = setting.example.parse().unwrap();
            assert!(fits(kind, &example[name]), "{head} {name} = {} is no {kind}", example[name]);
            if let Usual::Value(value) = setting.default {
                let default: toml::Table = format!("x = {value}").parse().unwrap();
                assert!(fits(kind, &default["x"]), "{head} {name} = {value} is no {kind}");
            }
            let others: String = setting
                .example
                .lines()
                .filter(|line| !line.starts_with(&format!("{name} =")))
                .fold(String::new(), |others, line| format!("{others}{line}\n"));
            let refused = read(table, &format!("{others}{name} = {}", wrong(kind)));
            assert!(refused.is_err(), "{head} {name} = {} is taken for a {kind}", wrong(kind));
        }
    }
}

#[test]
fn every_option_of_presets_is_read() {
    for name in page::options().into_iter().map(|(name, _)| name) {
        // Not a value of any of them; but the name is known.
        let refused = Options::read(Map::from_iter([(name.clone(), json!({ "x": {} }))])).map(drop);
        let is_known = refused.as_ref().err().is_none_or(|error| !error.contains("there is no option"));
        assert!(is_known, "{name}: {refused:?}");
    }
    assert!(Options::read(Map::from_iter([("not-known".into(), json!(true))])).is_err());
}

#[test]
fn every_variable_that_is_read_is_on_the_page() {
    let name = Regex::new("\"(COCKPIT_SYNC_[A-Z_]+)\"").unwrap();
    let mut found = BTreeSet::new();
    let mut folders: Vec<_> =
        ["src", "agent/src", "producer/src", "serve/src", "worker/src"].map(|at| root().join(at)).into();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            found.extend(name.captures_iter(&text).map(|found| found[1].to_owned()));
        }
    }
    // Given to programs, not read.
    found.remove("COCKPIT_SYNC_COLLECTION");
    assert_eq!(found, VARIABLES.iter().map(|(name, _)| (*name).to_owned()).collect());
}

/// "queue" of "[queue]", "instance" of "[instance.production]".
fn name_of(table: &Table) -> &str {
    table.head.trim_matches(['[', ']']).split('.').next().unwrap_or_default()
}

/// Reads a file with these lines in this table, and what they need: what came out, or what is wrong.
fn read(table: &Table, lines: &str) -> Result<String, String> {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "twenty characters long").unwrap();
    let file = |text: &str| {
        Regex::new("/run/secrets/[a-z]+").unwrap().replace_all(text, secret.path().to_str().unwrap()).into_owned()
    };
    let text = file(&format!("{}{}\n{}{lines}\n", table.before, table.head, needed(table, lines)));
    let value = |name: &str| if name.ends_with("_HASH") { "$argon2id$x" } else { "twenty-characters-long" }.to_owned();
    let names = Regex::new(r"\$\{(\w+)\}").unwrap();
    let environment = Environment::of(names.captures_iter(&text).map(|found| (found[1].to_owned(), value(&found[1]))));
    if table.is_of_agent() {
        let read = AgentToml::parse(&text, &environment).map_err(|error| error.to_string())?;
        return Ok(format!("{read:?}"));
    }
    let local = if lines.contains("local =") { "" } else { "local = \"staging\"\n" };
    let production = if table.head.contains("production") { "" } else { PRODUCTION };
    let tidy = if table.head.contains("tidy") { "" } else { TIDY };
    let (top, below) = if table.head.is_empty() { (text.as_str(), "") } else { ("", text.as_str()) };
    let text = format!("{local}{top}{AROUND}{production}{tidy}{below}");
    let config = Config::parse(&text, Path::new("/etc/cockpit-sync.toml").into(), &environment)
        .map_err(|error| error.to_string())?;
    producer::check_transforms(&config).map_err(|problem| problem.to_string())?;
    producer::schedules::check(&config).map_err(|problem| problem.to_string())?;
    let on = producer::notifications(&config).map_err(|problem| problem.to_string())?;
    Ok(format!("{config:?} {on:?}"))
}

/// Of the lines that the table needs, those that these leave room for.
fn needed(table: &Table, lines: &str) -> String {
    let key = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    let given: Vec<String> = lines.lines().map(key).collect();
    let takes_the_place = |needed: &str| match needed {
        "url" => ["path", "sentinels", "cluster"].as_slice(),
        "sync_key" => &["path", "sync_key_file"],
        "push" => &["pull"],
        "log" => &["exec", "webhook", "mail", "not_known"],
        _ => &[],
    };
    let is_open = |line: &&str| {
        let needed = key(line);
        !given.iter().any(|given| *given == needed || takes_the_place(&needed).contains(&given.as_str()))
    };
    table.needs.lines().filter(is_open).map(|line| format!("{line}\n")).collect()
}

/// A value of another type.
fn wrong(kind: &str) -> &'static str {
    if kind == "true or false" { "7" } else { "true" }
}

/// Whether a value is of the type that is said, as far as TOML knows types.
fn fits(kind: &str, value: &toml::Value) -> bool {
    let is_number = kind == "number" || kind.starts_with(|letter: char| letter.is_ascii_digit());
    match value {
        toml::Value::Boolean(_) => kind == "true or false",
        toml::Value::Integer(_) => is_number,
        toml::Value::Array(_) => kind.starts_with("list of ") || kind.ends_with(", or a list"),
        toml::Value::Table(_) => kind == "table" || kind.contains("the table "),
        toml::Value::String(_) => {
            !is_number && !kind.starts_with("list of ") && !["true or false", "table"].contains(&kind)
        }
        _ => false,
    }
}
