//! What no worker can read is buried with its reason, and the run goes on (I11).

use serde_json::json;

use crate::support::{Rig, TestRedis, documents_in, wait_until};

/// An entry in the stream of `target`; a job's is named by the turn in which it is handed out.
pub fn add(redis: &TestRedis, name: &str, value: &[u8]) {
    let mut command = redis::cmd("XADD");
    command.arg("{cs}:target:target:jobs").arg("*").arg(name).arg(value);
    command.exec(&mut redis.connection()).unwrap();
}

/// The run that holds `target`, and what names its entries: run, lease and a fence, which is left empty.
pub fn turn_of_target(redis: &TestRedis) -> (String, String) {
    let mut held = redis::cmd("HMGET");
    held.arg("{cs}:target:target:lease").arg("run").arg("id");
    let (run, lease): (String, String) = held.query(&mut redis.connection()).unwrap();
    let turn = format!("{run}\n{lease}\n");
    (run, turn)
}

#[test]
fn an_entry_that_is_no_job_is_buried_raw_and_the_run_goes_on() {
    let (mut rig, _proxy, gate, push) = Rig::held_push(&["--concurrency", "2"], |proxy| proxy.hold_posts(2), 1);
    let documents = documents_in(&rig.source());
    add(&rig.redis, "nonsense", b"\xff\x00");
    gate.open();

    let push = push.wait().expect_code(3);
    assert_eq!(push.count("created"), documents, "{push:#?}");
    let dead = rig.run(&["show", "last", "--held"]).expect_code(0).json()["dead"].clone();
    assert_eq!(dead.as_array().map(Vec::len), Some(1), "{dead}");
    assert!(dead[0]["error"].as_str().unwrap().contains("entry"), "{dead}");
    rig.assert_equal();
    rig.push().expect_code(0);
}

#[test]
fn a_job_whose_payload_is_garbage_is_buried_with_its_reason_and_the_run_goes_on() {
    let (mut rig, _proxy, gate, push) = Rig::held_push(&["--concurrency", "2"], |proxy| proxy.hold_posts(2), 1);
    let documents = documents_in(&rig.source());
    let (_, turn) = turn_of_target(&rig.redis);
    let job = b"stray\n6\nbatch\n0\n0\n\xc1 this is no MessagePack";
    add(&rig.redis, &turn, job);
    gate.open();

    let push = push.wait().expect_code(3);
    assert_eq!(push.count("created"), documents, "{push:#?}");
    let dead = rig.run(&["show", "last", "--held"]).expect_code(0).json()["dead"].clone();
    assert_eq!((dead[0]["job"].as_str(), dead[0]["kind"].as_str()), (Some("stray"), Some("batch")), "{dead}");
    assert!(dead[0]["error"].as_str().unwrap().contains("not a job payload"), "{dead}");
    rig.assert_equal();
    rig.push().expect_code(0);
}

#[test]
fn a_job_of_a_newer_version_is_left_for_a_worker_that_knows_it_and_explain_says_so() {
    let (mut rig, _proxy, gate, push) = Rig::held_push(&["--concurrency", "2"], |proxy| proxy.hold_posts(2), 1);
    let worker = 0;
    let (run, turn) = turn_of_target(&rig.redis);
    // {"v": 2, "job": "teleport"}
    let job = b"newer\n5\nteleport\n0\n0\n\x82\xa1v\x02\xa3job\xa8teleport";
    add(&rig.redis, &turn, job);
    gate.open();

    let explained = |rig: &mut Rig| rig.run(&["explain", "last"]).stdout;
    wait_until("nothing else is left of the stage", || explained(&mut rig).contains("a newer worker is needed"));
    let shown = rig.run(&["show", "last"]).expect_code(0).json();
    let depth = (&shown["stage"], &shown["depth"]["delayed"], &shown["depth"]["claimed"], &shown["dead_jobs"]);
    assert_eq!(depth, (&json!("content"), &json!(1), &json!(0), &json!(0)));
    // It was given to a worker once, and no attempt was counted.
    assert_eq!(rig.worker(worker).stderr().matches("a newer worker is needed").count(), 1);
    let delayed: Vec<Vec<u8>> = redis::cmd("ZRANGE")
        .arg(format!("{{cs}}:run:{run}:delayed"))
        .arg(0)
        .arg(-1)
        .query(&mut rig.redis.connection())
        .unwrap();
    assert!(delayed[0].starts_with(b"newer\n5\nteleport\n0\n0\n"), "{delayed:?}");
    rig.run(&["cancel", "target"]).expect_code(0);
    push.wait().expect_code(6);
}
