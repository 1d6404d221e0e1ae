//! What the first page says that somebody should look at.

use serde_json::{Value, json};

use super::Served;
use crate::support::{Rig, small, wait_until};

/// The list of what needs attention, as the page has it.
fn attention(served: &Served) -> String {
    let page = served.get("/").expect(200).body;
    let (_, list) = page.split_once("Needs attention").unwrap();
    list.split_once("</section>").unwrap().0.to_owned()
}

#[test]
fn what_a_comparison_found_needs_attention_until_one_finds_nothing() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let served = Served::start(&mut rig);
    wait_until("both agents were asked", || served.get("/").body.matches("healthy").count() == 2);
    assert!(attention(&served).contains("All is well"), "{}", attention(&served));

    let found = rig.run(&["drift", "target"]).expect_code(7).json();
    wait_until("it is said", || attention(&served).contains("drift"));
    let missing = found["counts"]["missing"].as_u64().unwrap();
    let drift = rig.run(&["status"]).expect_code(0).json()["targets"]
        .as_array()
        .and_then(|targets| targets.iter().find(|target| target["target"] == "target").cloned())
        .unwrap()["drift"]
        .clone();
    assert_eq!((&drift["differ"], &drift["source"]), (&missing.into(), &"source".into()));
    let by = drift["by"].as_str().unwrap();
    let said = attention(&served);
    for words in [format!("{missing} items differed from source on 20"), format!("as {by} found"), "/targets".into()] {
        assert!(said.contains(&words), "{words}: {said}");
    }
    assert!(!said.contains("since"), "{said}");

    // Whether a sync has mended it is not known before somebody compares.
    rig.push().expect_code(0);
    wait_until("it is old", || attention(&served).contains("nobody has compared again"));
    rig.run(&["verify", "target"]).expect_code(0);
    wait_until("it is over", || attention(&served).contains("All is well"));
    assert!(served.get("/").body.contains("nothing differed from source on 20"));
}

/// What hooks were given and is being done.
fn taken(rig: &Rig) -> Vec<String> {
    redis::cmd("ZRANGE").arg("{cs}:taken").arg(0).arg(-1).query(&mut rig.redis.connection()).unwrap()
}

/// It is tried now, as if it had been taken with this id.
fn take_again(rig: &Rig, taken: &str, id: &str) {
    let (_, what) = taken.split_once(' ').unwrap();
    let mut pipe = redis::pipe();
    pipe.atomic().cmd("ZREM").arg("{cs}:taken").arg(taken).ignore();
    pipe.cmd("ZADD").arg("{cs}:taken").arg(0).arg(format!("{id} {what}")).ignore();
    pipe.query::<()>(&mut rig.redis.connection()).unwrap();
}

#[test]
fn what_a_hook_was_to_push_and_could_not_needs_attention_and_is_given_up_after_the_retention() {
    let mut rig = Rig::new(&small());
    rig.more_config = "[hook.cockpit]\ntarget = \"target\"\n".into();
    rig.start_worker();
    rig.push().expect_code(0);
    let served = Served::start(&mut rig);
    let save = |item: &str| {
        served.post("/api/hooks/cockpit", &json!({ "model": "posts", "item": item })).expect(202);
    };
    save("nobody");
    wait_until("it is said", || attention(&served).contains("posts nobody: "));
    assert!(attention(&served).contains("it is not tried again"), "{}", attention(&served));
    assert_eq!(taken(&rig), Vec::<String>::new());
    let failed = |rig: &mut Rig| -> Vec<Value> {
        let events = rig.run(&["events"]).expect_code(0).json_lines();
        events.into_iter().filter(|event| event["event"] == "sync.hook.failed").collect()
    };
    let events = failed(&mut rig);
    assert_eq!(events.len(), 1, "{events:?}");
    let told = &events[0];
    assert_eq!(
        (&told["hook"], &told["model"], &told["item"], &told["target"]["name"]),
        (&json!("cockpit"), &json!("posts"), &json!("nobody"), &json!("target"))
    );
    assert!(told["error"].is_string(), "{told}");

    // What may yet succeed is tried again, and no trouble any more when it has.
    let id = instances::ids(&rig.source(), "content/collections/posts").unwrap()[0].clone();
    rig.agent("target").kill();
    save(&id);
    wait_until("it is said", || attention(&served).contains("not pushed yet"));
    assert!(attention(&served).contains(&format!("posts {id}: ")) && attention(&served).contains("posts nobody: "));
    rig.start_agent("target");
    let waits = taken(&rig).pop().unwrap();
    take_again(&rig, &waits, waits.split(' ').next().unwrap());
    wait_until("it is pushed", || !attention(&served).contains("not pushed yet"));
    assert_eq!((taken(&rig), failed(&mut rig).len()), (Vec::new(), 1));

    // It was taken in 2020.
    rig.agent("target").kill();
    save(&id);
    wait_until("it is tried", || attention(&served).contains("not pushed yet"));
    take_again(&rig, &taken(&rig).pop().unwrap(), "016f5e66-e800-7000-8000-000000000000");
    wait_until("it is given up", || failed(&mut rig).len() == 2);
    wait_until("it is said", || !attention(&served).contains("not pushed yet"));
    assert_eq!((taken(&rig), &failed(&mut rig)[1]["item"]), (Vec::new(), &json!(id)));
}
