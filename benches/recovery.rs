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
/// What is promised, in seconds.
const WITHIN: f64 = 20.0;
/// A run that gets nowhere ends the bench.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let mut rig = Rig::start(POSTS, &[TARGET], 2)?;
    let Some(mut victim) = rig.workers.pop() else { bail!("no worker was started") };
    let mut killed = None;
    let pushed = rig.push(TARGET, || {
        // In the middle: both workers have done something, and have begun more.
        let begun = Instant::now();
        while items(&rig)? < POSTS as u64 / 4 {
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
        &[Figure::new("from SIGKILL of a worker to the end of its run", took, "s", WITHIN, Some(1.0))],
    )
}

/// How many items of the run are through; 0 before it began.
fn items(rig: &Rig) -> Result<u64> {
    let status: Value = rig.ask(&["status", TARGET])?;
    Ok(status["targets"][0]["holder"]["items"].as_u64().unwrap_or(0))
}
