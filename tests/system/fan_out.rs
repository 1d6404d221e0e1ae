//! A push to several targets: each its own run, what one of them does is nothing to the others, and the source is read once.

use serde_json::Value;

use crate::support::{Act, Count, Gate, Proxy, Request, Rig, documents_in, small, wait_until};

const POSTS: &str = "content/collections/posts";

/// `target` and `second`, both empty.
fn two_targets() -> Rig {
    let mut rig = Rig::new(&small());
    rig.add_empty("second");
    rig
}

fn assert_holds_all(rig: &Rig, target: &str) {
    let comparison = instances::compare(&rig.source(), &rig.root(target)).unwrap();
    assert!(comparison.is_equal(), "{target}: {comparison}");
}

/// What reads content, of all that was asked of the source.
fn reading(proxy: &Proxy) -> usize {
    ["list", "documents", "file/read"].iter().map(|call| proxy.count(call)).sum()
}

#[test]
fn each_target_gets_its_own_run_and_the_source_is_read_once() {
    let mut rig = two_targets();
    rig.add_empty("third");
    let proxy = rig.proxy("source");
    let config = rig.config_with("through", &[("source", &proxy.address())]);
    rig.start_worker_with(&config, &[]);
    let documents = documents_in(&rig.source());

    rig.run_with(&config, &["push", "third", "--batch-size", "50"]).expect_code(0);
    let (of_one, read_by_one) = (proxy.total(), reading(&proxy));
    let files_of_one = proxy.count("file/read");

    // Both have looked at the posts before one of them reads them: what was read before that is no answer to the other.
    let gate = Gate::new();
    let held = gate.clone();
    let reads_posts = |request: &Request| request.call == "list" && request.is_about(POSTS);
    proxy.set(move |request| if reads_posts(request) { Act::Hold(held.clone()) } else { Act::Pass });
    let looks = |proxy: &Proxy| proxy.seen("summary").iter().filter(|request| request.is_about(POSTS)).count();
    let before = looks(&proxy);
    let push = rig.spawn_with(&config, &["push", "target,second", "--batch-size", "50"]);
    gate.wait_for(1);
    wait_until("both have looked", || looks(&proxy) == before + 2);
    gate.open();
    let push = push.wait().expect_code(0).json();
    let (of_two, read_by_two) = (proxy.total() - of_one, reading(&proxy) - read_by_one);
    let files_of_two = proxy.count("file/read") - files_of_one;
    println!("one target: {of_one} requests, {read_by_one} of them reading, {files_of_one} of files");
    println!("two targets: {of_two} requests, {read_by_two} of them reading, {files_of_two} of files");
    for target in ["target", "second"] {
        let run = &push["targets"][target];
        assert_eq!((run["state"].as_str(), run["verified"].as_bool()), (Some("finished"), Some(true)), "{push:#}");
        assert_eq!(run["counts"]["created"], documents);
        assert_holds_all(&rig, target);
    }
    assert_ne!(push["targets"]["target"]["run"], push["targets"]["second"]["run"]);
    assert!(of_two < 2 * of_one, "{of_two} requests for two targets, {of_one} for one");
    assert_eq!(files_of_two, files_of_one, "files were read for each target");
}

#[test]
fn a_slow_target_holds_up_no_other() {
    let mut rig = two_targets();
    let proxy = rig.proxy("second");
    let config = rig.config_with("through", &[("second", &proxy.address())]);
    rig.start_worker_with(&config, &[]);
    let gate = proxy.hold("write", 0);
    let push = rig.spawn_with(&config, &["push", "second,target", "--batch-size", "50"]);
    gate.wait_for(1);
    wait_until("the other target is done", || state(&mut rig, "target") == "finished");
    assert_eq!(state(&mut rig, "second"), "running");
    gate.open();
    push.wait().expect_code(0);
    assert_holds_all(&rig, "target");
    assert_holds_all(&rig, "second");
}

/// Of the last run to a target.
fn state(rig: &mut Rig, target: &str) -> String {
    let shown = rig.run(&["show", target]);
    if shown.code == 0 { shown.json()["state"].as_str().unwrap_or_default().to_owned() } else { String::new() }
}

#[test]
fn a_target_that_cannot_be_reached_is_named_and_the_others_go_on() {
    let mut rig = two_targets();
    rig.start_worker();
    rig.config();
    rig.agent("second").kill();
    let push = rig.run(&["push", "second,target"]).expect_code(5).json();
    assert_eq!(push["targets"]["target"]["state"], "finished");
    assert_eq!(push["targets"]["second"]["error"]["code"], "unreachable");
    assert_holds_all(&rig, "target");

    let said = rig.run_for_people(&["push", "target,second"]).expect_code(5);
    assert!(said.stderr.contains("second: ") && said.stdout.contains("source -> target: finished"), "{said:#?}");
}

#[test]
fn the_others_follow_a_canary_only_when_it_is_verified() {
    let mut rig = two_targets();
    rig.start_worker();
    // Posts embed assets that the target lacks: they are held.
    let push = rig.run(&["push", "target,second", "--models", "posts", "--canary", "target"]).expect_code(3).json();
    assert_eq!(push["targets"]["target"]["state"], "finished_held");
    assert_not_started(&push, "second");
    assert_eq!(documents_in(&rig.root("second")), 0);
    let said = rig.run_for_people(&["push", "second", "--models", "posts", "--canary", "target"]).expect_code(3);
    assert!(said.stdout.contains("second: not started: target, which went first"), "{said:#?}");

    let push = rig.run(&["push", "target,second", "--canary", "second"]).expect_code(0).json();
    let (canary, other) = (&push["targets"]["second"], &push["targets"]["target"]);
    assert!(canary["finished"].as_str() <= other["created"].as_str(), "{push:#}");
    assert_holds_all(&rig, "target");
    assert_holds_all(&rig, "second");

    rig.agent("second").kill();
    let push = rig.run(&["push", "target,second", "--canary", "second"]).expect_code(5).json();
    assert_eq!(push["targets"]["second"]["error"]["code"], "unreachable");
    assert_not_started(&push, "target");
}

#[track_caller]
fn assert_not_started(push: &Value, target: &str) {
    assert_eq!(push["targets"][target]["error"]["code"], "not_started", "{push:#}");
    assert!(push["targets"][target]["run"].is_null(), "{push:#}");
}

#[test]
fn several_targets_can_be_left_to_the_workers_and_what_makes_no_sense_is_said() {
    let mut rig = two_targets();
    let there = Count::of(&rig.source());
    rig.run(&["push", "target,target"]).expect_code(2).says(&["each named once"]);
    rig.run(&["push", "target,secnd"]).expect_code(2).says(&["secnd", "second"]);
    rig.run(&["plan", "push", "target,second"]).expect_code(2).says(&["one target"]);
    rig.run(&["push", "target,second", "--canary", "target", "--detach"])
        .expect_code(2)
        .says(&["--canary", "--detach"]);
    assert_eq!(rig.redis.live_runs(), Vec::<String>::new());

    let push = rig.run(&["push", "target,second", "--detach"]).expect_code(0).json();
    assert!(push["targets"]["second"]["run"].is_string(), "{push:#}");
    rig.start_worker();
    for target in ["target", "second"] {
        rig.run(&["watch", target]).expect_code(0);
        assert_eq!(Count::of(&rig.root(target)), there);
    }
}
