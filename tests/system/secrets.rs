//! Known secrets are looked for wherever something is shown or kept: logs at their fullest, answers, errors, command
//! lines, Redis, traces, audit logs.

use std::path::Path;

use protocol::client::{HttpSettings, http_client};

use crate::support::{KEY, Rig, cockpit_sync, small, wait_until};
use crate::traces::Collector;

const TOKEN: &str = "the metrics token, which is a secret";
const PASSWORD: &str = "the_password_of_Redis_which_is_a_secret";
const WRONG_PASSWORD: &str = "a_wrong_password_of_Redis_which_is_a_secret_elsewhere";
const WRONG_KEY: &str = "a wrong key, which is a secret of somebody else";

/// Where it is in any file below, but for those that are there to hold it.
fn found_below(folder: &Path, secret: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let holds_secrets = path.extension().is_some_and(|end| end == "toml" || end == "key")
            || path.ends_with("config/config.php")
            || path.ends_with("cockpit-sync/keys.json");
        if path.is_dir() {
            found_below(&path, secret, found);
        } else if path.is_file() && !holds_secrets && contains(&std::fs::read(&path).unwrap(), secret) {
            found.push(path.display().to_string());
        }
    }
}

fn contains(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

/// Everything in Redis, uncompressed.
fn dump(rig: &Rig) -> Vec<u8> {
    let mut connection = rig.redis.connection();
    redis::cmd("CONFIG").arg("SET").arg("rdbcompression").arg("no").exec(&mut connection).unwrap();
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    assert!(keys.len() > 5, "a run is in there");
    let dump = |key: &Vec<u8>| redis::cmd("DUMP").arg(key).query::<Option<Vec<u8>>>(&mut connection).unwrap();
    keys.iter().filter_map(dump).collect::<Vec<_>>().concat()
}

#[test]
fn no_secret_shows_in_logs_answers_errors_command_lines_redis_traces_or_audit_logs() {
    let collector = Collector::start();
    let mut rig = Rig::without_instances();
    rig.environment = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", collector.address)),
        ("OTEL_BSP_SCHEDULE_DELAY", "100".into()),
        ("COCKPIT_SYNC_LOG", "debug".into()),
    ];
    instances::make(&rig.source(), &small()).unwrap();
    rig.start_agent("source");
    instances::make_empty(&rig.target()).unwrap();
    let own_config = rig.folder.path().join("agent.toml");
    std::fs::write(&own_config, format!("[agent]\nmetrics_token = \"{TOKEN}\"\n")).unwrap();
    rig.start_agent_with("target", &["--config", own_config.to_str().unwrap()]);
    let user = [b"SETUSER".as_slice(), b"sync", b"on", format!(">{PASSWORD}").as_bytes(), b"~*", b"&*", b"+@all"]
        .map(<[u8]>::to_vec);
    redis::cmd("ACL").arg(&user[..]).exec(&mut rig.redis.connection()).unwrap();
    let redis = format!("{{ url = '{}', username = 'sync', password = '{PASSWORD}' }}", rig.redis.url());
    let config_file = rig.config_on("with-password", &redis, &[]);
    rig.start_worker_with(&config_file, &[]);

    let (root, key_file) = (rig.target().display().to_string(), rig.folder.path().join("new.key"));
    let mut new = cockpit_sync();
    new.args(["--json", "keys", "new", "--id", "new", "--purpose", "write", "--root", &root, "--output"])
        .arg(&key_file);
    rig.start(&mut new, "keys").wait().expect_code(0);
    let new_key = std::fs::read_to_string(&key_file).unwrap().trim().to_owned();
    let secrets = [KEY, TOKEN, WRONG_KEY, PASSWORD, WRONG_PASSWORD, &new_key];

    rig.run_with(&config_file, &["push", "target"]).expect_code(0);
    for arguments in [
        &["check"][..],
        &["audit", "target"],
        &["audit", "verify", "target"],
        &["show", "last", "--receipt"],
        &["status"],
        &["workers"],
        &["logs", "--run", "last"],
        &["doctor"],
        &["keys", "test", "target", "--key-file", key_file.to_str().unwrap()],
    ] {
        rig.run_with(&config_file, arguments).expect_code(0);
    }
    let config = std::fs::read_to_string(&config_file).unwrap();
    let with = |name: &str, text: String| {
        let file = rig.folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    };
    let wrong_key = with("wrong-key.toml", config.replace(KEY, WRONG_KEY));
    let no_toml = with("no-toml.toml", config.replacen(KEY, &format!("{WRONG_KEY}\" oops \""), 1));
    let short = with("short.toml", config.replacen(KEY, &WRONG_KEY[..12], 1));
    let wrong_password = with("wrong-password.toml", config.replace(PASSWORD, WRONG_PASSWORD));
    rig.run_with(&wrong_key, &["push", "target"]).expect_code(4);
    rig.run_with(&no_toml, &["check"]).expect_code(2);
    rig.run_with(&wrong_password, &["push", "target"]).expect_code(2);
    rig.run_with(&wrong_password, &["doctor"]).expect_code(1);
    rig.run_with(&short, &["check"]).expect_code(2);
    let body = format!("{{\"syncKey\": \"{WRONG_KEY}\"}}");
    let url = format!("http://{}/api/sync/check", rig.address("target"));
    let checked = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let http = http_client(&HttpSettings { proxy: None, ..HttpSettings::default() }).unwrap();
        let answer = http.post(url).body(body).send().await.unwrap();
        answer.text().await.unwrap()
    });
    wait_until("spans have arrived", || collector.spans().len() > 10);

    let pids = [rig.agent("source").pid(), rig.agent("target").pid(), rig.worker(0).pid()];
    let command_lines = pids.map(|pid| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap()).concat();
    let traces = serde_json::to_vec(&collector.spans()).unwrap();
    let shown = [
        ("a command line", command_lines),
        ("Redis", dump(&rig)),
        ("a trace", traces),
        ("an answer", checked.into_bytes()),
    ];
    for secret in secrets {
        let mut found = Vec::new();
        found_below(rig.folder.path(), secret, &mut found);
        found.extend(shown.iter().filter(|(_, bytes)| contains(bytes, secret)).map(|(what, _)| (*what).to_owned()));
        assert!(found.is_empty(), "{secret:?} shows in {found:?}");
    }
    assert!(contains(&shown[1].1, "job done"), "what is looked through holds something");
}
