//! How long pushes take, beside what no sync could beat: copying the same rows from one SQLite file to another, in
//! transactions as large as an agent's, safe on the disk, with nothing in between.

mod figures;
mod rig;

use std::time::Duration;

use anyhow::{Result, ensure};
use figures::{Figure, publish};
use instances::Batch;
use protocol::api::{PAGE_BYTES, PAGE_DOCUMENTS};
use rig::{Rig, SOURCE};

const POSTS: usize = 20_000;
/// What a worker puts into one write: a page.
const WRITE: Batch = Batch { rows: PAGE_DOCUMENTS, bytes: PAGE_BYTES };
const TARGET: &str = "target";
const ROUNDS: u64 = 3;

fn main() -> Result<()> {
    let (mut first, mut nothing, mut changed, mut limit) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        // Everything is new each time: the agents have not seen the documents before.
        let rig = Rig::start(POSTS, &[TARGET], 2)?;
        // In the same round, so that a machine that is busy for a while slows down both.
        limit.push(instances::copy_limit(&rig.root(SOURCE), &rig.root("copy"), WRITE, "FULL")?.took);

        let pushed = rig.push(TARGET, || Ok(()))?;
        ensure!(pushed.created >= POSTS as u64, "the first push created {} documents only", pushed.created);
        first.push(pushed.took);

        let again = rig.push(TARGET, || Ok(()))?;
        ensure!(again.created + again.updated == 0, "with nothing to do {} documents were written", again.updated);
        nothing.push(again.took);

        let edited = instances::change(&rig.root(SOURCE), 1.0, round)?.len() as u64;
        let delta = rig.push(TARGET, || Ok(()))?;
        ensure!(delta.updated == edited, "{edited} documents were edited, {} written", delta.updated);
        changed.push(delta.took);
    }
    let limit = median(limit);
    let figure = |name: &str, times, wanted| Figure::new(name, median(times), "s", limit, wanted);
    publish(
        "push",
        "copying the posts from file to file",
        &[
            figure("first push of 20,000 posts (two workers)", first, Some(0.0..=8.0)),
            figure("push with nothing to do", nothing, Some(0.0..=2.0)),
            figure("push with 1 % changed", changed, None),
        ],
    )
}

/// In seconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}
