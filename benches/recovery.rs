//! How soon the jobs of a worker that was killed run elsewhere, at default settings. Measured from the outside: from
//! SIGKILL to the end of the run, which cannot end before somebody else has done them.

mod figures;
mod rig;

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use figures::{Figure, publish};
use rig::Rig;
use serde_json::Value;

const POSTS: usize = 20_000;
const TARGET: &str = "target";
/// Jobs that a worker executes at a time, unless told otherwise.
const SLOTS: u64 = 4;
/// What is promised, in seconds.
const WITHIN: f64 = 20.0;
/// A run that gets nowhere ends the bench.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let mut rig = Rig::start(POSTS, &[TARGET], 2)?;
    let Some(mut victim) = rig.workers.pop() else { bail!("no worker was started") };
    let mut killed = None;
    let pushed = rig.push(TARGET, || {
        // More is at work than one worker has slots for: so the victim holds some of it.
        let begun = Instant::now();
        while posts_at_work(&rig)? <= SLOTS {
            ensure!(begun.elapsed() < PATIENCE, "the push gets nowhere");
        }
        victim.kill()?;
        killed = Some(begun.elapsed());
        Ok(())
    })?;
    let Some(killed) = killed else { bail!("the worker was not killed") };
    let (created, updated) = (pushed.created, pushed.updated);
    ensure!(created >= POSTS as u64 && updated == 0, "{created} documents were created, {updated} updated");
    let took = (pushed.took - killed).as_secs_f64();
    publish(
        "recovery",
        "what is promised",
        &[Figure::new("from SIGKILL of a worker to the end of its run", took, "s", WITHIN, Some(0.0..=1.0))],
    )
}

/// How many batches of content are in workers' hands.
fn posts_at_work(rig: &Rig) -> Result<u64> {
    let status: Value = rig.ask(&["status", TARGET])?;
    let holder = &status["targets"][0]["holder"];
    let is_content = holder["stage"] == "content";
    Ok(holder["depth"]["claimed"].as_u64().filter(|_| is_content).unwrap_or(0))
}
