//! docker-compose.yml and what lies beside it.

use std::process::{Command, Stdio};

use serde_json::{Map, Value};

use crate::{is_understood, read_config, root, words, yaml};

const COMPOSE: &str = include_str!("../../docker-compose.yml");
const CONFIG: &str = include_str!("../../docker/cockpit-sync.toml");
const VARIABLES: [&str; 4] = ["STAGING_SYNC_KEY", "PRODUCTION_SYNC_KEY", "REDIS_PASSWORD", "ADMIN_TOKEN_HASH"];

fn services() -> Map<String, Value> {
    yaml::documents(COMPOSE)[0]["services"].as_object().unwrap().clone()
}

#[test]
fn every_command_of_the_compose_file_is_understood() {
    let services = services();
    let ours = ["agent-staging", "agent-production", "worker", "serve"];
    for name in ours {
        is_understood(&words(&services[name]["command"]));
    }
    let others: Vec<_> = services.keys().filter(|name| !ours.contains(&name.as_str())).collect();
    assert_eq!(others, ["redis", "cockpit-sync", "example"], "services whose commands nobody looks at");
}

#[test]
fn no_service_runs_as_root_or_writes_beside_its_volumes() {
    let dockerfile = include_str!("../../Dockerfile");
    for (name, service) in services() {
        let user = service["user"].as_str();
        assert!(user != Some("0") && user != Some("root"), "{name} is root");
        let last_stage = dockerfile.split("\nFROM ").last().unwrap();
        assert!(user.is_some() || last_stage.contains("\nUSER 10001\n"), "{name} has no user");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{name}");
        assert!(service["mem_limit"].is_string() && service["pids_limit"].is_i64(), "{name} has no limits");
        let ends_by_itself = ["cockpit-sync", "example"].contains(&name.as_str());
        let restart = if ends_by_itself { "no" } else { "unless-stopped" };
        assert_eq!(service["restart"], restart, "{name}");
        assert_eq!(service["healthcheck"].is_object(), !ends_by_itself, "{name}");
    }
}

#[test]
fn health_checks_ask_where_the_services_listen() {
    for (name, service) in services() {
        let Some(check) = service["healthcheck"]["test"].as_array().filter(|check| check[0] == "CMD") else { continue };
        let url = check.last().unwrap().as_str().unwrap();
        let port = url.strip_prefix("http://127.0.0.1:").unwrap().strip_suffix("/readyz").unwrap();
        let listens = words(&service["command"]).last().unwrap().ends_with(&format!(":{port}"));
        assert!(listens, "{name} is asked at {url}");
    }
}

#[test]
fn its_config_names_the_services_and_needs_no_other_variables() {
    let config = read_config(CONFIG, &VARIABLES);
    assert!(config.instances["production"].push);
    let services = services();
    for name in config.instances.keys() {
        assert!(CONFIG.contains(&format!("http://agent-{name}:8101")), "{name}");
        assert!(services.contains_key(&format!("agent-{name}")), "there is no service for {name}");
    }
    for name in ["worker", "serve", "cockpit-sync"] {
        let environment = services[name]["environment"].as_object().unwrap();
        for key in VARIABLES {
            assert!(environment.contains_key(key), "{name} gets no {key}");
        }
    }
}

/// The command of the redis service, in a folder of its own instead of a container.
#[test]
fn its_redis_wants_the_password_keeps_a_log_and_throws_nothing_away() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis.sock");
    let command = words(&services()["redis"]["command"]);
    let elsewhere = format!("redis-server - --port 0 --unixsocket {} ", socket.display());
    let script = command[2].replace("$$", "$").replace("redis-server - ", &elsewhere);
    if Command::new("redis-server").arg("--version").output().is_err() {
        return servers::say_skipped("its_redis_wants_the_password", "there is no redis-server, only a Valkey");
    }
    let mut server = Command::new(&command[0])
        .args([&command[1], &script])
        .env("REDIS_PASSWORD", "a-long-password")
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    servers::wait_until("Redis listens", || socket.exists());
    let connect = |password: &str| {
        redis::Client::open(format!("redis+unix://{}?pass={password}", socket.display())).unwrap().get_connection()
    };
    let answers = connect("a-long-password").and_then(|mut connection| {
        redis::cmd("CONFIG").arg("GET").arg("appendonly").arg("maxmemory-policy").query::<Vec<String>>(&mut connection)
    });
    let refused = connect("another").is_err();
    server.kill().unwrap();
    server.wait().unwrap();
    let mut answers = answers.unwrap();
    answers.sort();
    assert_eq!(answers, ["appendonly", "maxmemory-policy", "noeviction", "yes"]);
    assert!(refused, "any password will do");
}

#[test]
fn docker_compose_reads_it() {
    let mut command = Command::new("docker-compose");
    command.envs(VARIABLES.map(|name| (name, "twenty characters long")));
    let read = command.arg("--file").arg(root().join("docker-compose.yml")).args(["config", "--quiet"]).output();
    let Ok(read) = read else {
        return servers::say_skipped("docker_compose_reads_it", "there is no docker-compose");
    };
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
}
