//! A Redis that restarts, loses its data, or is one of two.

use instances::{edit_item, ids};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Rig, TestRedis, documents_in, small, wait_until};

#[test]
fn a_redis_that_is_killed_and_started_again_in_the_middle_does_not_end_a_run() {
    let (mut rig, _proxy, gate, push) = Rig::held_push(&[], |proxy| proxy.hold("write", 8), 1);
    let documents = documents_in(&rig.source());
    rig.redis.kill();
    gate.open();
    wait_until("the command says what it waits for", || push.stderr().contains("waiting for Redis"));
    rig.redis.restart();
    let push = push.wait().expect_code(0);
    assert_eq!((push.count("created"), push.count("unchanged")), (documents, 0));
    assert_eq!(push.json()["dead_jobs"], 0);
    rig.assert_equal();
}

#[test]
fn a_redis_that_is_restarted_in_good_order_does_not_end_a_run() {
    let (mut rig, _proxy, gate, push) = Rig::held_push(&[], |proxy| proxy.hold("write", 8), 1);
    let documents = documents_in(&rig.source());
    rig.redis.stop();
    rig.redis.restart();
    gate.open();
    assert_eq!(push.wait().expect_code(0).count("created"), documents);
    rig.assert_equal();
}

#[test]
fn after_a_flush_the_command_says_so_and_pushing_again_sends_only_what_is_missing() {
    let (mut rig, _proxy, gate, push) = Rig::held_push(&["--concurrency", "1"], |proxy| proxy.hold("write", 12), 1);
    let stale = 0;
    let documents = documents_in(&rig.source());
    rig.worker(stale).signal(Signal::SIGSTOP);
    let before = documents_in(&rig.target());
    assert!(before > 0 && before < documents, "{before} of {documents}");
    rig.redis.flush_all();
    let push = push.wait().expect_code(6);
    assert_eq!(push.error().0, "lost");
    push.says(&["Redis does not know it any more", "again is safe"]);

    rig.start_worker();
    let again = rig.push().expect_code(0);
    assert_eq!((again.count("created"), again.count("unchanged")), (documents - before, before));
    rig.assert_equal();

    // The worker of the lost run wakes: its grant is not the open one, nothing of it lands.
    for id in ids(&rig.target(), "content/collections/posts").unwrap() {
        edit_item(&rig.target(), "posts", &id, |post| post["title"] = json!("The editor's")).unwrap();
    }
    let commits = rig.commits("target");
    rig.worker(stale).signal(Signal::SIGCONT);
    gate.open();
    assert_eq!(gate.answers(), [409]);
    assert_eq!(rig.commits("target"), commits);
}

#[test]
fn after_a_flush_a_worker_gives_the_grant_of_the_lost_run_back() {
    let (mut rig, proxy, gate, push) = Rig::held_push(&[], |proxy| proxy.hold("write", 8), 1);
    rig.redis.flush_all();
    push.wait().expect_code(6);
    wait_until("no grant is open", || rig.run(&["check", "target"]).json()[0]["grant"].is_null());
    gate.open();
    assert!(gate.answers().iter().all(|status| *status == 409), "{:?}", gate.answers());
    proxy.pass_all();
    rig.push().expect_code(0);
    rig.assert_equal();
}

#[test]
fn of_two_redis_servers_with_one_target_the_second_is_told_who_holds_the_grant() {
    let (mut rig, _proxy, gate, first) = Rig::held_push(&[], |proxy| proxy.hold("write", 8), 1);

    let other = TestRedis::start();
    let config = rig.config_at("other", &other.url(), &[]);
    let refused = rig.run_with(&config, &["push", "target", "--if-busy", "refuse"]).expect_code(4);
    let run = rig.redis.live_runs().remove(0);
    refused.says(&[&run, "push source -> target", "another Redis", "since", "documents"]);
    assert!(other.live_runs().is_empty());

    gate.open();
    first.wait().expect_code(0);
    rig.assert_equal();
}

#[test]
fn a_run_of_another_redis_waits_until_the_grant_is_given_back() {
    let (mut rig, _proxy, gate, first) = Rig::held_push(&[], |proxy| proxy.hold("write", 8), 1);
    let documents = documents_in(&rig.source());

    let other = TestRedis::start();
    let config = rig.config_at("other", &other.url(), &[]);
    let mut worker = crate::support::cockpit_sync();
    worker.arg("--config").arg(&config).arg("worker");
    let _worker = crate::support::Process::start(&mut worker, rig.folder.path(), "worker-of-other");
    let mut second = rig.spawn_with(&config, &["push", "target"]);
    wait_until("it is told who holds the target", || second.stderr().contains("push source -> target"));
    assert_eq!(second.ended(), None);
    gate.open();
    assert_eq!(first.wait().expect_code(0).count("created"), documents);
    let second = second.wait().expect_code(0);
    assert_eq!((second.count("created"), second.count("unchanged")), (0, documents));
    rig.assert_equal();
}

#[test]
fn a_full_redis_finishes_the_run_it_has() {
    let (mut rig, _proxy, gate, push) = Rig::held_push(&[], |proxy| proxy.hold_posts(2), 1);
    let documents = documents_in(&rig.source());
    rig.redis.limit_memory("1mb");
    gate.open();
    let push = push.wait().expect_code(0);
    assert_eq!((push.count("created"), push.json()["dead_jobs"].as_u64()), (documents, Some(0)));
    rig.assert_equal();
    rig.redis.limit_memory("0");
    rig.push().expect_code(0);
}

#[test]
fn a_full_redis_refuses_a_push_in_words() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.redis.limit_memory("1mb");
    rig.push().expect_code(4).says(&["redis is full"]);
    assert_eq!(documents_in(&rig.target()), 0);
    rig.redis.limit_memory("0");
    rig.push().expect_code(0);
    rig.assert_equal();
}
