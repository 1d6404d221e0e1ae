//! What lies between a worker and an agent misbehaves: nothing is lost, nothing counts twice, and what happened is said.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use instances::change;
use serde_json::json;

use crate::support::{Act, Proxy, Rig, documents_in, small, wait_until};

/// The first so many requests of this kind meet the act, the others pass.
fn first(proxy: &Proxy, count: usize, call: &'static str, act: Act) {
    let before = proxy.count(call);
    proxy.set(
        move |request| {
            if request.call == call && request.before < before + count { act.clone() } else { Act::Pass }
        },
    );
}

const NGINX: &str = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>";
const HTML: &str = "Content-Type: text/html";

fn faults() -> Vec<(&'static str, Act)> {
    vec![
        ("429", Act::Answer("429 Too Many Requests", "Retry-After: 1", "slow down")),
        ("503", Act::Answer("503 Service Unavailable", HTML, "<title>maintenance</title>")),
        ("500", Act::Answer("500 Internal Server Error", "", "")),
        ("garbage", Act::Answer("200 OK", "", "\u{1}\u{2}garbage")),
        ("an nginx error page", Act::Answer("502 Bad Gateway", HTML, NGINX)),
        ("a page that says everything is fine", Act::Answer("200 OK", "Content-Type: application/json", "{}")),
        ("closed before anything was passed on", Act::Break),
        ("closed in the middle of the request", Act::BreakRequest),
        ("closed in the middle of the answer", Act::BreakAnswer(90)),
        ("closed before the answer", Act::BreakAnswer(0)),
        ("a bit changed in the request", Act::GarbleRequest),
        ("a bit changed in the answer", Act::GarbleAnswer),
    ]
}

/// Pushes a changed source through each fault.
fn push_through(rig: &mut Rig, proxy: &Proxy, call: &'static str, faults: Vec<(&str, Act)>) {
    let documents = documents_in(&rig.source());
    rig.push().expect_code(0);
    for ((fault, act), seed) in faults.into_iter().zip(100..) {
        let changed = change(&rig.source(), 10.0, seed).unwrap().len() as u64;
        let before = proxy.count(call);
        first(proxy, 2, call, act);
        let push = rig.push();
        assert_eq!(push.code, 0, "{fault}: {push:#?}");
        assert!(proxy.count(call) > before + 2, "{fault} was not met twice");
        assert_eq!((push.count("created"), push.count("updated")), (0, changed), "{fault}");
        assert_eq!((push.count("unchanged"), push.count("held")), (documents - changed, 0), "{fault}");
        assert_eq!(push.json()["verified"], true, "{fault}");
        let comparison = instances::compare(&rig.source(), &rig.target()).unwrap();
        assert!(comparison.is_equal(), "{fault}: {comparison}");
    }
}

#[test]
fn no_fault_on_the_way_to_the_target_loses_or_doubles_a_document() {
    let mut rig = Rig::new(&small());
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &[]);
    push_through(&mut rig, &proxy, "write", faults());
}

#[test]
fn no_fault_on_the_way_to_the_source_is_taken_for_data() {
    let mut rig = Rig::new(&small());
    let proxy = rig.proxy("source");
    let config = rig.config_with("source-through", &[("source", &proxy.address())]);
    rig.start_worker_with(&config, &[]);
    push_through(&mut rig, &proxy, "list", faults());
}

#[test]
fn where_parts_of_a_collection_cannot_be_compared_all_of_it_is() {
    let mut rig = Rig::new(&small());
    let documents = documents_in(&rig.source());
    let (source, target) = (rig.proxy("source"), rig.proxy("target"));
    let through = rig.config_with("through", &[("source", &source.address()), ("target", &target.address())]);
    rig.start_worker_with(&through, &[]);
    rig.push().expect_code(0);
    let older = Act::Unknown;
    let faults =
        [Act::Answer("500 Internal Server Error", "", ""), Act::GarbleAnswer, Act::Forge(NOTHING_THERE), older];
    let calls = [(&source, "parts"), (&target, "parts"), (&source, "parts/list")];
    let cases = calls.into_iter().flat_map(|call| faults.iter().map(move |fault| (call, fault)));
    for (((proxy, call), fault), seed) in cases.zip(200..) {
        let changed = change(&rig.source(), 1.0, seed).unwrap().len() as u64;
        let before = proxy.count(call);
        first(proxy, 1, call, fault.clone());
        let push = rig.push().expect_code(0);
        assert!(proxy.count(call) > before, "{call} met no fault");
        assert_eq!((push.count("updated"), push.count("unchanged")), (changed, documents - changed), "{call}");
        rig.assert_equal();
    }
}

#[test]
fn an_agent_of_an_older_version_is_asked_for_all_rows() {
    let mut rig = Rig::new(&small());
    let documents = documents_in(&rig.source());
    let (source, target) = (rig.proxy("source"), rig.proxy("target"));
    let through = rig.config_with("through", &[("source", &source.address()), ("target", &target.address())]);
    rig.start_worker_with(&through, &[]);
    rig.push().expect_code(0);
    for (proxy, seed) in [(&source, 300), (&target, 301)] {
        let changed = change(&rig.source(), 1.0, seed).unwrap().len() as u64;
        proxy.set(|request| if request.call.starts_with("parts") { Act::Unknown } else { Act::Pass });
        let plan = rig.run_with(&through, &["plan", "push", "target", "--batch-size", "10"]).expect_code(0).json();
        assert_eq!(plan["counts"]["update"], changed, "{plan}");
        let push = rig.push().expect_code(0);
        assert!(!rig.worker(0).stderr().contains("job failed"), "it was taken for a fault");
        assert!(proxy.count("parts") > 1, "plan or push did not ask it");
        assert_eq!((push.count("updated"), push.count("unchanged")), (changed, documents - changed));
        proxy.pass_all();
        rig.assert_equal();
    }
}

/// `{"complete": true, "entries": [], "held": [], "next_row": nil}` as an agent would write it.
const NOTHING_THERE: &[u8] = b"\x84\xa8complete\xc3\xa7entries\x90\xa4held\x90\xa8next_row\xc0";

#[test]
fn an_answer_in_the_agents_form_but_without_its_signature_is_not_believed() {
    let mut rig = Rig::new(&small());
    let documents = documents_in(&rig.source());
    let proxy = rig.proxy("source");
    let config = rig.config_with("forged", &[("source", &proxy.address())]);
    rig.start_worker_with(&config, &[]);
    // "There are no documents": every second listing says so.
    proxy.set(
        |request| {
            if request.call == "list" && request.before % 2 == 0 { Act::Forge(NOTHING_THERE) } else { Act::Pass }
        },
    );
    let push = rig.push().expect_code(0);
    assert!(proxy.count("list") > 4);
    assert_eq!(push.count("created"), documents);
    rig.assert_equal();
}

#[test]
fn an_answer_that_was_signed_for_another_request_is_not_believed() {
    let mut rig = Rig::new(&small());
    let documents = documents_in(&rig.source());
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &[]);
    rig.push().expect_code(0);
    let changed = change(&rig.source(), 10.0, 21).unwrap().len() as u64;
    // What the target said of itself when both were equal is said again, every other time.
    let before = proxy.count("summary");
    proxy.set(move |request| {
        let is_turn = request.before % 2 == before % 2;
        if is_turn && ["summary", "diff"].contains(&request.call.as_str()) { Act::Replay } else { Act::Pass }
    });
    let push = rig.push().expect_code(0);
    assert!(proxy.count("summary") > before + 2);
    assert_eq!((push.count("updated"), push.count("unchanged")), (changed, documents - changed));
    rig.assert_equal();
}

#[test]
fn faults_at_the_opening_the_splitting_the_verifying_and_the_closing_are_overcome() {
    let mut rig = Rig::new(&small());
    let documents = documents_in(&rig.source());
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &[]);
    proxy.set(|request| match (request.call.as_str(), request.before) {
        ("grant/open", 0) => Act::BreakAnswer(0),
        ("extent", 0) | ("summary", 0) => Act::Answer("502 Bad Gateway", HTML, NGINX),
        ("upload", 0) => Act::GarbleRequest,
        ("file/place" | "file/stat", 0) => Act::Break,
        ("grant/close", 0) => Act::BreakAnswer(0),
        _ => Act::Pass,
    });
    let push = rig.push().expect_code(0);
    for call in ["grant/open", "extent", "summary", "upload", "grant/close"] {
        assert!(proxy.count(call) >= 2, "{call} met no fault");
    }
    assert_eq!((push.count("created"), push.count("held")), (documents, 0));
    rig.assert_equal();
}

#[test]
fn a_slow_way_only_takes_longer() {
    let mut rig = Rig::new(&small());
    let documents = documents_in(&rig.source());
    let proxy = rig.proxy("target");
    proxy.set(|_| Act::After(Duration::from_millis(60)));
    rig.start_worker_through(&proxy, &[]);
    assert_eq!(rig.push().expect_code(0).count("created"), documents);
    rig.assert_equal();
}

#[test]
fn a_batch_that_was_throttled_comes_back_no_sooner_than_it_was_told() {
    let mut rig = Rig::new(&small());
    let documents = documents_in(&rig.source());
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &["--concurrency", "1"]);
    first(&proxy, 1, "write", Act::Answer("429 Too Many Requests", "Retry-After: 2", "slow down"));
    let push = rig.push().expect_code(0);
    assert_eq!(push.count("created"), documents);
    assert_eq!(push.json()["dead_jobs"], 0);
    let writes = proxy.seen("write");
    let again = writes[1..].iter().find(|write| write.body == writes[0].body).expect("the same batch came again");
    let pause = again.at - writes[0].at;
    assert!(pause >= Duration::from_secs(2), "it came back after {pause:?}");
    rig.assert_equal();
}

#[test]
fn a_web_server_that_takes_only_small_requests_gets_its_writes_in_pieces() {
    let mut rig = Rig::new(&small());
    let documents = documents_in(&rig.source());
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &[]);
    const LIMIT: usize = 20_000;
    let page = "<title>413 Request Entity Too Large</title>";
    proxy.set(move |request| {
        let is_too_large = request.call == "write" && request.body.len() > LIMIT;
        if is_too_large { Act::Answer("413 Request Entity Too Large", HTML, page) } else { Act::Pass }
    });
    let push = rig.push().expect_code(0);
    assert!(proxy.seen("write").iter().any(|write| write.body.len() > LIMIT), "nothing was too large");
    assert_eq!((push.count("created"), push.count("held")), (documents, 0));
    rig.assert_equal();
}

#[test]
fn no_request_is_larger_than_what_web_servers_take_unless_told_otherwise() {
    let mut rig = Rig::new(&small());
    let post = json!({"title": "Long", "body": "x".repeat(3 << 20), "_state": 1, "_id": "b00000000000000000000002"});
    instances::insert_document(&rig.source(), "content/collections/posts", &post).unwrap();
    let asset = instances::ids(&rig.source(), "assets").unwrap()[0].clone();
    instances::replace_asset_file(&rig.source(), &asset, &vec![7; 3 << 20], instances::Copies::Rewritten).unwrap();
    let proxy = rig.proxy("target");
    let largest = Arc::new(AtomicUsize::new(0));
    let seen = largest.clone();
    proxy.set(move |request| {
        seen.fetch_max(request.body.len(), Ordering::Relaxed);
        Act::Pass
    });
    rig.start_worker_through(&proxy, &[]);
    rig.run(&["push", "target"]).expect_code(0);
    // nginx: `client_max_body_size 1m`.
    let largest = largest.load(Ordering::Relaxed);
    assert!((500_000..1 << 20).contains(&largest), "{largest}");
    rig.assert_equal();
}

#[test]
fn while_the_target_answers_with_an_error_page_explain_says_so() {
    let mut rig = Rig::new(&small());
    let documents = documents_in(&rig.source());
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &[]);
    proxy.set(|request| if request.call == "diff" { Act::Answer("502 Bad Gateway", HTML, NGINX) } else { Act::Pass });
    let push = rig.spawn_push();
    wait_until("explain names the page", || rig.run(&["explain", "last"]).stdout.contains("502 Bad Gateway"));
    proxy.pass_all();
    assert_eq!(push.wait().expect_code(0).count("created"), documents);
    rig.assert_equal();
}

#[test]
fn a_target_that_is_a_web_server_from_the_middle_on_gets_nothing_and_loses_nothing() {
    let mut rig = Rig::new(&small());
    let documents = documents_in(&rig.source());
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &[]);
    let before = proxy.count("write");
    proxy.set(move |request| match request.call.as_str() {
        "write" if request.before >= before + 8 => Act::Answer("404 Not Found", HTML, "<title>moved</title>"),
        _ => Act::Pass,
    });
    let push = rig.spawn_push();
    wait_until("explain says what answers", || rig.run(&["explain", "last"]).stdout.contains("is not its agent"));
    rig.run(&["cancel", "target"]).expect_code(0);
    push.wait().expect_code(6);
    let there = documents_in(&rig.target());
    proxy.pass_all();
    let again = rig.push().expect_code(0);
    assert_eq!((again.count("created"), again.count("unchanged")), (documents - there, there));
    rig.assert_equal();
}
