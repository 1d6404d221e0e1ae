//! How fast a sync may be, where somebody said so.

use std::time::Instant;

use crate::support::{Rig, small};

#[test]
fn a_rate_holds_for_all_workers_together() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.start_worker();
    rig.run(&["push", "target", "--resources", "locales,models,assets"]).expect_code(0);
    let begun = Instant::now();
    let push =
        rig.run(&["push", "target", "--models", "posts", "--batch-size", "50", "--max-rate", "200/s"]).expect_code(0);
    assert_eq!(push.json()["resources"]["content"]["posts"]["created"], 600);
    // 600 posts take three seconds; the last group's share is taken when it is sent.
    assert!(begun.elapsed().as_millis() >= 1900, "{:?}", begun.elapsed());
    assert_eq!(push.json()["verified"], true);
    rig.add_empty("other");
    rig.start_worker();
    let begun = Instant::now();
    let slow = rig.run(&["push", "other", "--resources", "assets", "--max-rate", "20KB/s"]).expect_code(0);
    let seconds = slow.json()["bytes"].as_u64().unwrap() / 20_000;
    assert!(begun.elapsed().as_secs() + 2 >= seconds, "{seconds} s for {:?}", begun.elapsed());
}

#[test]
fn a_pause_between_batches_makes_them_follow_each_other() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let push = rig.run(&["push", "target", "--resources", "locales,models,assets"]).expect_code(0);
    assert_eq!(push.json()["window"]["most"], 16);
    let options = ["push", "target", "--models", "posts", "--batch-size", "100", "--pause-between-batches", "200ms"];
    let begun = Instant::now();
    let push = rig.run(&options).expect_code(0);
    assert_eq!(push.json()["window"]["most"], 1);
    assert!(begun.elapsed().as_millis() >= 1200, "{:?}", begun.elapsed());
}

#[test]
fn a_time_limit_leaves_the_rest_to_the_next_push_and_says_so() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.run(&["push", "target", "--resources", "locales,models,assets"]).expect_code(0);
    let options = ["push", "target", "--models", "posts", "--batch-size", "50"];
    let paced = ["--pause-between-batches", "300ms", "--time-limit", "1s"];
    let push = rig.run(&[&options[..], &paced].concat()).expect_code(3);
    let report = push.json();
    let created = push.count("created");
    assert!(report["left"].as_u64() > Some(0) && created > 0 && created < 600, "{report:#}");
    assert_eq!((report["verified"].as_bool(), report["counts"]["held"].as_u64()), (Some(false), Some(0)));
    assert_eq!(report["state"], "finished_held");
    let said = rig.run_for_people(&["show", "last"]).stdout;
    assert!(said.contains("time limit"), "{said}");
    let rest = rig.run(&options).expect_code(0);
    assert_eq!(rest.count("created"), 600 - created);
    assert_eq!(rest.json()["left"], 0);
}
