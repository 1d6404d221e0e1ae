//! What runs by itself.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::support::{Act, Process, Rig, cockpit_sync, small, wait_for, wait_until};

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

/// The second of the day that comes so many seconds from now, as a cron expression.
fn in_seconds(seconds: u64) -> String {
    let then = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + seconds;
    format!("{} {} {} * * *", then % 60, then / 60 % 60, then / 3600 % 24)
}

/// Serves with this config, and has seen the schedule.
fn serve(rig: &mut Rig, config: &std::path::Path) -> Process {
    let mut command = cockpit_sync();
    command.arg("--json").arg("--config").arg(config).args(["serve", "--listen", "127.0.0.1:0"]);
    let process = rig.start(&mut command, "serve");
    wait_until("serve listens", || process.stdout().contains("listening"));
    wait_until("the schedule is watched", || listed(rig)["watched"] == true);
    process
}

/// Two serve; one is killed as soon as it asks its agents, while the other one's question stands at a gate.
fn one_of_two_dies_at_the_tick(act: Act) {
    let mut rig = rig_with(&in_seconds(15), "resources = [\"models\", \"content\"]\n");
    rig.start_worker();
    let (before_one, before_other) = (rig.proxy("target"), rig.proxy("target"));
    before_one.set(move |_| act.clone());
    let gate = before_other.hold("manifest", 0);
    let one = rig.config_with("one", &[("target", &before_one.address())]);
    let other = rig.config_with("other", &[("target", &before_other.address())]);
    let mut dies = serve(&mut rig, &one);
    let _lives = serve(&mut rig, &other);
    wait_until("the tick comes", || before_one.count("manifest") > 0);
    dies.kill();
    gate.open();
    let run = wait_for("the nightly run is over", || {
        let last = listed(&mut rig)["last"].clone();
        let is_over = last["state"].as_str().is_some_and(|state| state.starts_with("finished"));
        is_over.then(|| last["run"].as_str().unwrap().to_owned())
    });
    let runs = rig.run(&["runs"]).expect_code(0).json();
    assert_eq!(runs.as_array().unwrap().len(), 1, "{runs}");
    assert_eq!((&runs[0]["run"], &runs[0]["started_by"]), (&Value::from(run), &Value::from("schedule nightly")));
    let events = rig.run(&["events"]).expect_code(0).json_lines();
    assert_eq!(events.iter().filter(|event| event["event"] == "sync.push.finished").count(), 1);
    assert_eq!(listed(&mut rig)["missed_total"], 0);
}

#[test]
fn of_two_that_serve_one_is_killed_at_the_tick_and_the_nightly_run_exists_once() {
    one_of_two_dies_at_the_tick(Act::After(Duration::from_secs(60)));
}

#[test]
fn of_two_that_serve_one_is_killed_when_it_may_just_have_made_the_nightly_run_which_exists_once() {
    one_of_two_dies_at_the_tick(Act::Pass);
}

#[test]
fn a_night_nobody_was_there_is_told_and_shows_in_the_listing_the_events_the_metrics_and_the_dashboard() {
    let mut rig = rig_with("0 3 * * *", "");
    let told = rig.folder.path().join("told");
    rig.more_config += &format!(
        "[[on]]\nname = 'night'\nevent = 'sync.schedule.missed'\nexec = {{ run = ['sh', '-c', 'cat >> \"$0\"', {told:?}] }}\n"
    );
    let config = rig.config();
    drop(serve(&mut rig, &config));
    // As if nobody had been there for three days and a bit.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let night = now - (now - 3 * 3600) % 86_400;
    // One that is just over would still be fired.
    let missed = if now - night < 700 { 3 } else { 4 };
    let handled = (night - 4 * 86_400) * 1000 + 1000;
    let mut redis = rig.redis.connection();
    redis::cmd("HSET").arg("{cs}:schedule:nightly").arg("handled").arg(handled).exec(&mut redis).unwrap();
    let overdue = listed(&mut rig)["overdue"].clone();
    assert!(overdue.as_str().unwrap().ends_with("T03:00:00Z"), "{overdue}");

    let serving = serve(&mut rig, &config);
    wait_until("they are missed", || listed(&mut rig)["missed_total"].as_u64() >= Some(missed));
    let after = listed(&mut rig);
    assert_eq!(after["overdue"], Value::Null);
    assert!(after["missed"]["why"].as_str().unwrap().contains("nobody was there"), "{after}");
    let events = rig.run(&["events"]).expect_code(0).json_lines();
    let missed_events: Vec<_> = events.iter().filter(|event| event["event"] == "sync.schedule.missed").collect();
    assert_eq!(missed_events.len(), 1, "{events:?}");
    assert_eq!(missed_events[0]["missed"], after["missed_total"]);
    assert_eq!(missed_events[0]["target"]["name"], "target");
    let words = rig.run_for_people(&["schedule", "list"]).expect_code(0).stdout;
    assert!(words.contains("missed so far"), "{words}");

    let said: Value = serde_json::from_str(serving.stdout().lines().next().unwrap()).unwrap();
    let address = said["listening"].as_str().unwrap();
    let metrics = super::metrics::get(address, "/metrics", "").1;
    let is_it = |line: &&str| line.starts_with("cockpit_sync_schedule_ticks_total{") && line.contains("\"missed\"");
    let sample = metrics.lines().find(is_it).unwrap_or_else(|| panic!("{metrics}"));
    assert!(sample.ends_with(&format!(" {}", after["missed_total"])), "{sample}");
    let schedules = super::metrics::get(address, "/api/schedules", "").1;
    assert!(schedules.contains("\"missed_total\""), "{schedules}");
    let count = missed_events[0]["missed"].as_u64().unwrap();
    let page = || super::metrics::get(address, "/", "").1;
    wait_until("it needs attention", || page().contains(&format!("missed {count} times, the last time 20")));
    assert!(page().contains(&format!("{count} missed so far")), "{}", page());
    wait_until("whoever wants to know is told", || {
        std::fs::read_to_string(&told).is_ok_and(|text| text.trim_end().ends_with('}'))
    });
    let told = std::fs::read_to_string(&told).unwrap();
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["event"], &told[0]["missed"]), (&"sync.schedule.missed".into(), &count.into()));
}
