//! Whether a round ended as it must, whatever happened in it.

use std::collections::{HashMap, HashSet};

use super::commits::{Commits, Entry};
use super::round::Pushed;
use super::schedule::{Fault, Schedule};
use crate::support::{Rig, documents_in};

/// Runs are kept for a week.
const RETENTION_MS: i64 = 7 * 24 * 3600 * 1000;

pub fn judge(rig: &Rig, schedule: &Schedule, pushes: &[Pushed], commits: &Commits) {
    rig.assert_equal();
    every_commit_had_the_open_grant(commits);
    nothing_was_committed_after_the_end_of_its_run(pushes, commits);
    counters_equal_what_was_written(rig, schedule, pushes, commits);
    nothing_is_left_in_redis(rig);
}

fn every_commit_had_the_open_grant(commits: &Commits) {
    let mut open = &None;
    for entry in &commits.entries {
        match entry {
            Entry::Grant(grant) => open = grant,
            Entry::Commit { token, run, .. } => {
                let used = Some((token.clone(), run.clone()));
                assert_eq!(&used, open, "a commit outside the grant that was open at that moment");
            }
        }
    }
    assert_eq!(open, &None, "a grant is still open");
}

fn nothing_was_committed_after_the_end_of_its_run(pushes: &[Pushed], commits: &Commits) {
    for push in pushes.iter().filter(|push| push.report["grant_closed"] == true) {
        let late = commits.entries[push.entries..].iter().filter(
            |entry| matches!(entry, Entry::Commit { run, .. } if push.report["run"].as_str() == Some(run.as_str())),
        );
        assert_eq!(late.count(), 0, "commits of run {} after its end was reported", push.report["run"]);
    }
}

/// The target was fresh, so every document of it was created, by one of the pushes, once.
fn counters_equal_what_was_written(rig: &Rig, schedule: &Schedule, pushes: &[Pushed], commits: &Commits) {
    let documents = documents_in(&rig.target());
    let mut created: HashMap<&str, u64> = HashMap::new();
    let mut seen = HashSet::new();
    for entry in &commits.entries {
        let Entry::Commit { run, identities, .. } = entry else { continue };
        *created.entry(run).or_default() += identities.len() as u64;
        for identity in identities {
            assert!(seen.insert(identity), "{identity:?} was committed twice");
        }
    }
    // An agent may be killed between a commit and its line in the log.
    let unlogged = documents - seen.len() as u64;
    let was_killed = schedule.has(|fault| *fault == Fault::KillAgent("target"));
    assert!(unlogged == 0 || was_killed, "{unlogged} of {documents} documents were committed by nobody");

    let mut in_all = 0;
    for push in pushes {
        let report = &push.report;
        let Some(run) = report["run"].as_str() else { continue };
        let count = |name: &str| report["counts"][name].as_u64().unwrap();
        let logged = created.remove(run).unwrap_or(0);
        if push.code != 0 {
            in_all += logged;
            continue;
        }
        in_all += count("created");
        let range = logged..=logged + unlogged;
        assert!(range.contains(&count("created")), "run {run} says it created {}, not {range:?}", count("created"));
        assert_eq!(count("created") + count("unchanged"), documents, "{report:#}");
        assert_eq!((count("updated"), count("held"), report["dead_jobs"].as_u64()), (0, 0, Some(0)), "{report:#}");
        assert_eq!((report["verified"].as_bool(), report["state"].as_str()), (Some(true), Some("finished")));
    }
    // What pushes wrote that were lost is known from the log alone.
    in_all += created.values().sum::<u64>();
    let range = documents - unlogged..=documents;
    assert!(range.contains(&in_all), "the pushes say they created {in_all} documents in all, there are {documents}");
    if pushes.len() == 1 {
        assert_eq!(in_all, documents, "one push created them all");
    }
}

/// No run is under way, no job is pending, and what is known of runs expires.
fn nothing_is_left_in_redis(rig: &Rig) {
    let mut redis = rig.redis.connection();
    for key in redis::cmd("KEYS").arg("*").query::<Vec<String>>(&mut redis).unwrap() {
        match key.strip_prefix("{cs}:").unwrap_or(&key) {
            // Of the deployment, and of a target whoever uses it.
            "clock" | "counter" | "deployment" | "seq" | "event-log" | "targets" | "leases" | "history" | "last"
            | "audit" | "audited" | "log" | "workers" => {}
            of_target if of_target.starts_with("target:") && of_target.ends_with(":pace") => {}
            of_target if of_target.starts_with("target:") && of_target.ends_with(":jobs") => {
                let entries: u64 = redis::cmd("XLEN").arg(&key).query(&mut redis).unwrap();
                assert_eq!(entries, 0, "jobs are left in {key}");
            }
            of_run if of_run.starts_with("run:") || of_run.starts_with("worker:") => {
                let left: i64 = redis::cmd("PTTL").arg(&key).query(&mut redis).unwrap();
                assert!((0..=RETENTION_MS).contains(&left), "{key} stays for ever (its time to live is {left})");
            }
            _ => panic!("{key} is left behind"),
        }
    }
}
