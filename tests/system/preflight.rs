//! What is wrong is said before anything is enqueued: in words, with the documented exit code, and nothing is written.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::support::{Act, KEY, Rig, documents_in, small};

/// Refused commands leave no run and no document.
fn assert_nothing_happened(rig: &Rig) {
    assert_eq!(rig.redis.live_runs(), Vec::<String>::new());
    assert_eq!(documents_in(&rig.target()), 0);
    assert_eq!(rig.commits("target"), 0);
}

#[test]
fn options_that_are_not_there_yet_are_usage_errors_and_write_nothing() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let not_yet: &[&[&str]] = &[
        &["--mirror", "--time-limit", "1h"],
        &["--state", "1"],
        &["--resources", "nonsense"],
        &["--batch-size", "0"],
        &["--window", "300"],
        &["--no-such-option"],
    ];
    for options in not_yet {
        let push = rig.run(&[&["push", "target"], *options].concat()).expect_code(2);
        let said = push.stdout.clone() + &push.stderr;
        assert!(options.iter().any(|word| said.contains(word)), "{options:?} is not named: {push:#?}");
    }
    assert_nothing_happened(&rig);
}

#[test]
fn what_the_config_does_not_allow_is_refused() {
    let mut rig = Rig::new(&small());
    let config = rig.config();
    let text = std::fs::read_to_string(&config).unwrap();
    let forbidden = rig.folder.path().join("forbidden.toml");
    std::fs::write(&forbidden, text.replace("push = true\npull = true\n", "")).unwrap();
    let push = rig.run_with(&forbidden, &["push", "target"]).expect_code(4);
    assert_eq!(push.error().0, "refused");
    push.says(&["push = true", "[instance.target]"]);
    rig.run_with(&forbidden, &["pull", "target"]).expect_code(4).says(&["pull = true", "[instance.target]"]);
    assert_nothing_happened(&rig);
}

#[test]
fn names_that_nobody_has_are_answered_with_those_there_are() {
    let mut rig = Rig::new(&small());
    rig.run(&["push", "prodution"]).expect_code(2).says(&["prodution", "target"]);
    rig.run(&["push", "source"]).expect_code(2).says(&["local"]);
    rig.run(&["push", "target", "--models", "post"]).expect_code(2).says(&["\"post\"", "authors, pagestree, posts"]);
    rig.run(&["push", "target", "--resources", "content"]).expect_code(2).says(&["no model", "add models"]);
    assert_nothing_happened(&rig);
}

#[test]
fn a_config_that_is_missing_or_wrong_is_named() {
    let mut rig = Rig::new(&small());
    let nowhere = rig.folder.path().join("nowhere.toml");
    rig.run_with(&nowhere, &["push", "target"]).expect_code(2).says(&["nowhere.toml", "does not exist"]);
    let wrong = rig.folder.path().join("wrong.toml");
    std::fs::write(&wrong, "local = 'a'\n[instance.a]\npth = 'x'\n").unwrap();
    rig.run_with(&wrong, &["status"]).expect_code(2).says(&["wrong.toml", "pth"]);
}

#[test]
fn a_redis_that_is_not_there_is_unreachable() {
    let mut rig = Rig::new(&small());
    let config = rig.config_at("no-redis", "redis://127.0.0.1:1", &[]);
    let push = rig.run_with(&config, &["push", "target"]).expect_code(5);
    assert_eq!(push.error().0, "unreachable");
    assert!(push.error().1.to_lowercase().contains("redis"), "{push:#?}");
}

#[test]
fn a_wrong_key_is_told_from_a_missing_agent() {
    let mut rig = Rig::new(&small());
    let config = rig.config();
    let text = std::fs::read_to_string(&config).unwrap();
    let wrong = rig.folder.path().join("wrong-key.toml");
    std::fs::write(&wrong, text.replace(KEY, "another key, as long as that one")).unwrap();
    // Beyond what is looked at of somebody without a key, too.
    let own = rig.folder.path().join("agent.toml");
    std::fs::write(&own, "[agent]\nfailed_attempts = \"1/h\"\n").unwrap();
    rig.start_agent_with("target", &["--config", own.to_str().unwrap()]);
    for said in ["the key is not known here", "tried too often"] {
        let push = rig.run_with(&wrong, &["push", "target"]).expect_code(4);
        push.says(&["does not accept our sync key", "sync_key", "target", said]);
        assert!(!push.stdout.contains("another key"), "a key is shown: {push:#?}");
    }
    assert_nothing_happened(&rig);
    rig.start_worker();
    rig.run(&["push", "target"]).expect_code(0);
}

#[test]
fn nothing_listening_is_unreachable_and_names_both_ends_when_both_are_away() {
    let mut rig = Rig::new(&small());
    let away = rig.config_with("away", &[("target", "127.0.0.1:1")]);
    let push = rig.run_with(&away, &["push", "target"]).expect_code(5);
    push.says(&["nothing answers for target", "is its agent running"]);
    let both = rig.config_with("both-away", &[("target", "127.0.0.1:1"), ("source", "127.0.0.1:1")]);
    rig.run_with(&both, &["push", "target"]).expect_code(5).says(&["for target", "for source"]);
    assert_nothing_happened(&rig);
}

#[test]
fn a_web_server_that_is_no_agent_is_recognised_and_never_believed() {
    let mut rig = Rig::new(&small());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _asked = stream.read(&mut [0; 4096]);
            let page = "<html><title>Welcome to nginx!</title></html>";
            let length = page.len();
            let _sent = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}"
            );
        }
    });
    let config = rig.config_with("web-server", &[("target", &address)]);
    let push = rig.run_with(&config, &["push", "target"]).expect_code(5);
    push.says(&["is not its agent", "Welcome to nginx!"]);
    assert_nothing_happened(&rig);
}

#[test]
fn cockpits_own_empty_404_is_recognised() {
    let mut rig = Rig::new(&small());
    let proxy = rig.proxy("target");
    proxy.set(|_| Act::Answer("404 Not Found", "", ""));
    let config = rig.config_with("cockpit", &[("target", &proxy.address())]);
    rig.run_with(&config, &["push", "target"]).expect_code(5).says(&["as Cockpit itself answers"]);
    assert_nothing_happened(&rig);
}

#[test]
fn source_and_target_at_one_instance_are_refused() {
    let mut rig = Rig::new(&small());
    let source = rig.address("source");
    let config = rig.config_with("same", &[("target", &source)]);
    rig.run_with(&config, &["push", "target"]).expect_code(2).says(&["same instance", "source", "target"]);
    assert_nothing_happened(&rig);
}

#[test]
fn cockpits_own_sync_lock_is_respected() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let lock = rig.target().join("storage/tmp/sync.lock");
    std::fs::write(&lock, "").unwrap();
    let push = rig.push().expect_code(4);
    push.says(&["sync.lock", "remove that file"]);
    assert_nothing_happened(&rig);
    assert!(lock.exists(), "somebody else's lock was removed");
    std::fs::remove_file(&lock).unwrap();
    rig.push().expect_code(0);
    rig.assert_equal();
}

#[test]
fn without_a_worker_a_push_says_so_soon_and_leaves_nothing_behind() {
    let mut rig = Rig::new(&small());
    let push = rig.spawn(&["push", "target", "--worker-timeout", "4"]).wait().expect_code(5);
    assert!(push.stderr.contains("no worker that is alive knows source and target"), "{push:#?}");
    push.says(&["no worker", "nothing was written", "cockpit-sync worker"]);
    assert_nothing_happened(&rig);

    // A worker that comes later finds nothing to do.
    rig.start_worker();
    rig.push().expect_code(0);
    rig.assert_equal();
}

#[test]
fn a_push_without_a_worker_says_so_within_three_seconds() {
    let mut rig = Rig::new(&small());
    let push = rig.spawn(&["push", "target", "--worker-timeout", "60"]);
    crate::support::wait_until("the run is there", || !rig.redis.live_runs().is_empty());
    let begun = std::time::Instant::now();
    crate::support::wait_until("it says that no worker is there", || push.stderr().contains("no worker"));
    assert!(begun.elapsed() < std::time::Duration::from_secs(3), "it took {:?}", begun.elapsed());
    // And goes on as soon as there is one.
    rig.start_worker();
    push.wait().expect_code(0);
    rig.assert_equal();
}

#[test]
fn a_worker_that_does_not_know_the_target_does_not_count() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.add_empty("other");
    let push = rig.run(&["push", "other", "--worker-timeout", "2"]).expect_code(5);
    assert!(push.stderr.contains("no worker that is alive knows"), "{push:#?}");
    assert_eq!(documents_in(&rig.root("other")), 0);
}

#[test]
fn an_agent_that_takes_no_writes_is_respected_from_the_start() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.agent("target").kill();
    rig.start_agent_with("target", &["--read-only"]);
    rig.push().expect_code(4).says(&["target", "no writes", "read_only"]);
    assert_nothing_happened(&rig);
}

#[test]
fn models_that_the_targets_agent_does_not_allow_are_not_written() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.agent("target").kill();
    let config = rig.folder.path().join("agent.toml");
    std::fs::write(&config, "[agent]\nmodels = [\"authors\"]\n").unwrap();
    rig.start_agent_with("target", &["--config", config.to_str().unwrap()]);
    let push = rig.push();
    assert_eq!(push.code, 1, "{push:#?}");
    let why = push.json()["error"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains("target") && why.contains("allow"), "it does not say why: {push:#?}");
    assert_eq!(crate::support::Count::of(&rig.target()).posts, 0);
}

#[test]
fn a_model_of_which_the_source_lets_nobody_read_the_content_fails_the_push_by_name_and_is_not_written() {
    let mut rig = Rig::new(&small());
    let config = rig.folder.path().join("agent.toml");
    std::fs::write(&config, "[agent]\nread_models = [\"authors\", \"pagestree\", \"settings\"]\n").unwrap();
    rig.agent("source").kill();
    rig.start_agent_with("source", &["--config", config.to_str().unwrap()]);
    rig.start_worker();
    let push = rig.push().expect_code(1);
    let error = push.json()["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("source: posts is not among the models whose content"), "{error}");
    assert_eq!(crate::support::Count::of(&rig.target()).posts, 0);
}

#[test]
fn a_singleton_that_the_source_lets_nobody_read_is_not_passed_over_in_silence() {
    let mut rig = Rig::new(&small());
    let config = rig.folder.path().join("agent.toml");
    std::fs::write(&config, "[agent]\nread_models = [\"posts\", \"authors\", \"pagestree\"]\n").unwrap();
    rig.agent("source").kill();
    rig.start_agent_with("source", &["--config", config.to_str().unwrap()]);
    rig.start_worker();
    // Into an empty target, and once it holds everything else.
    for _ in 0..2 {
        let push = rig.push().expect_code(1);
        let error = push.json()["error"].as_str().unwrap().to_owned();
        assert!(error.starts_with("source: settings is not among the models whose content"), "{error}");
    }
    let rest = rig.run(&["push", "target", "--models", "posts,authors,pagestree"]);
    assert_eq!(rest.json()["verified"], true, "{rest:#?}");
}

#[test]
fn a_clock_that_is_wrong_is_said_and_harms_nothing() {
    let mut rig = Rig::with_clocks(&small());
    let Some(clocks) = rig.clocks.clone() else {
        eprintln!("skipped: clocks cannot be set here");
        return;
    };
    rig.start_worker();
    clocks.shift("agent-target", 3600);
    let push = rig.run(&["push", "target"]).expect_code(0);
    let says = ["the clock of target is 3", " s ahead of ours: set one of them right"];
    assert!(says.iter().all(|words| push.stderr.contains(words)), "{push:?}");
    rig.assert_equal();
}
