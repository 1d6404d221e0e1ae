//! Events over HTTP: nothing is missed and nothing comes twice.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::Served;
use crate::support::{Rig, small};

fn seq(event: &Value) -> u64 {
    event["seq"].as_u64().unwrap_or_else(|| panic!("{event}"))
}

#[test]
fn whoever_comes_back_is_told_what_it_missed_and_nothing_twice() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let served = Served::start(&mut rig);
    let mut open = served.events("", "");
    let push = json!({ "direction": "push", "instance": "target", "batchSize": 50 });
    let run = served.post("/api/runs", &push).expect(201).json()["run"].as_str().unwrap().to_owned();
    let first = open.next().unwrap();
    assert_eq!((&first["event"], seq(&first)), (&json!("sync.run.started"), 1));
    let second = open.next().unwrap();
    drop(open);
    served.wait_for_end(&run);
    let rest: Vec<Value> = {
        let all = served.events("?since=0", &format!("Last-Event-ID: {}\r\n", seq(&second)));
        let mut rest = Vec::new();
        for event in all {
            let is_last = event["event"] == "sync.push.finished";
            rest.push(event);
            if is_last {
                break;
            }
        }
        rest
    };
    let numbers: Vec<u64> = rest.iter().map(seq).collect();
    let expected: Vec<u64> = (seq(&second) + 1..=*numbers.last().unwrap()).collect();
    assert_eq!(numbers, expected);
    assert!(numbers.len() > 5, "{numbers:?}");

    // Of one run only; what another one does is not in it.
    let other = served.post("/api/runs", &push).expect(201).json()["run"].as_str().unwrap().to_owned();
    served.wait_for_end(&other);
    let first_of_other = served.events(&format!("?since=0&run={other}"), "").next().unwrap();
    assert_eq!(first_of_other["run"], other);
    served.ask("GET", "/api/events", "Last-Event-ID: x\r\n", None).expect(400);
}

/// Events of these numbers as a script publishes them, with a body of this size.
fn publish(rig: &Rig, numbers: RangeInclusive<u64>, bytes: usize) {
    let mut connection = rig.redis.connection();
    let filler = "x".repeat(bytes);
    for some in numbers.collect::<Vec<_>>().chunks(100) {
        let mut pipe = redis::pipe();
        for seq in some {
            let event = format!("{{\"event\":\"test\",\"seq\":{seq},\"run\":\"r\",\"filler\":\"{filler}\"}}");
            pipe.atomic().cmd("INCR").arg("{cs}:seq").ignore();
            pipe.cmd("XADD").arg("{cs}:event-log").arg(format!("{seq}-0")).arg("event").arg(&event).ignore();
            pipe.cmd("PUBLISH").arg("{cs}:events").arg(&event).ignore();
        }
        pipe.query::<()>(&mut connection).unwrap();
    }
}

#[test]
fn a_reader_that_falls_behind_misses_nothing_and_the_others_go_on() {
    const EVENTS: u64 = 6000;
    let mut rig = Rig::new(&small());
    let served = Served::start(&mut rig);
    let slow = served.events("", "");
    let quick = served.events("?since=0", "");
    let reading = std::thread::spawn(move || quick.take(EVENTS as usize).map(|event| seq(&event)).collect::<Vec<_>>());
    // More than the buffers of a connection hold.
    publish(&rig, 1..=EVENTS, 8000);
    let all: Vec<u64> = (1..=EVENTS).collect();
    assert_eq!(reading.join().unwrap(), all, "one that reads was disturbed by one that does not");
    let got: Vec<u64> = slow.take(EVENTS as usize).map(|event| seq(&event)).collect();
    assert_eq!(got, all);
}

#[test]
fn when_numbers_begin_anew_streams_end_and_whoever_comes_back_is_told_of_the_gap() {
    let mut rig = Rig::new(&small());
    let served = Served::start(&mut rig);
    let mut open = served.events("", "");
    publish(&rig, 1..=3, 1);
    assert_eq!(open.by_ref().take(3).map(|event| seq(&event)).collect::<Vec<_>>(), [1, 2, 3]);
    rig.redis.flush_all();
    let fresh = served.events("", "");
    publish(&rig, 1..=2, 1);
    assert_eq!(fresh.take(2).map(|event| seq(&event)).collect::<Vec<_>>(), [1, 2]);
    let mut back = served.events("", "Last-Event-ID: 3\r\n");
    publish(&rig, 3..=5, 1);
    assert_eq!(open.next(), None);
    assert_eq!(back.next(), Some(json!({ "event": "gap" })));
    assert_eq!(back.take(5).map(|event| seq(&event)).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}

#[test]
fn streams_end_when_the_server_is_told_to_stop() {
    let mut rig = Rig::new(&small());
    let served = Served::start(&mut rig);
    let open = served.events("", "");
    served.process.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(open.count(), 0);
    let ended = served.process.wait().expect_code(0);
    assert!(!ended.stderr.contains("connections are cut"), "it went on until it was cut off: {}", ended.stderr);
}
