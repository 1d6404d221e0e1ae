//! Two versions side by side: runs that an older version left in Redis, and jobs and runs of a newer one. What Redis held of
//! a run that waits is recorded in tests/fixtures/wire/waiting_push.txt, a command a line, as whoever fills an empty Redis
//! with it would type them. The file is never changed: it is the older version.
//! `RECORD_WIRE=1 cargo test --test system versions` records one where there is none.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use queue::{
    BoxFuture, ClaimedJob, Consumer, ConsumerSettings, Handler, JobContext, Outcome, Queue, Settings, Verdict,
};
use redis::{Connection, Value as Answer};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::stray_jobs::{add, turn_of_target};
use crate::support::{Rig, TestRedis, small, wait_until};

/// Instead of the instances' ids, which are as long.
const SOURCE: &str = "source-source-source-source-sour";
const TARGET: &str = "target-target-target-target-targ";

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wire").join(name)
}

fn is_recording(name: &str) -> bool {
    std::env::var_os("RECORD_WIRE").is_some() && !fixture(name).exists()
}

/// All that Redis holds, as commands.
fn commands(redis: &mut Connection) -> Vec<Vec<Vec<u8>>> {
    let mut keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(redis).unwrap();
    keys.sort();
    let ask = |redis: &mut Connection, words: &[&[u8]]| {
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query::<Answer>(redis).unwrap()
    };
    let mut commands = Vec::new();
    for key in keys {
        let kind: String = redis::cmd("TYPE").arg(&key).query(redis).unwrap();
        let begin = |name: &str| vec![name.as_bytes().to_vec(), key.clone()];
        let (name, held) = match kind.as_str() {
            "string" => ("SET", ask(redis, &[b"GET", &key])),
            "hash" => ("HSET", ask(redis, &[b"HGETALL", &key])),
            "list" => ("RPUSH", ask(redis, &[b"LRANGE", &key, b"0", b"-1"])),
            "set" => ("SADD", ask(redis, &[b"SMEMBERS", &key])),
            "zset" => ("ZADD", ask(redis, &[b"ZRANGE", &key, b"0", b"-1", b"WITHSCORES"])),
            "stream" => {
                let entries: Vec<(Vec<u8>, Vec<Vec<u8>>)> =
                    redis::cmd("XRANGE").arg(&key).arg("-").arg("+").query(redis).unwrap();
                if key.ends_with(b":jobs") {
                    let group: [&[u8]; 5] = [b"XGROUP", b"CREATE", &key, b"workers", b"0"];
                    let made = group.iter().map(|word| word.to_vec()).chain([b"MKSTREAM".to_vec()]);
                    commands.push(made.collect());
                }
                commands.extend(entries.into_iter().map(|(id, fields)| [begin("XADD"), vec![id], fields].concat()));
                continue;
            }
            other => panic!("nobody knows how to record a {other}"),
        };
        let mut words: Vec<Vec<u8>> = match held {
            Answer::BulkString(one) => vec![one],
            many => redis::from_redis_value(many).unwrap(),
        };
        if name == "ZADD" {
            words.as_chunks_mut::<2>().0.iter_mut().for_each(|pair| pair.reverse());
        }
        commands.push([begin(name), words].concat());
    }
    commands
}

/// One word of a command: bytes that are no plain letters as `\xNN`.
fn escaped(word: &[u8]) -> String {
    let one = |byte: &u8| match byte {
        b' ' => "\\x20".to_owned(),
        other => std::ascii::escape_default(*other).to_string(),
    };
    if word.is_empty() { "\"\"".into() } else { word.iter().map(one).collect() }
}

fn unescaped(word: &str) -> Vec<u8> {
    if word == "\"\"" {
        return Vec::new();
    }
    let mut bytes = Vec::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend(before.as_bytes());
        let (byte, length) = match after.as_bytes()[0] {
            b'x' => (u8::from_str_radix(&after[1..3], 16).unwrap(), 3),
            b'n' => (b'\n', 1),
            b'r' => (b'\r', 1),
            b't' => (b'\t', 1),
            other => (other, 1),
        };
        bytes.push(byte);
        rest = &after[length..];
    }
    bytes.extend(rest.as_bytes());
    bytes
}

/// With other names of the instances: a spec and jobs are read by the lengths of what is in them, so these are as long.
fn renamed(word: &[u8], names: &[(&str, &str)]) -> Vec<u8> {
    let mut word = word.to_vec();
    for (from, to) in names {
        assert_eq!(from.len(), to.len());
        while let Some(at) = word.windows(from.len()).position(|window| window == from.as_bytes()) {
            word[at..at + from.len()].copy_from_slice(to.as_bytes());
        }
    }
    word
}

fn instance(rig: &mut Rig, name: &str) -> String {
    rig.run(&["check", name]).expect_code(0).json()[0]["id"].as_str().unwrap().to_owned()
}

/// A push that waits for a worker, as the version that was current then left it in Redis.
fn leave_the_recorded_push(rig: &mut Rig) {
    let ids = [instance(rig, "source"), instance(rig, "target")];
    let mut redis = rig.redis.connection();
    if is_recording("waiting_push.txt") {
        rig.run(&["push", "target", "--batch-size", "50", "--detach"]).expect_code(0);
        let names = &[(ids[0].as_str(), SOURCE), (ids[1].as_str(), TARGET)];
        let line = |words: Vec<Vec<u8>>| {
            let words: Vec<String> = words.iter().map(|word| escaped(&renamed(word, names))).collect();
            format!("{}\n", words.join(" "))
        };
        let text: String = commands(&mut redis).into_iter().map(line).collect();
        std::fs::write(fixture("waiting_push.txt"), text).unwrap();
    }
    rig.redis.flush_all();
    let names = &[(SOURCE, ids[0].as_str()), (TARGET, ids[1].as_str())];
    for line in std::fs::read_to_string(fixture("waiting_push.txt")).unwrap().lines() {
        let mut command = redis::Cmd::new();
        for word in line.split(' ') {
            command.arg(renamed(&unescaped(word), names));
        }
        command.exec(&mut redis).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

/// What is there of `then` is there of `now`, and of the same kind.
fn has_the_shape(now: &Value, then: &Value) -> bool {
    match (now, then) {
        (Value::Object(now), Value::Object(then)) => {
            let is_counter = |name: &str| name.contains('/');
            then.iter()
                .filter(|(name, _)| !is_counter(name))
                .all(|(name, value)| now.get(name).is_some_and(|now| has_the_shape(now, value)))
        }
        _ => std::mem::discriminant(now) == std::mem::discriminant(then),
    }
}

/// One event of each name.
fn by_name(events: Vec<Value>) -> BTreeMap<String, Value> {
    events.into_iter().rev().map(|event| (event["event"].as_str().unwrap().to_owned(), event)).collect()
}

#[test]
fn a_push_that_an_older_version_left_waiting_is_carried_out_and_its_events_say_what_they_did_then() {
    let mut rig = Rig::new(&small());
    leave_the_recorded_push(&mut rig);
    rig.start_worker();
    wait_until("the push is over", || rig.redis.live_runs().is_empty());
    let run = rig.run(&["show", "last"]).expect_code(0).json();
    assert_eq!(run["state"], "finished", "{run:#}");
    rig.assert_equal();

    let now = by_name(rig.run(&["events", "--since", "0"]).expect_code(0).json_lines());
    if is_recording("events.jsonl") {
        let lines: String = now.values().map(|event| format!("{event}\n")).collect();
        std::fs::write(fixture("events.jsonl"), lines).unwrap();
    }
    let recorded = std::fs::read_to_string(fixture("events.jsonl")).unwrap();
    for then in recorded.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let event = now.get(then["event"].as_str().unwrap());
        assert!(event.is_some_and(|now| has_the_shape(now, &then)), "{event:?} was {then}");
    }
    // Whoever brings the rest finds nothing to do.
    rig.push().expect_code(0);
}

/// A payload of jobs.txt.
fn recorded_job(name: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(fixture("jobs.txt")).unwrap();
    let line = text.lines().find(|line| line.split(' ').next() == Some(name)).unwrap();
    hex::decode(line.split(' ').nth(1).unwrap()).unwrap()
}

/// As it lies in a stream.
fn handed_out(id: &str, kind: &str, payload: &[u8]) -> Vec<u8> {
    [format!("{id}\n5\n{kind}\n0\n0\n").as_bytes(), payload].concat()
}

#[test]
fn jobs_as_they_were_recorded_and_jobs_with_fields_of_a_newer_version_are_done_in_a_push() {
    let (mut rig, _proxy, gate, push) = Rig::held_push(&["--concurrency", "2"], |proxy| proxy.hold_posts(2), 1);
    let worker = 0;
    let (_, turn) = turn_of_target(&rig.redis);
    let newer = |mut payload: Vec<u8>| {
        assert_eq!(payload[0], 0x83, "a map of three");
        payload[0] = 0x84;
        [payload, b"\xa8teleport\xa4soon".to_vec()].concat()
    };
    for kind in ["batch", "collection", "embedded"] {
        add(&rig.redis, &turn, &handed_out(&format!("older-{kind}"), kind, &recorded_job(kind)));
        add(&rig.redis, &turn, &handed_out(&format!("newer-{kind}"), kind, &newer(recorded_job(kind))));
    }
    gate.open();

    push.wait().expect_code(0);
    let said = rig.worker(worker).stderr();
    for kind in ["batch", "collection", "embedded"] {
        for version in ["older", "newer"] {
            let job = format!("{version}-{kind}");
            let done = said.lines().filter(|line| line.contains("job done") && line.contains(&job)).count();
            assert_eq!(done, 1, "{job}: {said}");
        }
    }
    rig.assert_equal();
}

/// What waits for a worker of a newer version is given to somebody now, not in half a minute.
fn let_it_be_due(redis: &TestRedis, run: &str) {
    let delayed = format!("{{cs}}:run:{run}:delayed");
    let mut redis = redis.connection();
    let jobs: Vec<Vec<u8>> = redis::cmd("ZRANGE").arg(&delayed).arg(0).arg(-1).query(&mut redis).unwrap();
    for job in jobs {
        redis::cmd("ZADD").arg(&delayed).arg("XX").arg(1).arg(job).exec(&mut redis).unwrap();
    }
}

/// A worker of a newer version: it knows one kind of job more. The others it leaves to the older one here.
struct Newer;

impl Handler for Newer {
    fn handle(&self, job: ClaimedJob, _context: JobContext) -> BoxFuture<'_, Verdict> {
        let verdict = match job.kind.as_str() {
            "teleport" => Verdict::Done(Outcome::default().count("teleported", 1)),
            _ => Verdict::Return { after: None, reason: "left to the other".into() },
        };
        Box::pin(std::future::ready(verdict))
    }
}

#[test]
fn a_job_of_a_kind_that_a_worker_does_not_know_is_left_to_one_that_does_and_the_push_is_finished_by_both() {
    let (mut rig, _proxy, gate, push) = Rig::held_push(&["--concurrency", "2"], |proxy| proxy.hold_posts(2), 1);
    let worker = 0;
    let (run, turn) = turn_of_target(&rig.redis);
    // {"v": 1, "job": {"teleport": {"to": "mars"}}}
    let teleport = b"\x82\xa1v\x01\xa3job\x81\xa8teleport\x81\xa2to\xa4mars";
    add(&rig.redis, &turn, &handed_out("unknown", "teleport", teleport));
    gate.open();
    let mut explained = || rig.run(&["explain", "last"]).stdout;
    wait_until("it waits", || explained().contains("unknown variant `teleport`): a newer worker is needed"));
    assert_eq!(rig.worker(worker).stderr().matches("job parked").count(), 1);

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stop = CancellationToken::new();
    let (queue, _) = runtime.block_on(Queue::connect(Settings::new(rig.redis.url()))).unwrap();
    let newer = Consumer::new(queue, ConsumerSettings::new(["source", "target"]), Arc::new(Newer));
    let newer = runtime.spawn(newer.run(stop.clone()));
    wait_until("the push is over", || {
        let_it_be_due(&rig.redis, &run);
        rig.redis.live_runs().is_empty()
    });
    push.wait().expect_code(0);
    stop.cancel();
    runtime.block_on(newer).unwrap().unwrap();
    let counters: BTreeMap<String, i64> =
        redis::cmd("HGETALL").arg(format!("{{cs}}:run:{run}:counts")).query(&mut rig.redis.connection()).unwrap();
    assert_eq!(counters.get("teleported"), Some(&1), "{counters:?}");
    rig.assert_equal();
}

#[test]
fn a_run_that_says_what_a_worker_does_not_know_waits_for_one_that_does() {
    let mut rig = Rig::new(&small());
    rig.run(&["push", "target", "--detach"]).expect_code(0);
    let run = rig.redis.live_runs().remove(0);
    let key = format!("{{cs}}:run:{run}");
    let spec: Vec<u8> = redis::cmd("HGET").arg(&key).arg("spec").query(&mut rig.redis.connection()).unwrap();
    let set = |rig: &Rig, spec: &[u8]| {
        redis::cmd("HSET").arg(&key).arg("spec").arg(spec).exec(&mut rig.redis.connection()).unwrap();
    };
    set(&rig, &renamed(&spec, &[("hold", "beam")]));
    let worker = rig.start_worker();
    let mut explained = || rig.run(&["explain", "last"]).stdout;
    wait_until("it waits", || explained().contains("unknown variant `beam`): a newer worker is needed"));
    assert!(rig.worker(worker).stderr().contains("job parked"));

    // What a newer worker would read in it.
    set(&rig, &spec);
    wait_until("the push is over", || {
        let_it_be_due(&rig.redis, &run);
        rig.redis.live_runs().is_empty()
    });
    rig.assert_equal();
}
