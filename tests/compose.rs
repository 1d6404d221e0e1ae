//! docker-compose.yml and what lies beside it say nothing that this version does not understand.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use clap::Parser;
use cockpit_sync::cli::Arguments;
use config::{Config, Environment};

const COMPOSE: &str = include_str!("../docker-compose.yml");
const CONFIG: &str = include_str!("../docker/cockpit-sync.toml");

/// The lists after `command:` are JSON, too.
fn commands() -> Vec<Vec<String>> {
    let lists = COMPOSE.lines().filter_map(|line| line.trim().strip_prefix("command: "));
    lists.filter(|list| list.starts_with('[')).map(|list| serde_json::from_str(list).unwrap()).collect()
}

#[test]
fn every_command_of_the_compose_file_is_understood() {
    let ours: Vec<_> = commands().into_iter().filter(|command| command[0] != "redis-server").collect();
    assert_eq!(ours.len(), 3, "two agents and the workers: {ours:?}");
    for command in ours {
        let typed = std::iter::once("cockpit-sync".to_owned()).chain(command);
        Arguments::try_parse_from(typed).unwrap();
    }
}

#[test]
fn its_config_names_the_services_and_needs_no_other_variables() {
    let keys = ["STAGING_SYNC_KEY", "PRODUCTION_SYNC_KEY"];
    let environment = Environment::of(keys.map(|key| (key.to_owned(), "twenty characters long".to_owned())));
    let config = Config::parse(CONFIG, Path::new("/etc/cockpit-sync.toml").into(), &environment).unwrap();
    assert!(config.instances["production"].push);
    for name in config.instances.keys() {
        assert!(CONFIG.contains(&format!("http://agent-{name}:8101")), "{name}");
        assert!(COMPOSE.contains(&format!("\n  agent-{name}:\n")), "there is no service for {name}");
    }
    for key in keys {
        assert!(COMPOSE.contains(key), "{key} is not handed on");
    }
}
