//! Syncs that are asked for over HTTP.

use serde_json::{Value, json};

use super::Served;
use crate::dead::hand_out;
use crate::support::{Count, Rig, documents_in, small, wait_until};

fn push() -> Value {
    json!({ "direction": "push", "instance": "target", "batchSize": 50 })
}

#[test]
fn a_sync_is_planned_asked_for_once_followed_listed_and_undone() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let served = Served::start(&mut rig);
    let documents = documents_in(&rig.source());
    let status = served.get("/api/status").expect(200).json();
    assert_eq!((&status["syncing"], &status["lastSync"]), (&json!(false), &Value::Null));
    assert!(status.as_object().unwrap().contains_key("lastSync"));

    let plan = served.post("/api/plans", &push()).expect(200).json();
    assert_eq!(plan["counts"]["create"], documents, "{plan}");
    assert_eq!(plan["changes"].as_array().unwrap().len() as u64, plan["changes_total"].as_u64().unwrap());
    assert_eq!(served.get("/api/runs").json()["runs"], json!([]));

    let ask =
        |key: &str, body: &Value| served.ask("POST", "/api/runs", &format!("Idempotency-Key: {key}\r\n"), Some(body));
    let run = ask("a", &push()).expect(201).json()["run"].as_str().unwrap().to_owned();
    assert_eq!(ask("a", &push()).expect(201).json()["run"], run);
    let ended = served.wait_for_end(&run);
    assert_eq!(
        (&ended["state"], &ended["verified"], &ended["counts"]["created"]),
        (&json!("finished"), &json!(true), &json!(documents))
    );
    assert!(ended["resources"]["content"]["posts"]["created"].as_u64() > Some(0) && !ended["stages"][0].is_null());
    assert_eq!(ended["explanation"], "it is finished");
    rig.assert_equal();
    // The same key means the same run also when that is over; and never another one.
    assert_eq!(ask("a", &push()).expect(201).json()["run"], run);
    ask("a", &json!({ "direction": "push", "instance": "target" })).expect(422).says(&["Idempotency-Key"]);

    let second = ask("b", &push()).expect(201).json()["run"].as_str().unwrap().to_owned();
    assert_ne!(second, run);
    served.wait_for_end(&second);
    let ids = |path: &str| -> (Vec<String>, Value) {
        let page = served.get(path).expect(200).json();
        let id = |run: &Value| run["run"].as_str().unwrap().to_owned();
        (page["runs"].as_array().unwrap().iter().map(id).collect(), page["next"].clone())
    };
    let (first_page, next) = ids("/api/runs?limit=1");
    assert_eq!((first_page, &next), (vec![second.clone()], &json!(second)));
    assert_eq!(ids(&format!("/api/runs?limit=1&after={second}")), (vec![run.clone()], Value::Null));
    assert_eq!(ids("/api/runs?target=target&state=finished,failed").0.len(), 2);
    assert_eq!(ids("/api/runs?target=source").0.len() + ids("/api/runs?state=failed").0.len(), 0);
    served.get("/api/runs?state=done").expect(400).says(&["done"]);

    let status = served.get("/api/status").expect(200).json();
    assert!(status["lastSync"].as_str().is_some_and(|time| time.ends_with('Z')), "{status}");
    let targets = served.get("/api/targets").expect(200).json();
    let target = targets["targets"].as_array().unwrap().iter().find(|target| target["name"] == "target").unwrap();
    assert_eq!(
        (&target["health"]["success"], &target["push"], &target["local"]),
        (&json!(true), &json!(true), &json!(false))
    );
    assert_eq!(target["lastSync"]["run"], second);
    assert_eq!(served.post("/api/targets/target/check", &json!({})).expect(200).json()["success"], true);
    served.post("/api/targets/nobody/check", &json!({})).expect(404);
    assert_eq!(served.get(&format!("/api/runs/{run}/receipt")).expect(200).json()["run"], run);
    assert_eq!(served.get(&format!("/api/runs/{run}/notes")).expect(200).json()["notes"], json!([]));
    for path in [&format!("/api/runs/{run}/notes"), "/api/runs", "/api/audit", "/api/logs"] {
        for limit in ["0", "6000"] {
            served.get(&format!("{path}?limit={limit}")).expect(400).says(&["limit lies between 1 and"]);
        }
    }

    for path in [format!("/api/audit?run={run}"), format!("/api/audit?instance=target&run={run}")] {
        let audit = served.get(&path).expect(200).json();
        let actions: Vec<&Value> = audit["entries"].as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
        assert!(actions.contains(&&json!("grant_opened")), "{path}: {audit}");
    }
    assert_eq!(served.get("/api/schedules").expect(200).json(), json!([]));

    let undo = served.get(&format!("/api/runs/{run}/undo")).expect(200).json();
    assert!(undo["collections"]["content/collections/posts"]["remove"].as_u64() > Some(0), "{undo}");
    let undone = served.post(&format!("/api/runs/{run}/undo"), &json!({})).expect(201).json()["run"]
        .as_str()
        .unwrap()
        .to_owned();
    served.wait_for_end(&undone);
    assert_eq!(Count::of(&rig.target()).posts, 0);
    let again = served.post(&format!("/api/runs/{run}/retry"), &json!({})).expect(201).json()["run"]
        .as_str()
        .unwrap()
        .to_owned();
    served.wait_for_end(&again);
    rig.assert_equal();
}

#[test]
fn whoever_saw_a_run_end_is_never_told_of_an_older_one() {
    let mut rig = Rig::new(&small());
    let (asked, elsewhere) = (Served::start(&mut rig), Served::start(&mut rig));
    for _ in 0..10 {
        let run = asked.post("/api/runs", &push()).expect(201).json()["run"].as_str().unwrap().to_owned();
        asked.get("/api/status").expect(200);
        elsewhere.post(&format!("/api/runs/{run}/cancel"), &json!({})).expect(200);
        let ended = elsewhere.wait_for_end(&run)["finished"].clone();
        assert_eq!(asked.get("/api/status").expect(200).json()["lastSync"], ended);
        let targets = asked.get("/api/targets").expect(200).json();
        let is_it = |target: &&Value| target["name"] == "target";
        assert_eq!(targets["targets"].as_array().unwrap().iter().find(is_it).unwrap()["lastSync"]["run"], run);
    }
}

#[test]
fn a_run_is_paused_goes_on_and_is_cancelled_and_a_lock_is_reset() {
    let mut rig = Rig::new(&small());
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &["--concurrency", "1"]);
    let served = Served::start(&mut rig);
    let gate = proxy.hold_posts(1);
    let run = served.post("/api/runs", &push()).expect(201).json()["run"].as_str().unwrap().to_owned();
    gate.wait_for(1);
    let status = served.get("/api/status").expect(200).json();
    assert_eq!(status["syncing"], true);
    let at = |what: &str| format!("/api/runs/{run}/{what}");
    assert_eq!(served.post(&at("pause"), &json!({})).expect(200).json()["state"], "paused");
    served.post(&at("pause"), &json!({})).expect(200);
    assert_eq!(served.post(&at("resume"), &json!({})).expect(200).json()["state"], "running");
    served.post(&at("retry"), &json!({})).expect(409).says(&["only a run that is over"]);
    served.post(&at("undo"), &json!({})).expect(409).says(&["end it first"]);
    gate.open();
    served.post(&at("cancel"), &json!({})).expect(200);
    let ended = served.wait_for_end(&run);
    assert_eq!((&ended["state"], &ended["by"]), (&json!("cancelled"), &json!("somebody at 127.0.0.1")));
    served.post(&at("cancel"), &json!({})).expect(409).says(&["over already"]);
    served.post(&at("pause"), &json!({})).expect(409).says(&["cannot become paused"]);

    let gate = proxy.hold_posts(1);
    let run = served.post("/api/runs", &push()).expect(201).json()["run"].as_str().unwrap().to_owned();
    gate.wait_for(1);
    let unlocked = served.post("/api/targets/target/unlock", &json!({})).expect(200).json();
    assert_eq!(unlocked["run"], run);
    gate.open();
    assert_eq!(served.wait_for_end(&run)["state"], "unlocked");
}

#[test]
fn a_protected_target_is_named_before_anything_is_destroyed_there() {
    let mut rig = Rig::new(&small());
    rig.start_worker();
    let config = rig.config();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[instance.target]\n", "[instance.target]\nprotect = true\n")).unwrap();
    let served = Served::start_with(&mut rig, &config);
    let mirror = json!({ "direction": "push", "instance": "target", "mirror": true });
    served.post("/api/runs", &mirror).expect(409).says(&["target is protected", "yesIMean"]);
    let mut wrong = mirror.clone();
    wrong["yesIMean"] = "targets".into();
    served.post("/api/runs", &wrong).expect(409).says(&["is not its name"]);
    served.post("/api/targets/target/unlock", &json!({})).expect(409).says(&["protected"]);
    let mut meant = mirror;
    meant["yesIMean"] = "target".into();
    let run = served.post("/api/runs", &meant).expect(201).json()["run"].as_str().unwrap().to_owned();
    assert_eq!(served.wait_for_end(&run)["state"], "finished");
    served.post("/api/runs/last/undo", &json!({})).expect(409).says(&["protected"]);
}

#[test]
fn a_mirror_to_a_protected_target_is_retried_from_its_page_once_the_target_is_named() {
    let mut rig = Rig::new(&small());
    rig.more_config = "protect = true\n".into();
    let served = Served::start(&mut rig);
    let run = |mirror: bool| {
        let asked = json!({ "direction": "push", "instance": "target", "mirror": mirror, "yesIMean": "target" });
        let run = served.post("/api/runs", &asked).expect(201).json()["run"].as_str().unwrap().to_owned();
        served.post(&format!("/api/runs/{run}/cancel"), &json!({})).expect(200);
        format!("/runs/{run}")
    };
    let (merge, mirror) = (run(false), run(true));
    assert!(!served.get(&merge).expect(200).body.contains("yesIMean"));
    let page = served.get(&mirror).expect(200).body;
    assert!(page.contains("target is protected. Type its name:") && page.contains("name=\"yesIMean\""), "{page}");
    let again = format!("{mirror}/retry");
    for wrong in ["", "yesIMean=targets"] {
        assert!(served.post_form(&again, wrong).expect(409).body.contains("othing was done"), "{wrong}");
    }
    let there = served.post_form(&again, "yesIMean=target").expect(303).header("location").unwrap().to_owned();
    assert!(there.starts_with("/runs/") && there != mirror, "{there}");
    assert_ne!(served.post_form(&format!("{merge}/retry"), "").expect(303).header("location"), Some(&*merge));
}

#[test]
fn what_is_wrong_with_a_request_is_said_in_words() {
    let mut rig = Rig::new(&small());
    let served = Served::start(&mut rig);
    let refused = |body: Value, status: u16, words: &[&str]| {
        served.post("/api/runs", &body).expect(status).says(words);
    };
    refused(json!({ "instance": "target" }), 400, &["direction"]);
    refused(json!({ "direction": "push", "instance": "nobody" }), 400, &["nobody", "target"]);
    refused(json!({ "direction": "push", "instance": "target", "modles": [] }), 400, &["modles"]);
    refused(json!({ "direction": "push", "instance": "target", "preset": "x" }), 400, &["preset.x"]);
    refused(json!({ "direction": "push", "instance": "target", "filter": { "a": { "$bad": 1 } } }), 400, &["$bad"]);
    refused(
        json!({ "direction": "push", "instance": "target", "item": { "model": "posts", "ids": ["x"] }, "models": ["posts"] }),
        400,
        &["item"],
    );
    served.get("/api/runs/nobody").expect(404).says(&["there is no run nobody"]);
    served.get("/api/nothing").expect(404).says(&["/api/nothing"]);
    served.ask("PUT", "/api/runs", "", None).expect(405).says(&["PUT"]);
    let large = json!({ "direction": "push", "instance": "target", "models": ["x".repeat(2 << 20)] });
    served.post("/api/runs", &large).expect(413);
    // Whatever was asked, no answer holds a key.
    for path in ["/api/status", "/api/targets", "/api/session", "/api/openapi.json"] {
        assert!(!served.get(path).expect(200).body.contains(crate::support::KEY), "{path}");
    }
}

#[test]
fn dead_jobs_are_seen_put_back_to_work_and_dropped_over_http() {
    let mut rig = Rig::new(&small());
    let proxy = rig.proxy("target");
    rig.start_worker_through(&proxy, &["--concurrency", "16"]);
    let served = Served::start(&mut rig);
    let gate = proxy.hold_posts(2);
    let run = served.post("/api/runs", &push()).expect(201).json()["run"].as_str().unwrap().to_owned();
    gate.wait_for(1);
    hand_out(&rig, "garbage", 0, b"\xc1 no job");
    let dead = || served.get("/api/dead").expect(200).json()["dead"].as_array().unwrap().clone();
    wait_until("it is dead", || dead().len() == 1);
    assert_eq!((&dead()[0]["job"], &dead()[0]["run"]), (&json!("garbage"), &json!(run)));
    let at = |what: &str| format!("/api/dead/{run}/{what}");
    served.post(&at("retry"), &json!({})).expect(400).says(&["\"all\": true"]);
    served.post(&at("retry"), &json!({ "jobs": ["nobody"] })).expect(400).says(&["nobody"]);
    assert_eq!(
        served.post(&at("retry"), &json!({ "jobs": ["garbage"] })).expect(200).json()["retried"],
        json!(["garbage"])
    );
    wait_until("it is dead again", || !dead().is_empty());
    gate.open();
    assert_eq!(served.wait_for_end(&run)["state"], "finished_held");
    served.post(&at("retry"), &json!({ "all": true })).expect(409).says(&["finished_held"]);
    assert_eq!(served.post(&at("drop"), &json!({ "all": true })).expect(200).json()["dropped"], json!(["garbage"]));
    assert!(dead().is_empty());
}
