//! Workers and agents that die, freeze or are told to stop in the middle of a push.

use instances::{edit_item, read_item};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Act, Gate, Proxy, Rig, documents_in, let_the_second_pass, small, wait_until};

/// A post that the last write at the gate brings.
fn a_held_post(rig: &Rig, proxy: &Proxy) -> String {
    let write = proxy.seen("write").pop().unwrap();
    let ids = instances::ids(&rig.source(), "content/collections/posts").unwrap();
    ids.into_iter().find(|id| write.writes(id)).expect("the write at the gate brings posts")
}

#[test]
fn a_killed_worker_loses_no_batch_and_none_counts_twice() {
    let (mut rig, _proxy, gate, push) = Rig::held_push(&["--concurrency", "3"], |proxy| proxy.hold_posts(4), 3);
    let doomed = 0;
    let documents = documents_in(&rig.source());
    rig.start_worker();
    rig.worker(doomed).kill();
    // What it had sent still arrives, under a grant that is still good; the batches are done again all the same.
    gate.open();

    let push = push.wait().expect_code(0);
    assert_eq!(push.count("created"), documents);
    assert_eq!((push.count("updated"), push.count("held")), (0, 0));
    assert_eq!((push.json()["verified"].as_bool(), push.json()["dead_jobs"].as_u64()), (Some(true), Some(0)));
    rig.assert_equal();
}

#[test]
fn what_a_killed_worker_had_sent_but_never_arrived_is_sent_by_another() {
    let (mut rig, _proxy, _gate, push) = Rig::held_push(&["--concurrency", "3"], |proxy| proxy.hold_posts(4), 3);
    let doomed = 0;
    let documents = documents_in(&rig.source());
    rig.worker(doomed).kill();
    rig.start_worker();
    let push = push.wait().expect_code(0);
    assert_eq!((push.count("created"), push.count("unchanged")), (documents, 0));
    rig.assert_equal();
}

#[test]
fn when_all_workers_are_killed_the_run_waits_stalled_and_goes_on_with_the_next() {
    let (mut rig, _proxy, _gate, push) = Rig::held_push(&[], |proxy| proxy.hold_posts(2), 1);
    let doomed = 0;
    let documents = documents_in(&rig.source());
    rig.worker(doomed).kill();
    wait_until("the run is stalled", || rig.run(&["show", "last"]).json()["state"] == "stalled");
    rig.start_worker();
    assert_eq!(push.wait().expect_code(0).count("created"), documents);
    rig.assert_equal();
}

#[test]
fn at_default_settings_another_worker_has_the_jobs_of_a_killed_one_within_20_seconds() {
    let mut rig = Rig::new(&small()).with_default_lease();
    let proxy = rig.proxy("target");
    let doomed = rig.start_worker_through(&proxy, &[]);
    let gate = proxy.hold_posts(2);
    let push = rig.spawn_push();
    gate.wait_for(4);
    let others = rig.proxy("target");
    let end = others.hold("grant/close", 0);
    rig.start_worker_through(&others, &[]);
    rig.worker(doomed).kill();
    let killed = std::time::Instant::now();
    // Everything the killed one had is done when the run is about to end.
    end.wait_for(1);
    let taken_over = killed.elapsed();
    eprintln!("all jobs of the killed worker were done by the other after {taken_over:.1?}");
    end.open();
    push.wait().expect_code(0);
    assert!(taken_over.as_secs() < 20, "it took {taken_over:?}");
    rig.assert_equal();
}

#[test]
fn the_late_write_of_a_frozen_worker_is_refused_when_the_run_is_over() {
    let (mut rig, proxy, gate, push) = Rig::held_push(&["--concurrency", "1"], |proxy| proxy.hold_posts(2), 1);
    let frozen = 0;
    rig.worker(frozen).signal(Signal::SIGSTOP);
    let healthy = rig.start_worker();
    let push = push.wait().expect_code(0);
    assert_eq!(push.count("created"), documents_in(&rig.source()));
    rig.assert_equal();

    // The run is over. An editor changes a document of the batch that the frozen worker holds.
    let id = a_held_post(&rig, &proxy);
    edit_item(&rig.target(), "posts", &id, |post| post["title"] = json!("The editor's")).unwrap();
    let commits = rig.commits("target");
    rig.worker(frozen).signal(Signal::SIGCONT);
    gate.open();
    assert_eq!(gate.answers(), [409], "a write of a run that is over was not refused");
    assert_eq!(rig.commits("target"), commits);
    assert_eq!(read_item(&rig.target(), "posts", &id).unwrap().unwrap()["title"], "The editor's");

    // Its settle changed nothing either (I3), and it works on as before.
    rig.worker(healthy).kill();
    let_the_second_pass();
    let next = rig.push().expect_code(0);
    assert_eq!((next.count("created"), next.count("updated")), (0, 1));
    let runs = rig.run(&["runs"]).expect_code(0).json();
    assert_eq!(runs[1]["counts"], push.json()["counts"], "the counts of a run that is over changed");
    rig.assert_equal();
}

#[test]
fn a_frozen_worker_that_wakes_within_the_run_counts_nothing_twice() {
    let (mut rig, proxy, gate, push) = Rig::held_push(&["--concurrency", "1"], |proxy| proxy.hold_posts(2), 1);
    let frozen = 0;
    rig.worker(frozen).signal(Signal::SIGSTOP);
    // Another worker does everything up to the end, which it is kept from.
    let other = rig.proxy("target");
    let end = other.hold("grant/close", 0);
    rig.start_worker_through(&other, &[]);
    end.wait_for(1);
    let id = a_held_post(&rig, &proxy);
    edit_item(&rig.target(), "posts", &id, |post| post["title"] = json!("The editor's")).unwrap();
    rig.worker(frozen).signal(Signal::SIGCONT);
    gate.open();
    // The grant is open, so it is not refused; but the documents are not any more what the worker saw (`expect`).
    assert_eq!(gate.answers(), [200]);
    end.open();

    let push = push.wait().expect_code(0);
    assert_eq!(push.count("created"), documents_in(&rig.source()));
    assert_eq!((push.count("updated"), push.count("unchanged"), push.count("held")), (0, 0, 0));
    assert_eq!(read_item(&rig.target(), "posts", &id).unwrap().unwrap()["title"], "The editor's");
}

#[test]
fn what_a_worker_wrote_before_it_froze_counts_as_created_also_where_it_is_all_of_a_collection() {
    let mut rig = Rig::new(&small());
    let proxy = rig.proxy("target");
    let frozen = rig.start_worker_through(&proxy, &["--concurrency", "1"]);
    let gate = Gate::new();
    let held = gate.clone();
    proxy.set(move |request| {
        let is_singleton = request.call == "write" && request.is_about("content/singletons");
        if is_singleton { Act::Hold(held.clone()) } else { Act::Pass }
    });
    let push = rig.spawn_push();
    gate.wait_for(1);
    rig.worker(frozen).signal(Signal::SIGSTOP);
    gate.open();
    // It is written, and nobody will ever report so: to the next worker both sides look equal.
    assert_eq!(gate.answers(), [200]);
    rig.start_worker();
    let push = push.wait().expect_code(0);
    assert_eq!((push.count("created"), push.count("unchanged")), (documents_in(&rig.source()), 0));
    rig.assert_equal();
}

#[test]
fn a_worker_told_to_stop_finishes_what_it_does_and_hands_the_rest_to_others() {
    let mut rig = Rig::new(&small()).with_long_lease();
    let documents = documents_in(&rig.source());
    let proxy = rig.proxy("target");
    let leaving = rig.start_worker_through(&proxy, &["--concurrency", "2"]);
    let gate = proxy.hold_posts(3);
    let push = rig.spawn_push();
    gate.wait_for(2);
    rig.start_worker();
    rig.worker(leaving).signal(Signal::SIGTERM);
    gate.open();
    wait_until("it has ended", || rig.worker(leaving).ended().is_some());
    assert_eq!(rig.worker(leaving).ended(), Some(0));
    // The lease is ten minutes: what it held was handed back, not waited for.
    let push = push.wait().expect_code(0);
    assert_eq!(push.count("created"), documents);
    assert_eq!(push.json()["dead_jobs"], 0);
    rig.assert_equal();
}

#[test]
fn a_worker_whose_grace_is_over_hands_back_what_it_did_not_finish_and_exits_with_0() {
    let mut rig = Rig::new(&small()).with_long_lease();
    let documents = documents_in(&rig.source());
    let proxy = rig.proxy("target");
    let leaving = rig.start_worker_through(&proxy, &["--concurrency", "2", "--grace", "1"]);
    let gate = proxy.hold_posts(3);
    let push = rig.spawn_push();
    gate.wait_for(2);
    rig.start_worker();
    rig.worker(leaving).signal(Signal::SIGTERM);
    wait_until("it has ended", || rig.worker(leaving).ended().is_some());
    assert_eq!(rig.worker(leaving).ended(), Some(0));
    let push = push.wait().expect_code(0);
    assert_eq!(push.count("created"), documents);
    rig.assert_equal();
}

#[test]
fn a_second_signal_ends_a_worker_at_once_and_others_take_over_what_it_held() {
    let (mut rig, _proxy, _gate, push) =
        Rig::held_push(&["--concurrency", "2", "--grace", "600"], |proxy| proxy.hold_posts(3), 2);
    let leaving = 0;
    let documents = documents_in(&rig.source());
    rig.start_worker();
    rig.worker(leaving).signal(Signal::SIGTERM);
    wait_until("it finishes what it does", || rig.worker(leaving).stderr().contains("a second signal ends it at once"));
    wait_until("it has ended", || {
        let has_ended = rig.worker(leaving).ended().is_some();
        if !has_ended {
            rig.worker(leaving).signal(Signal::SIGTERM);
        }
        has_ended
    });
    assert_eq!(rig.worker(leaving).ended(), Some(1));
    let push = push.wait().expect_code(0);
    assert_eq!(push.count("created"), documents);
    rig.assert_equal();
}

#[test]
fn an_idle_worker_told_to_stop_is_gone_at_once() {
    let mut rig = Rig::new(&small());
    let worker = rig.start_worker();
    rig.worker(worker).signal(Signal::SIGTERM);
    wait_until("it has ended", || rig.worker(worker).ended().is_some());
    assert_eq!(rig.worker(worker).ended(), Some(0));
    assert_eq!(rig.redis.workers(), Vec::<u32>::new(), "it still counts as alive");
}

#[test]
fn agents_killed_and_started_again_in_the_middle_do_not_stop_a_push() {
    for name in ["target", "source"] {
        let mut rig = Rig::new(&small());
        let documents = documents_in(&rig.source());
        let proxy = rig.proxy("target");
        rig.start_worker_through(&proxy, &[]);
        let gate = proxy.hold_posts(3);
        let push = rig.spawn_push();
        gate.wait_for(1);
        rig.agent(name).kill();
        gate.open();
        // Some requests meet nobody.
        let run = rig.redis.live_runs().remove(0);
        wait_until("a job failed", || !rig.redis.last_error(&run).is_empty());
        rig.start_agent(name);
        let push = push.wait().expect_code(0);
        assert_eq!((push.count("created"), push.count("unchanged")), (documents, 0), "{name} was killed");
        rig.assert_equal();
    }
}
