//! Memory of a worker and of the agents after pushing 20,000 documents, and after pushing ten times as many (I8).

mod figures;
mod resident;
mod rig;

use anyhow::{Result, ensure};
use figures::{Figure, publish};
use resident::megabytes;
use rig::{Rig, SOURCE};

const TARGET: &str = "target";

fn main() -> Result<()> {
    let few = after_pushing(20_000)?;
    let many = after_pushing(200_000)?;
    let figures: Vec<Figure> = few
        .into_iter()
        .zip(many)
        .map(|((name, few), (_, many))| Figure::new(name, many, "MB", few, Some(0.0..=1.5)))
        .collect();
    publish("memory", "after 20,000 documents; measured: after 200,000", &figures)
}

/// What each process holds after a push into an empty target, and the most it held, in MB.
fn after_pushing(posts: usize) -> Result<Vec<(String, f64)>> {
    println!("pushing {posts} posts");
    let rig = Rig::start(posts, &[TARGET], 1)?;
    let pushed = rig.push(TARGET, || Ok(()))?;
    ensure!(pushed.created >= posts as u64 && pushed.updated == 0, "{} documents were created", pushed.created);
    println!("took {:.1} s", pushed.took.as_secs_f64());
    let mut figures = Vec::new();
    for (name, process) in [
        ("worker", &rig.workers[0]),
        ("agent of the source", &rig.agents[SOURCE]),
        ("agent of the target", &rig.agents[TARGET]),
    ] {
        figures.push((format!("{name}, resident"), megabytes(process, "VmRSS:")?));
        figures.push((format!("{name}, most it had"), megabytes(process, "VmHWM:")?));
    }
    Ok(figures)
}
