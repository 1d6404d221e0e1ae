//! Log lines, as processes print them and as they are read back from Redis.

use serde_json::Value;

use crate::support::{Output, Rig, small, wait_until};

/// One document a line.
fn lines(output: &Output) -> Vec<Value> {
    output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn says(lines: &[Value], message: &str) -> bool {
    lines.iter().any(|line| line["message"] == message)
}

#[test]
fn the_lines_of_a_run_are_read_back_with_their_jobs_and_none_of_another_run() {
    let mut rig = Rig::new(&small());
    rig.environment = vec![("COCKPIT_SYNC_LOG_FORMAT", "json".into()), ("COCKPIT_SYNC_LOG", "warn,sync=info".into())];
    rig.start_worker();
    rig.environment.clear();
    let runs = [(); 2].map(|()| rig.push().expect_code(0).json()["run"].as_str().unwrap().to_owned());

    let mut found = 0;
    for run in &runs {
        // What a worker says last comes a moment after the run's end.
        let of_run = |rig: &mut Rig, more: &[&str]| {
            lines(&rig.run(&[&["logs", "--run", run][..], more].concat()).expect_code(0))
        };
        wait_until("the worker's last line is there", || {
            of_run(&mut rig, &[]).iter().any(|line| line["job"] == "close")
        });
        let kept = of_run(&mut rig, &[]);
        found += kept.len();
        assert!(kept.iter().all(|line| line["run"] == **run && line["channel"] == "sync"), "{kept:#?}");
        assert!(says(&kept, "run submitted"), "the command says something, too: {kept:#?}");
        let mut done = kept.iter().filter(|line| line["message"] == "job done");
        assert!(done.clone().count() > 3 && done.all(|line| line["job"].is_string()), "{kept:#?}");
        let times: Vec<&str> = kept.iter().map(|line| line["time"].as_str().unwrap()).collect();
        assert!(times[0].ends_with('Z') && times.len() > 3);
        assert_eq!(of_run(&mut rig, &["--last", "1"]), kept[kept.len() - 1..]);
        assert!(
            of_run(&mut rig, &["--level", "error"]).is_empty() && of_run(&mut rig, &["--channel", "queue"]).is_empty()
        );
    }
    let all = lines(&rig.run(&["logs"]).expect_code(0));
    assert!(all.len() >= found && runs.iter().all(|run| all.iter().any(|line| line["run"] == **run)), "{all:#?}");
    rig.run(&["logs", "--run", "nobody"]).expect_code(6);
    rig.run(&["logs", "--level", "loud"]).expect_code(2);
    rig.run(&["logs", "--channel", "none"]).expect_code(2);

    // What it prints is what it keeps.
    let stderr = rig.worker(0).stderr();
    let mut printed = stderr.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let kept = all.iter().find(|line| line["job"] == "close").unwrap();
    let is_it =
        |line: Value| line.as_object().unwrap().iter().all(|(name, value)| name == "time" || kept[name] == *value);
    assert!(printed.any(is_it), "{kept:#} is not in {stderr}");
    let shown = rig.run_for_people(&["logs", "--run", &runs[0]]).expect_code(0).stdout;
    assert!(shown.lines().all(|line| line.contains(&format!(" run.id={}", runs[0]))), "{shown}");
    assert!(shown.contains("INFO sync: job done") && shown.contains(" job.id=close"), "{shown}");
}

#[test]
fn a_redis_that_takes_no_lines_holds_up_no_job_and_gets_them_later() {
    let mut rig = Rig::new(&small());
    // Whatever would be added there is refused.
    redis::cmd("SET").arg("{cs}:log").arg("no list").exec(&mut rig.redis.connection()).unwrap();
    let worker = rig.start_worker();
    let run = rig.push().expect_code(0).json()["run"].as_str().unwrap().to_owned();
    rig.assert_equal();
    wait_until("it is said", || rig.worker(worker).stderr().contains("Redis does not take log lines"));
    assert!(lines(&rig.run(&["logs", "--run", &run]).expect_code(0)).is_empty());
    redis::cmd("DEL").arg("{cs}:log").exec(&mut rig.redis.connection()).unwrap();
    wait_until("they are there", || says(&lines(&rig.run(&["logs", "--run", &run]).expect_code(0)), "job done"));
}

#[test]
fn a_level_is_chosen_for_each_channel_and_lines_tell_their_run_and_job() {
    let mut rig = Rig::new(&small());
    let config = rig.config();
    let quiet = rig.start_worker_with(&config, &["--log", "info,sync=error"]);
    let push = rig.push().expect_code(0).json();
    assert!(!rig.worker(quiet).stderr().contains("job done"), "{}", rig.worker(quiet).stderr());
    rig.worker(quiet).kill();
    let talkative = rig.start_worker_with(&config, &["--log", "error,sync=info"]);
    let run = rig.push().expect_code(0).json()["run"].as_str().unwrap().to_owned();
    assert_ne!(push["run"], run.as_str());
    wait_until("the last line is there", || rig.worker(talkative).stderr().contains("job.id=close"));
    let said = rig.worker(talkative).stderr();
    let of_jobs: Vec<&str> = said.lines().filter(|line| line.contains("sync: job done")).collect();
    let run_id = format!("run.id={run}");
    assert!(
        !of_jobs.is_empty() && of_jobs.iter().all(|line| line.contains(&run_id) && line.contains("job.id=")),
        "{said}"
    );
}
