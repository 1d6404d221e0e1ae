//! One round: a push to a fresh target, disturbed as its schedule says, and repeated when Redis lost it.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::commits::Commits;
use super::judge::judge;
use super::schedule::{Fault, Schedule};
use super::world::World;
use crate::support::{Process, documents_in};

/// No round takes so long, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A push that has ended.
pub struct Pushed {
    pub code: i32,
    /// What it printed.
    pub report: Value,
    /// How long the commit log was at its end.
    pub entries: usize,
}

/// How a round went that ended as it must.
pub struct Played {
    pub faults: usize,
    pub pushes: usize,
    pub took: Duration,
}

pub fn play(schedule: &Schedule) -> Played {
    let begun = Instant::now();
    let mut world = World::new(schedule);
    let documents = documents_in(&world.rig.source()) as usize;
    let mut commits = Commits::new(world.rig.commit_log("target"));
    let mut steps = schedule.steps.iter().peekable();
    let mut applied = Vec::new();
    let mut pushes = Vec::new();
    let mut push = world.spawn_push();
    loop {
        commits.update();
        let written = commits.written.len() * 1000 / documents;
        if let Some(step) = steps.next_if(|step| step.at <= written) {
            world.apply(step.fault);
            applied.push(step.fault);
        }
        world.tend();
        if push.ended().is_some() {
            commits.update();
            pushes.push(ended(&mut push, &applied, &commits));
            if pushes.last().is_some_and(|push: &Pushed| push.code == 0) {
                break;
            }
            push = world.spawn_push();
        }
        assert!(begun.elapsed() < PATIENCE, "it does not end\n{}\n{}", push.stdout(), push.stderr());
        std::thread::sleep(Duration::from_millis(5));
    }
    world.calm_down();
    commits.update();
    judge(&world.rig, schedule, &pushes, &commits);
    Played { faults: applied.len(), pushes: pushes.len(), took: begun.elapsed() }
}

/// A push may only fail when Redis lost what it knew of it, and then it says so.
fn ended(push: &mut Process, applied: &[Fault], commits: &Commits) -> Pushed {
    let code = push.ended().expect("it has ended");
    let report: Value = serde_json::from_str(&push.stdout()).unwrap_or_default();
    let was_lost = applied.iter().any(|fault| matches!(fault, Fault::Flush | Fault::Promote { .. }));
    let said = report["error"]["message"].as_str().unwrap_or_default();
    let is_allowed = match code {
        0 => true,
        6 => was_lost,
        // Started again while an agent or Redis was just being restarted: nothing was begun.
        5 => was_lost && ["nothing answers", "no connection"].iter().any(|words| said.starts_with(words)),
        // The run came to its end with the old master, and the agent knows that.
        1 => applied.iter().any(|fault| matches!(fault, Fault::Promote { stays_behind: Some(_) })),
        _ => false,
    };
    assert!(is_allowed, "the push ended with {code}\n{}\n{}", push.stdout(), push.stderr());
    Pushed { code, report, entries: commits.entries.len() }
}
