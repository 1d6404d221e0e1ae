//! Dead jobs, as a person meets them.

use protocol::collection::Collection;
use protocol::job::{Batch, Job, Rows};
use serde_json::{Value, json};

use crate::stray_jobs::{add, turn_of_target};
use crate::support::{Rig, documents_in, wait_until};

/// The stage of items in a push of everything.
const CONTENT: u32 = 5;

/// A job in the stream of the run that holds the target, as if the queue had handed it out.
pub fn hand_out(rig: &Rig, id: &str, crashes: u32, payload: &[u8]) {
    let (_, turn) = turn_of_target(&rig.redis);
    let mut job = format!("{id}\n{CONTENT}\nbatch\n0\n{crashes}\n").into_bytes();
    job.extend_from_slice(payload);
    add(&rig.redis, &turn, &job);
}

fn list(rig: &mut Rig) -> Vec<Value> {
    rig.run(&["dead", "list", "target"]).expect_code(0).json().as_array().unwrap().clone()
}

#[test]
fn dead_jobs_are_listed_shown_decoded_put_back_to_work_and_dropped() {
    let (mut rig, _proxy, gate, push) = Rig::held_push(&["--concurrency", "16"], |proxy| proxy.hold_posts(2), 1);
    let documents = documents_in(&rig.source());
    assert_eq!(list(&mut rig), Vec::<Value>::new());
    // A row (there is none of this number) over which eight workers died, and something that no worker can read.
    let posts = Collection::Items("posts".into());
    let row =
        Job::Batch(Batch { collection: posts, rows: Rows::Range { from: 999_999, to: Some(999_999) }, fresh: false });
    hand_out(&rig, "row", 8, &row.encode());
    hand_out(&rig, "garbage", 0, b"\xc1 no job");
    wait_until("both are dead", || list(&mut rig).len() == 2);

    let shown = rig.run(&["dead", "show", "target", "--job", "row"]).expect_code(0).json()[0].clone();
    let payload = json!({
        "kind": "batch", "collection": "content/collections/posts", "rows": { "range": { "from": 999_999, "to": 999_999 } }, "fresh": false,
    });
    assert_eq!((&shown["payload"], &shown["crashes"], &shown["stage"]), (&payload, &json!(8), &json!("content")));
    assert!(shown["error"].as_str().unwrap().contains("8 workers"), "{shown}");
    let shown = rig.run(&["dead", "show", "target", "--job", "garbage"]).json()[0].clone();
    assert_eq!(shown["payload"]["hex"], "c1206e6f206a6f62");
    assert!(shown["payload"]["unreadable"].as_str().unwrap().contains("not a job payload"), "{shown}");
    let people = rig.run_for_people(&["dead", "show", "target"]).expect_code(0).stdout;
    assert!(people.contains("content/collections/posts") && people.contains("8 workers"), "{people}");

    rig.run(&["dead", "retry", "target", "--job", "nobody"]).expect_code(2).says(&["nobody", "dead list"]);
    let retried = rig.run(&["dead", "retry", "target", "--job", "row", "--job", "garbage"]).expect_code(0);
    assert_eq!(retried.json()["retried"], json!(["row", "garbage"]));
    // What cannot be read dies again, and its history tells of both times.
    wait_until("the garbage is dead again", || !list(&mut rig).is_empty());
    gate.open();
    let push = push.wait().expect_code(3);
    assert_eq!((push.json()["dead_jobs"].as_u64(), push.count("created")), (Some(1), documents), "{push:#?}");
    let left = list(&mut rig);
    let history = left[0]["history"].as_array().unwrap();
    assert_eq!((left.len(), left[0]["job"].as_str(), history.len()), (1, Some("garbage"), 2), "{left:#?}");

    let over = rig.run(&["dead", "retry", "target"]).expect_code(4);
    over.says(&["finished_held", "cockpit-sync retry"]);
    rig.run(&["dead", "drop", "target"]).expect_code(2);
    let dropped = rig.run(&["dead", "drop", "target", "--all"]).expect_code(0);
    assert_eq!(dropped.json()["dropped"], json!(["garbage"]));
    let report = rig.run(&["show", "target"]).json();
    assert_eq!(
        (&report["dead_jobs"], &report["dropped_jobs"], &report["verified"]),
        (&json!(0), &json!(1), &json!(false))
    );
    let events = rig.run(&["events", "--since", "0"]).json_lines();
    let names: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    assert!(names.contains(&"sync.job.retried") && names.contains(&"sync.job.dropped"), "{names:?}");
    rig.assert_equal();
}
