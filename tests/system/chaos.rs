//! Everything goes wrong in one push, in turns.

use instances::Shape;
use nix::sys::signal::Signal;

use crate::support::{Rig, documents_in, small, wait_until};

#[test]
fn a_push_survives_the_death_of_everything_that_takes_part_in_it() {
    let mut rig = Rig::new(&Shape { posts: 1500, ..small() });
    let documents = documents_in(&rig.source());
    rig.start_worker();
    let mut last = rig.start_worker();
    let push = rig.spawn(&["push", "target", "--batch-size", "10", "--window", "8"]);
    let run = crate::support::wait_for("the run is there", || rig.redis.live_runs().pop());

    let mut reached = 0;
    for (turn, victim) in
        ["worker", "target", "redis", "frozen", "source", "worker", "redis", "target"].iter().enumerate()
    {
        reached += 90;
        wait_until(&format!("{reached} items are done in turn {turn}"), || rig.redis.items(&run) >= reached);
        match *victim {
            "worker" => {
                rig.worker(last).kill();
                last = rig.start_worker();
            }
            "redis" => {
                rig.redis.kill();
                rig.redis.restart();
            }
            "frozen" => {
                rig.worker(last).signal(Signal::SIGSTOP);
                let frozen = last;
                last = rig.start_worker();
                wait_until("the others get on", || rig.redis.items(&run) >= reached + 60);
                rig.worker(frozen).signal(Signal::SIGCONT);
            }
            agent => {
                rig.agent(agent).kill();
                rig.start_agent(agent);
            }
        }
    }

    let push = push.wait().expect_code(0);
    // An agent that dies between its commit and its note of it finds the document there: unchanged, not created.
    assert_eq!(push.count("created") + push.count("unchanged"), documents, "{push:#?}");
    assert_eq!((push.count("updated"), push.count("held")), (0, 0));
    assert_eq!((push.json()["verified"].as_bool(), push.json()["dead_jobs"].as_u64()), (Some(true), Some(0)));
    rig.assert_equal();
}
