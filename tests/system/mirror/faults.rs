//! A source that answers with errors, half a listing or nothing is never taken for one that has nothing.

use instances::{change, read_item};

use super::{MIRROR, POSTS, equal_instances, mirror};
use crate::support::{Act, add_document, assert_as_before, stored, wait_until};

/// "You have none of these, and I am sure of it", as an agent would write it.
const NONE_OF_THESE: &[u8] = b"\x83\xa6absent\x91\xb86b02ce5c686c82d24f3c2927\xa8unproven\xc0\xa5count\x01";

fn faults() -> Vec<(&'static str, Act)> {
    vec![
        ("an error", Act::Answer("500 Internal Server Error", "", "")),
        ("not found", Act::Answer("404 Not Found", "", "")),
        ("an empty body", Act::Answer("200 OK", "Content-Type: application/msgpack", "")),
        ("something else", Act::Answer("200 OK", "Content-Type: application/json", "{\"absent\":[]}")),
        ("half an answer", Act::BreakAnswer(120)),
        ("no answer", Act::Break),
        ("an answer nobody signed", Act::Forge(NONE_OF_THESE)),
        ("a bit changed", Act::GarbleAnswer),
    ]
}

#[test]
fn a_source_that_answers_with_errors_halves_or_nothing_never_leads_to_a_delete() {
    let mut rig = equal_instances();
    rig.worker(0).kill();
    let proxy = rig.proxy("source");
    let config = rig.config_with("through", &[("source", &proxy.address())]);
    rig.start_worker_with(&config, &[]);
    for (number, (fault, act)) in faults().into_iter().enumerate() {
        let extra = add_document(&rig.target(), POSTS, number);
        // When the list is made, and when it is asked again before the delete.
        let first = proxy.count("absent") + number % 2;
        proxy.set(move |request| {
            let is_hit = request.call == "absent" && (first..first + 2).contains(&request.before);
            if is_hit { act.clone() } else { Act::Pass }
        });
        let run = mirror(&mut rig);
        assert_eq!((run.code, run.count("deleted"), run.count("held")), (0, 1, 0), "{fault}: {run:#?}");
        assert!(proxy.count("absent") >= first + 3, "{fault} was not met twice");
        assert!(read_item(&rig.target(), "posts", &extra).unwrap().is_none());
        let comparison = instances::compare(&rig.source(), &rig.target()).unwrap();
        assert!(comparison.is_equal(), "{fault}: {comparison}");
    }
}

#[test]
fn as_long_as_the_source_does_not_answer_soundly_nothing_is_deleted() {
    let mut rig = equal_instances();
    rig.worker(0).kill();
    let proxy = rig.proxy("source");
    let config = rig.config_with("through", &[("source", &proxy.address())]);
    rig.start_worker_with(&config, &[]);
    add_document(&rig.target(), POSTS, 1);
    let before = stored(&rig.target());
    for call in ["absent", "summary", "list"] {
        let asked = proxy.count(call);
        // Every answer is cut off, says nothing or is forged, in turns.
        proxy.set(move |request| match (request.call == call, request.before % 3) {
            (false, _) => Act::Pass,
            (true, 0) => Act::BreakAnswer(100),
            (true, 1) => Act::Answer("200 OK", "Content-Type: application/msgpack", ""),
            (true, _) => Act::Forge(NONE_OF_THESE),
        });
        if call == "list" {
            // The source is not listed for what is deleted, only for what is written, and that only where it is much.
            change(&rig.source(), 90.0, 9).unwrap();
        }
        let run = rig.spawn(MIRROR);
        wait_until(&format!("the source was asked for {call} again and again"), || proxy.count(call) >= asked + 4);
        rig.run(&["cancel", "target"]).expect_code(0);
        run.wait().expect_code(6);
        assert_as_before(&before, &rig.target());
    }
}
