//! What happens while a mirror works: editors on both sides, a worker that dies, a job that fails for good.

use instances::{change, delete_item, edit_item, ids, insert_document, read_item};
use protocol::collection::Collection;
use protocol::job::{Batch, Job, Rows};
use serde_json::json;

use super::{MIRROR, POSTS, equal_instances, mirror};
use crate::stray_jobs::{add, turn_of_target};
use crate::support::{add_document, let_the_second_pass, wait_until};

#[test]
fn what_an_editor_does_on_the_target_during_a_mirror_stays() {
    let mut rig = equal_instances();
    rig.worker(0).kill();
    let extras: Vec<String> = (0..4).map(|number| add_document(&rig.target(), POSTS, number)).collect();
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &[]);
    // The list is made and decided; nothing is deleted yet.
    let gate = proxy.hold("mirror/delete", 0);
    let run = rig.spawn(MIRROR);
    gate.wait_for(1);
    edit_item(&rig.target(), "posts", &extras[0], |post| post["title"] = json!("The editor's")).unwrap();
    edit_item(&rig.target(), "posts", &extras[1], |post| post["_modified"] = json!(1_700_000_000)).unwrap();
    delete_item(&rig.target(), "posts", &extras[2]).unwrap();
    let new = add_document(&rig.target(), POSTS, 10);
    gate.open();
    let run = run.wait().expect_code(3);

    assert_eq!((run.count("deleted"), run.count("held")), (1, 2), "{run:#?}");
    assert_eq!(read_item(&rig.target(), "posts", &extras[0]).unwrap().unwrap()["title"], "The editor's");
    let left = extras.iter().map(|id| read_item(&rig.target(), "posts", id).unwrap().is_some()).collect::<Vec<_>>();
    assert_eq!(left, [true, true, false, false]);
    assert!(read_item(&rig.target(), "posts", &new).unwrap().is_some());
    let notes = rig.run(&["show", "last", "--held"]).json()["notes"].clone();
    let contended = notes.as_array().unwrap().iter().filter(|note| note["cause"] == "contended").count();
    assert_eq!((contended, run.json()["edited_meanwhile"].as_u64()), (2, Some(2)), "{notes:#}");

    let_the_second_pass();
    assert_eq!(mirror(&mut rig).expect_code(0).count("deleted"), 3);
    rig.assert_equal();
}

#[test]
fn what_comes_to_the_source_during_a_mirror_is_not_deleted_on_the_target() {
    let mut rig = equal_instances();
    rig.worker(0).kill();
    let (kept, gone) = (add_document(&rig.target(), POSTS, 1), add_document(&rig.target(), POSTS, 2));
    let deleted_at_source = ids(&rig.source(), POSTS).unwrap()[5].clone();
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &[]);
    let gate = proxy.hold("mirror/candidates", 0);
    let run = rig.spawn(MIRROR);
    gate.wait_for(1);
    let document = read_item(&rig.target(), "posts", &kept).unwrap().unwrap();
    insert_document(&rig.source(), POSTS, &document).unwrap();
    // What vanishes at the source after the list was made is the next run's business.
    delete_item(&rig.source(), "posts", &deleted_at_source).unwrap();
    gate.open();
    let run = run.wait().expect_code(0);
    assert_eq!((run.count("deleted"), run.count("held")), (1, 0), "{run:#?}");
    assert!(read_item(&rig.target(), "posts", &kept).unwrap().is_some());
    assert!(read_item(&rig.target(), "posts", &gone).unwrap().is_none());
    assert_eq!(run.json()["edited_meanwhile"].as_u64(), Some(1));
    assert_eq!(mirror(&mut rig).expect_code(0).count("deleted"), 1);
    rig.assert_equal();
}

#[test]
fn a_worker_killed_while_it_deletes_leaves_nothing_undone_and_nothing_counted_twice() {
    let mut rig = equal_instances();
    rig.worker(0).kill();
    // Two pages, of which the first is deleted when the worker dies.
    for number in 0..520 {
        add_document(&rig.target(), POSTS, number);
    }
    let proxy = rig.proxy("target");
    let doomed = rig.start_worker_through(&proxy, &["--concurrency", "1"]);
    let gate = proxy.hold("mirror/delete", 1);
    let run = rig.spawn(&[MIRROR, &["--max-delete", "50%"]].concat());
    gate.wait_for(1);
    rig.worker(doomed).kill();
    rig.start_worker();
    let run = run.wait().expect_code(0);
    assert_eq!((run.count("deleted"), run.count("held")), (520, 0), "{run:#?}");
    rig.assert_equal();
    // What the dead one had sent arrives late: the grant it was sent under is closed.
    gate.open();
    assert!(gate.answers().iter().all(|status| *status == 409), "{:?}", gate.answers());
}

#[test]
fn nothing_is_deleted_of_a_model_of_which_a_job_failed_for_good() {
    let mut rig = equal_instances();
    rig.worker(0).kill();
    let extra = add_document(&rig.target(), POSTS, 1);
    let author = add_document(&rig.target(), "content/collections/authors", 2);
    change(&rig.source(), 5.0, 4).unwrap();
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &["--concurrency", "16"]);
    let gate = proxy.hold_posts(0);
    let run = rig.spawn(MIRROR);
    gate.wait_for(1);
    // A row (there is none of this number) over which eight workers died.
    let rows = Rows::Range { from: 999_999, to: Some(999_999) };
    let batch = Job::Batch(Batch { collection: Collection::Items("posts".into()), rows, fresh: false });
    let (_, turn) = turn_of_target(&rig.redis);
    let content = 7;
    let job = [format!("row\n{content}\nbatch\n0\n8\n").as_bytes(), &batch.encode()].concat();
    add(&rig.redis, &turn, &job);
    wait_until("it is dead", || !rig.run(&["dead", "list", "target"]).json().as_array().unwrap().is_empty());
    gate.open();
    let run = run.wait().expect_code(3);
    assert_eq!((run.json()["state"].as_str(), run.count("deleted")), (Some("finished_held"), 1), "{run:#?}");
    assert!(read_item(&rig.target(), "posts", &extra).unwrap().is_some());
    assert!(read_item(&rig.target(), "authors", &author).unwrap().is_none());
    let notes = rig.run(&["show", "last", "--held"]).expect_code(0).stdout;
    assert!(notes.contains("failed for good: nothing of it was deleted"), "{notes}");
}
