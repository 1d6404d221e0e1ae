//! The documented shapes of what commands print with `--json`.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Rig, TestRedis, documents_in, small, wait_for, wait_until};

#[track_caller]
fn assert_has(value: &Value, keys: &[&str]) {
    let object = value.as_object().unwrap_or_else(|| panic!("not an object: {value}"));
    for key in keys {
        assert!(object.contains_key(*key), "{key} is missing in {value}");
    }
}

const RUN: &[&str] =
    &["run", "direction", "source", "target", "state", "verified", "counts", "resources", "bytes", "seconds"];

#[track_caller]
fn assert_is_a_run(value: &Value) {
    assert_has(value, RUN);
    assert_has(&value["counts"], &["created", "updated", "unchanged", "deleted", "held"]);
    for models in value["resources"].as_object().unwrap().values() {
        for counts in models.as_object().unwrap().values() {
            assert_has(counts, &["created", "updated", "unchanged", "deleted", "held"]);
        }
    }
}

#[test]
fn push_show_runs_and_status_print_runs_in_the_documented_shape() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let push = rig.push().expect_code(0).json();
    assert_is_a_run(&push);
    assert_eq!(push["direction"], "push");
    assert_eq!((push["source"].as_str(), push["target"].as_str()), (Some("source"), Some("target")));
    assert!(push["bytes"].as_u64().unwrap() > 100_000);
    assert!(push["seconds"].as_f64().unwrap() > 0.0);

    let run = push["run"].as_str().unwrap().to_owned();
    let end = run[run.len() - 12..].to_owned();
    for name in [&run, &end, "last", "target"] {
        let show = rig.run(&["show", name]).expect_code(0).json();
        assert_is_a_run(&show);
        assert_eq!(show["run"], run.as_str());
        assert_eq!(show["counts"], push["counts"]);
    }
    let held = rig.run(&["show", "last", "--held"]).expect_code(0).json();
    assert_eq!((held["notes"].as_array(), held["dead"].as_array()), (Some(&vec![]), Some(&vec![])));

    let runs = rig.run(&["runs"]).expect_code(0).json();
    assert_eq!(runs.as_array().unwrap().len(), 1);
    assert_is_a_run(&runs[0]);

    let status = rig.run(&["status"]).expect_code(0).json();
    assert_has(&status, &["syncing", "workers", "depth", "targets"]);
    assert_eq!((status["syncing"].as_bool(), status["workers"].as_u64()), (Some(false), Some(1)));
    let targets = status["targets"].as_array().unwrap();
    let of_target = targets.iter().find(|entry| entry["target"] == "target").unwrap();
    assert_is_a_run(&of_target["lastSync"]);
    assert!(of_target["holder"].is_null() && of_target["waiting"].as_array().unwrap().is_empty());
    assert_has(&of_target["depth"], &["backlog", "ready", "claimed", "delayed", "dead"]);

    let watch = rig.run(&["watch", "last"]).expect_code(0).json();
    assert_eq!(watch["run"], run.as_str());
    let explain = rig.run(&["explain", "last"]).expect_code(0).json();
    assert_eq!(
        (explain["run"].as_str(), explain["explanation"].as_str()),
        (Some(run.as_str()), Some("it is finished"))
    );
}

#[test]
fn while_a_run_is_at_work_status_shows_who_holds_the_target_and_how_far_it_is() {
    let (mut rig, _proxy, gate, push) = Rig::held_push(&["--concurrency", "2"], |proxy| proxy.hold("write", 3), 1);
    let status = rig.run(&["status", "target"]).expect_code(0).json();
    assert_eq!(status["syncing"], true);
    let holder = &status["targets"][0]["holder"];
    assert_is_a_run(holder);
    assert_eq!((holder["state"].as_str(), holder["source"].as_str()), (Some("running"), Some("source")));
    let depth = &status["targets"][0]["depth"];
    let left = ["backlog", "ready", "claimed", "delayed"].iter().map(|place| depth[place].as_u64().unwrap());
    assert!(left.sum::<u64>() > 0, "{status}");
    gate.open();
    push.wait().expect_code(0);
}

#[test]
fn the_numbers_of_status_are_those_of_redis_and_watch_prints_them_again_and_again() {
    let mut rig = Rig::new(&small());
    let proxy = rig.proxy("target");
    let worker = rig.start_worker_through(&proxy, &["--concurrency", "3"]);
    let pid = rig.worker(worker).pid();
    let gate = proxy.hold_posts(3);
    let push = rig.spawn(&["push", "target", "--batch-size", "50", "--window", "5"]);
    gate.wait_for(3);
    // All three slots stand at the gate. What had been done before may still be on its way to Redis; then nothing moves.
    let truth = wait_for("nothing else moves", || {
        let places = places_of(&rig.redis);
        (places["claimed"] == 3).then_some(places)
    });
    let status = rig.run(&["status", "target"]).expect_code(0).json();
    let target = &status["targets"][0];
    for (place, count) in &truth {
        assert_eq!(target["depth"][place].as_u64(), Some(*count), "{place}: {status:#}");
    }
    assert!(truth["backlog"] > 0 && target["depth"]["oldest_seconds"].as_f64() > Some(0.0), "{status:#}");
    let holds = status["alive"][0]["holds"].as_array().unwrap();
    assert_eq!((status["alive"][0]["pid"].as_u64(), holds.len()), (Some(pid.into()), 3));
    assert!(holds.iter().all(|held| held["kind"] == "batch" && held["run"] == target["holder"]["run"]), "{status:#}");
    assert_eq!(target["window"]["most"], 5);
    assert!(target["lease"]["seconds"].as_f64().is_some() && target["lease"]["renewals"].as_u64().is_some());
    let progress = &target["progress"];
    let (done, total) = (target["holder"]["items"].as_u64(), target["holder"]["items_total"].as_u64());
    assert_eq!(progress["about_items_left"].as_u64(), Some(total.unwrap() - done.unwrap()));
    assert!(progress["items_per_second"].as_f64().unwrap() > 0.0 && progress["eta_seconds"].as_f64().unwrap() > 0.0);

    let mut watch = rig.spawn(&["status", "target", "--watch", "--interval", "0.1"]);
    wait_until("two lines", || watch.stdout().lines().count() >= 2);
    gate.open();
    push.wait().expect_code(0);
    wait_until("the watch sees the end", || {
        let last = watch.stdout();
        let last = last.lines().next_back().and_then(|line| serde_json::from_str::<Value>(line).ok());
        last.is_some_and(|status| status["syncing"] == false && status["depth"]["claimed"] == 0)
    });
    watch.signal(Signal::SIGINT);
    wait_until("the watch ends", || watch.ended().is_some());
    assert_eq!(watch.ended(), Some(0));
}

/// How many jobs of the run that holds `target` are where, read from Redis itself.
fn places_of(redis: &TestRedis) -> BTreeMap<&'static str, u64> {
    let mut connection = redis.connection();
    let stream = "{cs}:target:target:jobs";
    let run: String = redis::cmd("HGET").arg("{cs}:target:target:lease").arg("run").query(&mut connection).unwrap();
    let mut count = |command: &str, key: &str| -> u64 { redis::cmd(command).arg(key).query(&mut connection).unwrap() };
    let of_run = |what: &str| format!("{{cs}}:run:{run}:{what}");
    let backlog = (0..9).map(|stage| count("LLEN", &of_run(&format!("backlog:{stage}")))).sum();
    let (delayed, dead) = (count("ZCARD", &of_run("delayed")), count("LLEN", &of_run("dead")));
    let length = count("XLEN", stream);
    let (claimed, ..): (u64, redis::Value, redis::Value, redis::Value) =
        redis::cmd("XPENDING").arg(stream).arg("workers").query(&mut connection).unwrap();
    let places = [("backlog", backlog), ("ready", length - claimed), ("claimed", claimed), ("delayed", delayed)];
    places.into_iter().chain([("dead", dead)]).collect()
}

#[test]
fn check_tells_who_is_there() {
    let mut rig = Rig::new(&small());
    let check = rig.run(&["check"]).expect_code(0).json();
    let source = &check[0];
    assert_eq!((source["instance"].as_str(), source["success"].as_bool()), (Some("source"), Some(true)));
    assert_has(source, &["id", "version", "agent", "models", "locales", "assets", "folders", "grant", "sync_lock"]);
    assert_eq!(source["models"].as_array().unwrap().len(), 4);
    assert_ne!(check[0]["id"], check[1]["id"]);

    rig.agent("target").kill();
    let check = rig.run(&["check", "target"]).expect_code(5).json();
    assert_eq!((check[0]["success"].as_bool(), check[0]["error"]["code"].as_str()), (Some(false), Some("unreachable")));
    rig.run(&["check", "nobody"]).expect_code(2);
}

#[test]
fn workers_lists_those_that_are_alive_and_forgets_those_that_are_not() {
    let mut rig = Rig::new(&small());
    assert_eq!(rig.run(&["workers"]).expect_code(0).json().as_array().unwrap().len(), 0);
    rig.start_worker();
    rig.start_worker();
    let workers = rig.run(&["workers"]).expect_code(0).json();
    assert_eq!(workers.as_array().unwrap().len(), 2);
    assert_has(&workers[0], &["worker", "host", "pid", "version", "instances", "slots", "held", "since", "seen"]);
    assert_eq!(workers[0]["instances"], serde_json::json!(["source", "target"]));
    rig.worker(0).kill();
    wait_until("the killed one is forgotten", || rig.redis.workers().len() == 1);
}

#[test]
fn a_detached_push_prints_the_run_and_the_workers_do_it() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let documents = documents_in(&rig.source());
    let detached = rig.run(&["push", "target", "--detach"]).expect_code(0).json();
    assert_has(&detached, RUN);
    let run = detached["run"].as_str().unwrap();
    let watch = rig.run(&["watch", run]).expect_code(0);
    assert_eq!(watch.count("created"), documents);
    rig.assert_equal();
}

#[test]
fn what_there_is_not_is_said_with_its_exit_code() {
    let mut rig = Rig::new(&small());
    rig.run(&["show"]).expect_code(6).says(&["no run"]);
    rig.run(&["show", "0199"]).expect_code(6).says(&["no run 0199"]);
    rig.run(&["watch", "0199"]).expect_code(6);
    rig.run(&["cancel", "0199"]).expect_code(6);
    rig.run(&["retry", "0199"]).expect_code(6);
    rig.run(&["unlock", "nobody"]).expect_code(2).says(&["nobody"]);
    rig.start_worker();
    rig.push().expect_code(0);
    rig.run(&["cancel", "last"]).expect_code(4).says(&["over already"]);
}

#[test]
fn without_json_people_get_words_and_tables() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let documents = documents_in(&rig.source()).to_string();
    let push = rig.run_for_people(&["push", "target"]).expect_code(0);
    for words in ["content posts", "push source -> target: finished", "verified equal", &documents] {
        assert!(push.stdout.contains(words), "{words:?} is missing in {}", push.stdout);
    }
    assert_eq!(push.stderr, "", "a push that went well has nothing else to say");
    let said: &[(&[&str], &[&str])] = &[
        (&["status"], &["target", "idle", "finished", "1 workers alive"]),
        (&["runs"], &["push source -> target", "finished"]),
        (&["show"], &["content", "verified equal"]),
        (&["show", "--held"], &["content"]),
        (&["explain"], &["it is finished"]),
        (&["watch"], &["finished"]),
        (&["events"], &["sync.run.started", "sync.push.finished", "source -> target"]),
        (&["check"], &["source: ok", "target: ok", "4 models"]),
        (&["workers"], &["source, target"]),
    ];
    for (command, words) in said {
        let output = rig.run_for_people(command).expect_code(0);
        for word in *words {
            assert!(output.stdout.contains(word), "{word:?} is missing in what {command:?} says:\n{}", output.stdout);
        }
    }
    let refused = rig.run_for_people(&["push", "nobody"]).expect_code(2);
    assert!(refused.stderr.starts_with("cockpit-sync: ") && refused.stdout.is_empty(), "{refused:#?}");
}

#[test]
fn a_push_left_with_ctrl_c_goes_on_and_can_be_watched() {
    let (mut rig, _proxy, gate, push) = Rig::held_push(&[], |proxy| proxy.hold("write", 8), 1);
    let documents = documents_in(&rig.source());
    let run = rig.redis.live_runs().remove(0);
    push.signal(nix::sys::signal::Signal::SIGINT);
    push.wait().expect_code(6).says(&[&run, "goes on", "cockpit-sync watch"]);
    gate.open();
    assert_eq!(rig.run(&["watch", &run]).expect_code(0).count("created"), documents);
    rig.assert_equal();
}
