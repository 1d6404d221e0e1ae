//! What is published, and what a subscriber that was away can still read.

use std::collections::HashSet;

use serde_json::Value;

use crate::support::{Place, Rig, Wire, small, wait_until};

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

#[test]
fn events_tell_a_push_from_start_to_end_in_cockpits_words() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let run = rig.push().expect_code(0).json();
    let events = rig.run(&["events", "--since", "0"]).expect_code(0).json_lines();

    let names = names(&events);
    assert_eq!(names.first(), Some(&"sync.run.started"));
    assert_eq!(names.last(), Some(&"sync.push.finished"));
    assert_eq!(names.iter().filter(|name| **name == "sync.push.finished").count(), 1);
    assert!(names.contains(&"sync.item.pushed"));
    for (event, number) in events.iter().zip(1u64..) {
        assert_eq!(event["seq"], number);
        assert_eq!(event["run"], run["run"]);
        assert_eq!(event["direction"], "push");
        assert_eq!(
            (event["source"]["name"].as_str(), event["target"]["name"].as_str()),
            (Some("source"), Some("target"))
        );
        assert!(event["target"]["uri"].as_str().unwrap().starts_with("http://127.0.0.1:"));
        for key in ["state", "counts", "time"] {
            assert!(event.get(key).is_some(), "{key} is missing in {event}");
        }
    }
}

#[test]
fn events_name_every_item_once_and_since_replays_exactly_the_rest() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.push().expect_code(0);
    let items = rig.run(&["events", "--since", "0", "--items"]).expect_code(0).json_lines();
    let posts: Vec<&str> = items
        .iter()
        .filter(|event| event["event"] == "sync.item.pushed" && event["model"] == "posts")
        .map(|event| event["item"].as_str().unwrap())
        .collect();
    let expected = instances::ids(&rig.source(), "content/collections/posts").unwrap();
    assert_eq!(posts.len(), expected.len());
    assert_eq!(posts.into_iter().collect::<HashSet<_>>(), expected.iter().map(String::as_str).collect());

    let all = rig.run(&["events", "--since", "0"]).expect_code(0).json_lines();
    let rest = rig.run(&["events", "--since", "3"]).expect_code(0).json_lines();
    assert_eq!(rest, all[3..]);
    let last = all.len().to_string();
    assert_eq!(rig.run(&["events", "--since", &last]).expect_code(0).json_lines(), Vec::<Value>::new());
}

#[test]
fn a_pull_is_told_as_a_pull() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.push().expect_code(0);
    instances::change(&rig.target(), 1.0, 2).unwrap();
    let before = rig.run(&["events"]).expect_code(0).json_lines().len().to_string();
    rig.run(&["pull", "target"]).expect_code(0);
    let events = rig.run(&["events", "--since", &before]).expect_code(0).json_lines();
    assert!(names(&events).contains(&"sync.item.pulled"));
    assert_eq!(names(&events).last(), Some(&"sync.pull.finished"));
}

#[test]
fn somebody_who_follows_hears_a_run_that_begins_later() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let listener = rig.spawn(&["events", "--follow"]);
    rig.push().expect_code(0);
    wait_until("the end was heard", || listener.stdout().contains("sync.push.finished"));
    listener.signal(nix::sys::signal::Signal::SIGINT);
    let heard = listener.wait().expect_code(0).json_lines();
    let replayed = rig.run(&["events"]).expect_code(0).json_lines();
    assert_eq!(heard, replayed);
}

#[test]
fn a_subscriber_that_was_away_replays_all_it_missed_in_order_and_once() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let wire = Wire::new(Place::Socket(rig.redis.socket()));
    let config = rig.config_at("away", &format!("redis://{}", wire.address()), &[]);
    let listener = rig.spawn_with(&config, &["events", "--follow"]);
    let heard = || listener.stdout().matches("sync.push.finished").count();
    rig.push().expect_code(0);
    wait_until("the first end was heard", || heard() == 1);
    // Its connections break, and no new one leads anywhere.
    wire.lead_to(Place::Socket(rig.folder.path().join("nobody")));
    wire.cut();
    for pushes in 2..=4 {
        instances::change(&rig.source(), 1.0, pushes).unwrap();
        rig.push().expect_code(0);
    }
    assert_eq!(heard(), 1);
    wire.lead_to(Place::Socket(rig.redis.socket()));
    wait_until("the last end was heard", || heard() == 4);
    listener.signal(nix::sys::signal::Signal::SIGINT);
    let heard = listener.wait().expect_code(0).json_lines();
    assert_eq!(heard, rig.run(&["events"]).expect_code(0).json_lines());
}

#[test]
fn after_a_redis_that_lost_its_data_somebody_who_was_away_is_told() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.push().expect_code(0);
    rig.redis.flush_all();
    let events = rig.run(&["events", "--since", "5"]).expect_code(0);
    assert!(events.stderr.contains("gone"), "{events:#?}");
}
