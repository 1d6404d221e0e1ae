//! Whose turn it is at a target, and ending a run early.

use crate::support::{Rig, documents_in, small, wait_until};

#[test]
fn a_second_push_to_a_target_waits_for_the_first() {
    let (mut rig, _proxy, gate, first) = Rig::held_push(&[], |proxy| proxy.hold("write", 8), 1);
    let documents = documents_in(&rig.source());
    let run = rig.redis.live_runs().remove(0);
    let mut second = rig.spawn_push();
    wait_until("the second is in line", || rig.redis.live_runs().len() == 2);
    let waiting = rig.run(&["runs"]).json()[0].clone();
    assert_eq!((waiting["state"].as_str(), waiting["position"].as_u64()), (Some("waiting"), Some(1)));
    let explain = rig.run(&["explain", waiting["run"].as_str().unwrap()]).expect_code(0).json();
    let explanation = explain["explanation"].as_str().unwrap();
    assert!(explanation.contains("it waits for target") && explanation.contains(&run), "{explanation}");
    assert_eq!(second.ended(), None);

    gate.open();
    assert_eq!(first.wait().expect_code(0).count("created"), documents);
    let second = second.wait().expect_code(0);
    assert_eq!((second.count("created"), second.count("unchanged")), (0, documents));
    rig.assert_equal();
}

#[test]
fn a_second_push_that_does_not_want_to_wait_is_told_who_is_there_since_when_and_how_far() {
    let (mut rig, _proxy, gate, first) = Rig::held_push(&[], |proxy| proxy.hold("write", 8), 1);
    let run = rig.redis.live_runs().remove(0);
    let refused = rig.run(&["push", "target", "--if-busy", "refuse"]).expect_code(4);
    assert_eq!(refused.error().0, "refused");
    refused.says(&["already there", &run, "from source", "since 20", "items done", "cockpit-sync cancel"]);
    assert_eq!(rig.redis.live_runs(), [run]);
    gate.open();
    first.wait().expect_code(0);
    rig.push().expect_code(0);
}

#[test]
fn pushes_to_two_targets_run_side_by_side() {
    let mut rig = Rig::new(&small());
    rig.add_empty("second");
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &[]);
    let gate = proxy.hold("grant/open", 0);
    let mut first = rig.spawn_push();
    gate.wait_for(1);
    let second = rig.run(&["push", "second"]).expect_code(0);
    assert_eq!(second.count("created"), documents_in(&rig.source()));
    let comparison = instances::compare(&rig.source(), &rig.root("second")).unwrap();
    assert!(comparison.is_equal(), "{comparison}");
    assert_eq!(first.ended(), None, "the first was to be held");
    gate.open();
    first.wait().expect_code(0);
    rig.assert_equal();
}

#[test]
fn an_urgent_push_goes_first_under_a_grant_of_its_own_and_the_other_goes_on_after_it() {
    let (mut rig, proxy, gate, long) = Rig::held_push(&["--concurrency", "4"], |proxy| proxy.hold_posts(3), 4);
    let documents = documents_in(&rig.source());
    let run = rig.redis.live_runs().remove(0);
    let urgent = ["push", "target", "--models", "settings", "--urgent", "--detach"];
    let item = rig.run(&urgent).expect_code(0).json();
    let explained = rig.run(&["explain", &run]).expect_code(0).json()["explanation"].clone();
    assert!(explained.as_str().unwrap().starts_with("it makes room for an urgent run: 4 jobs"), "{explained}");
    assert_eq!(rig.run(&urgent).expect_code(0).json()["run"], item["run"], "it waited already");
    assert_eq!(proxy.count("grant/open"), 1);
    gate.open();

    assert_eq!(long.wait().expect_code(0).json()["dead_jobs"], 0);
    let finished: Vec<_> = rig.run(&["events"]).json_lines();
    let finished: Vec<_> = finished.iter().filter(|event| event["event"] == "sync.push.finished").collect();
    assert_eq!(finished.len(), 2);
    assert_eq!((&finished[0]["run"], &finished[1]["run"]), (&item["run"], &run.as_str().into()));
    assert_eq!(proxy.count("grant/open"), 3, "the long one, the urgent one, the long one anew");
    assert_eq!(documents_in(&rig.target()), documents);
    rig.assert_equal();
}

#[test]
fn nothing_lands_after_a_cancel() {
    let (mut rig, proxy, gate, push) = Rig::held_push(&[], |proxy| proxy.hold("write", 8), 2);
    let cancel = rig.run(&["cancel", "target"]).expect_code(0).json();
    assert_eq!((cancel["state"].as_str(), cancel["grant_closed"].as_bool()), (Some("cancelled"), Some(true)));
    assert!(cancel["by"].as_str().unwrap().contains(" on "), "{cancel}");
    assert_eq!(push.wait().expect_code(6).json()["state"], "cancelled");

    let (commits, documents) = (rig.commits("target"), documents_in(&rig.target()));
    gate.open();
    assert!(gate.answers().iter().all(|status| *status == 409), "{:?}", gate.answers());
    assert_eq!((rig.commits("target"), documents_in(&rig.target())), (commits, documents));

    let events = rig.run(&["events"]).json_lines();
    assert_eq!(events.last().unwrap()["event"], "sync.run.cancelled");
    proxy.pass_all();
    let again = rig.push().expect_code(0);
    assert_eq!(again.count("unchanged"), documents);
    rig.assert_equal();
}

#[test]
fn what_a_cancelled_run_had_on_the_way_does_not_land_in_the_turn_of_the_next() {
    let (mut rig, _proxy, gate, push) = Rig::held_push(&[], |proxy| proxy.hold("write", 8), 2);
    let first = 0;
    rig.run(&["cancel", "target"]).expect_code(0);
    push.wait().expect_code(6);
    rig.worker(first).kill();

    // The next run holds a grant of its own when the late writes arrive.
    let other = rig.proxy("target");
    rig.start_worker_through(&other, &[]);
    let at_work = other.hold("write", 0);
    let next = rig.spawn_push();
    at_work.wait_for(1);
    let commits = rig.commits("target");
    gate.open();
    assert!(gate.answers().iter().all(|status| *status == 409), "{:?}", gate.answers());
    assert_eq!(rig.commits("target"), commits);
    at_work.open();
    next.wait().expect_code(0);
    rig.assert_equal();
}

#[test]
fn nothing_lands_after_an_unlock() {
    let (mut rig, proxy, gate, push) = Rig::held_push(&[], |proxy| proxy.hold("write", 8), 2);
    let run = rig.redis.live_runs().remove(0);
    let unlock = rig.run(&["unlock", "target"]).expect_code(0).json();
    assert_eq!(unlock["run"], run.as_str());
    assert!(unlock["grant"].as_str().unwrap().contains(&run), "{unlock}");
    assert_eq!(push.wait().expect_code(6).json()["state"], "unlocked");

    let (commits, documents) = (rig.commits("target"), documents_in(&rig.target()));
    gate.open();
    assert!(gate.answers().iter().all(|status| *status == 409), "{:?}", gate.answers());
    assert_eq!((rig.commits("target"), documents_in(&rig.target())), (commits, documents));
    proxy.pass_all();
    rig.push().expect_code(0);
    rig.assert_equal();
}

#[test]
fn a_run_in_line_can_be_cancelled_without_harm_to_the_one_that_works() {
    let (mut rig, _proxy, gate, first) = Rig::held_push(&[], |proxy| proxy.hold("write", 8), 1);
    let second = rig.spawn_push();
    wait_until("the second is in line", || rig.redis.live_runs().len() == 2);
    let waiting = rig.run(&["runs"]).json()[0]["run"].as_str().unwrap().to_owned();
    rig.run(&["cancel", &waiting]).expect_code(0);
    second.wait().expect_code(6);
    gate.open();
    assert_eq!(first.wait().expect_code(0).count("created"), documents_in(&rig.source()));
    rig.assert_equal();
}

#[test]
fn a_cancel_without_any_worker_ends_the_grant_itself() {
    let (mut rig, _proxy, gate, push) = Rig::held_push(&[], |proxy| proxy.hold("write", 8), 1);
    let worker = 0;
    rig.worker(worker).kill();
    wait_until("no worker counts as alive", || rig.redis.workers().is_empty());
    rig.run(&["cancel", "target"]).expect_code(0);
    push.wait().expect_code(6);
    let commits = rig.commits("target");
    gate.open();
    assert!(gate.answers().iter().all(|status| *status == 409), "{:?}", gate.answers());
    assert_eq!(rig.commits("target"), commits);
    let check = rig.run(&["check", "target"]).expect_code(0).json();
    assert!(check[0]["grant"].is_null(), "a grant is still open: {check}");
}

#[test]
fn a_retry_brings_what_a_cancelled_run_left_over() {
    let (mut rig, proxy, gate, push) = Rig::held_push(&[], |proxy| proxy.hold("write", 8), 1);
    let documents = documents_in(&rig.source());
    rig.run(&["cancel", "target"]).expect_code(0);
    push.wait().expect_code(6);
    gate.open();
    proxy.pass_all();
    let there = documents_in(&rig.target());
    let retry = rig.run(&["retry", "last"]).expect_code(0);
    assert_eq!((retry.count("created"), retry.count("unchanged")), (documents - there, there));
    rig.assert_equal();
}
