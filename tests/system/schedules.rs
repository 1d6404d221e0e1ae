//! What runs by itself.

use serde_json::Value;

use crate::support::{Rig, small};

/// A rig with a schedule that pushes posts, and these lines more.
fn rig_with(cron: &str, more: &str) -> Rig {
    let mut rig = Rig::new(&small());
    rig.more_config = format!("[[schedule]]\nname = \"nightly\"\ncron = \"{cron}\"\npush = \"target\"\n{more}");
    rig
}

fn listed(rig: &mut Rig) -> Value {
    rig.run(&["schedule", "list"]).expect_code(0).json()[0].clone()
}

#[test]
fn a_schedule_is_fired_by_hand_as_the_config_says_and_listed_with_its_result() {
    let mut rig = rig_with("0 3 * * *", "time_zone = \"Europe/Berlin\"\nresources = [\"models\", \"content\"]\n");
    rig.start_worker();
    let before = listed(&mut rig);
    assert_eq!((&before["last"], &before["watched"]), (&Value::Null, &Value::Bool(false)));
    assert!(before["next_local"].as_str().unwrap().contains(" 03:00:00 CE"), "{before}");

    let run = rig.run(&["schedule", "run", "nightly"]).expect_code(3).json();
    assert!(run["resources"].get("assets").is_none() && run["counts"]["created"].as_u64().unwrap() > 0, "{run}");
    assert!(run["started_by"].as_str().unwrap().ends_with("(schedule nightly, by hand)"), "{run}");
    let after = listed(&mut rig);
    assert_eq!(after["last"]["run"], run["run"]);
    assert_eq!((&after["last"]["state"], &after["last"]["tick"]), (&run["state"], &Value::Null));
    assert_eq!(after["next"], before["next"]);
    let events = rig.run(&["events"]).expect_code(0).json_lines();
    assert!(events.iter().all(|event| event["schedule"] == "nightly" && event["tick"].is_null()), "{events:?}");

    let detached = rig.run(&["schedule", "run", "nightly", "--detach"]).expect_code(0).json();
    assert_ne!(detached["run"], run["run"]);
    let words = rig.run_for_people(&["schedule", "list"]).expect_code(0).stdout;
    assert!(words.contains("push target") && words.contains("start `cockpit-sync serve`"), "{words}");
    rig.run(&["schedule", "run", "weekly"]).expect_code(2).says(&["weekly", "there are: nightly"]);
}

#[test]
fn what_is_wrong_with_a_schedule_is_said_before_anything_else_by_name_and_key() {
    for (cron, more, words) in [
        ("0 25 * * *", "", ["nightly", "cron"]),
        ("0 3 * * *", "time_zone = \"Paris\"\n", ["nightly", "time_zone"]),
        ("0 3 * * *", "modells = [\"posts\"]\n", ["nightly", "modells"]),
        ("0 3 * * *", "preset = \"night\"\n", ["nightly", "[preset.night]"]),
        ("0 3 * * *", "mirror = true\nyes_i_mean = \"source\"\n", ["nightly", "yes_i_mean"]),
    ] {
        let mut rig = rig_with(cron, more);
        rig.run(&["status"]).expect_code(2).says(&words);
    }
}

#[test]
fn a_schedule_mirrors_to_a_protected_target_only_when_the_config_says_its_name() {
    let mut rig = Rig::new(&small());
    let schedule = "[[schedule]]\nname = \"nightly\"\ncron = \"0 3 * * *\"\npush = \"target\"\nmirror = true\n";
    rig.more_config = format!("protect = true\n{schedule}");
    rig.run(&["schedule", "list"]).expect_code(2).says(&["nightly", "yes_i_mean = \"target\""]);
    rig.more_config += "yes_i_mean = \"target\"\n";
    rig.start_worker();
    rig.run(&["schedule", "run", "nightly"]).expect_code(0);
    rig.assert_equal();
}
