//! Whoever can write to Redis can order syncs. What destroys something takes the approval of a command, which has a key:
//! a run that was written straight into Redis deletes and undoes nothing (I6).

use protocol::api::UndoPart;
use protocol::collection::Collection;
use protocol::job::Job;
use protocol::mirror::{SignedOrder, UndoOrder};
use protocol::run::RunSpec;
use queue::{NewJob, NewRun, Queue, Settings};
use serde_json::Value;

use crate::support::{Rig, small};

/// A run as a worker takes it, with these jobs one after the other.
fn forged(spec: &RunSpec, jobs: &[Job]) -> NewRun {
    let job = |job: &Job| NewJob::new(job.kind(), job.kind(), job.encode());
    let mut run = NewRun::new(&spec.source.name, &spec.target.name);
    run.spec = spec.encode();
    run.open = Some(job(&Job::Open));
    run.close = Some(job(&Job::Close));
    jobs.iter().fold(run, |run, one| run.stage(one.kind(), vec![job(one)]))
}

/// Submits a run without anything but the address of Redis; how it ended, and why.
fn submit(rig: &mut Rig, run: &NewRun) -> (String, String) {
    let url = rig.redis.url();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (queue, _) = Queue::connect(Settings::new(url)).await.unwrap();
        queue.submit(run).await.unwrap();
    });
    rig.run(&["watch", &run.id]);
    let shown = rig.run(&["show", &run.id]).expect_code(0).json();
    (shown["state"].as_str().unwrap().into(), shown["error"].as_str().unwrap_or_default().into())
}

fn spec_of(rig: &Rig, run: &str) -> RunSpec {
    let field: Vec<u8> =
        redis::cmd("HGET").arg(format!("{{cs}}:run:{run}")).arg("spec").query(&mut rig.redis.connection()).unwrap();
    RunSpec::decode(&field).unwrap()
}

fn order_for(spec: &RunSpec, run: &str) -> SignedOrder {
    let signed = spec.mirror.clone().unwrap();
    let mut order = signed.order().unwrap();
    order.run = run.into();
    SignedOrder { bytes: order.encode(), ..signed }
}

#[test]
fn a_run_written_straight_into_redis_deletes_nothing_on_a_protected_target() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    rig.push().expect_code(0);
    let posts = Collection::Items("posts".into());
    let mirror = ["push", "target", "--mirror", "--models", "posts"];
    // A genuine one, which has nothing to delete yet: whoever reads Redis has all of it.
    let genuine = rig.run(&mirror).expect_code(0).json();
    let genuine = spec_of(&rig, genuine["run"].as_str().unwrap());
    let extra = instances::ids(&rig.source(), &posts.name()).unwrap()[3].clone();
    instances::delete_item(&rig.source(), "posts", &extra).unwrap();
    let jobs = [Job::Candidates { collection: posts.clone() }, Job::Decide, Job::Deletes { collection: posts.clone() }];
    let without = RunSpec { mirror: None, ..genuine.clone() };
    let mut forgeries = vec![forged(&genuine, &jobs), forged(&without, &jobs), forged(&without, &jobs[2..])];
    let mut renamed = forged(&genuine, &jobs);
    renamed.spec = RunSpec { mirror: Some(order_for(&genuine, &renamed.id)), ..genuine.clone() }.encode();
    forgeries.push(renamed);
    // The very run again, under its own name: it was closed.
    let mut again = forged(&genuine, &jobs);
    again.id = genuine.mirror.as_ref().unwrap().order().unwrap().run;
    let mut forget = redis::cmd("DEL");
    forget.arg(format!("{{cs}}:run:{}", again.id)).exec(&mut rig.redis.connection()).unwrap();
    forgeries.push(again);
    for run in forgeries {
        let (state, error) = submit(&mut rig, &run);
        assert_eq!(state, "failed", "{error}");
        assert!(!error.is_empty());
        assert!(instances::read_item(&rig.target(), "posts", &extra).unwrap().is_some(), "{error}");
    }
    // What was asked for by a command is done.
    let asked = rig.run(&mirror).expect_code(0);
    assert_eq!(asked.count("deleted"), 1);
}

#[test]
fn a_run_written_straight_into_redis_undoes_nothing() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let pushed = rig.push().expect_code(0).json()["run"].as_str().unwrap().to_owned();
    let undo = Job::Undo { collection: "content/collections/posts".into(), part: UndoPart::Remove };
    let spec = RunSpec { undo: Some(pushed.clone()), ..spec_of(&rig, &pushed) };
    let target = spec.target.instance.clone();
    let mut approved_by_nobody = forged(&spec, std::slice::from_ref(&undo));
    let order = UndoOrder { run: approved_by_nobody.id.clone(), target, undoes: pushed.clone() };
    let order = SignedOrder { made: i64::MAX / 1000, bytes: order.encode(), approval: "00".repeat(32) };
    approved_by_nobody.spec = RunSpec { undo_order: Some(order), ..spec.clone() }.encode();
    for run in [forged(&spec, &[undo]), approved_by_nobody] {
        let (state, error) = submit(&mut rig, &run);
        assert!(state == "failed" && error.contains("approved"), "{state}: {error}");
        rig.assert_equal();
    }
    let refused = rig.run(&["audit", "target"]).expect_code(0).json();
    let is_it = |entry: &Value| {
        entry["action"] == "refused" && entry["reason"].as_str().unwrap().contains("has approved that this run does it")
    };
    assert!(refused.as_array().unwrap().iter().any(is_it), "{refused}");
    rig.run(&["undo", &pushed]).expect_code(0);
    assert_eq!(instances::ids(&rig.target(), "content/collections/posts").unwrap().len(), 0);
}
