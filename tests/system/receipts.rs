//! What the target's agent remembers of a run, as commands show it.

use crate::support::{Rig, documents_in, small};

#[test]
fn a_receipt_says_who_pushed_what_and_what_landed() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let push = rig.push().expect_code(0).json();
    let run = push["run"].as_str().unwrap().to_owned();
    let receipt = rig.run(&["show", "last", "--receipt"]).expect_code(0).json();
    assert_eq!(receipt["run"], push["run"]);
    assert_eq!(receipt["about"]["direction"], "push");
    assert_eq!(
        (&receipt["about"]["source"]["name"], &receipt["about"]["target"]["name"]),
        (&"source".into(), &"target".into())
    );
    assert_eq!(receipt["about"]["started_by"], push["started_by"]);
    assert_eq!(receipt["about"]["options"]["batch_size"], 50);
    assert_eq!(receipt["reason"], "the run is over");
    let collections = receipt["collections"].as_object().unwrap();
    let is_file = |name: &&String| *name == "assets/files";
    let created: u64 =
        collections.iter().filter(|(name, _)| !is_file(name)).map(|(_, of)| of["created"].as_u64().unwrap()).sum();
    assert_eq!(created, documents_in(&rig.source()));
    let posts = &collections["content/collections/posts"];
    assert_eq!((posts["before"]["count"].as_u64(), posts["after"]["count"].as_u64()), (Some(0), Some(600)));
    assert_eq!(receipt["undo"]["possible"], true);

    // The agent knows it also where the queue does not.
    rig.redis.flush_all();
    let again = rig.run(&["show", &run[run.len() - 12..], "--receipt", "--target", "target"]).expect_code(0);
    assert_eq!(again.json(), receipt);
    rig.run(&["show", &run, "--receipt"]).expect_code(6);
    rig.run(&["show", "never", "--receipt", "--target", "target"]).expect_code(6);
    let text = rig.run_for_people(&["show", &run, "--receipt", "--target", "target"]).expect_code(0);
    assert!(text.stdout.contains("can be undone until"), "{}", text.stdout);
}
