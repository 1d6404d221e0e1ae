//! What a sync can be asked beside pushing everything: nothing changed, a little changed, plans, single items, transforms,
//! undo, files. Each figure beside its limit or its peer, measured in the same run.
//!
//! `BENCH_SCALE=0.05` makes all of it smaller.

mod figures;
mod rig;

#[path = "options/assets.rs"]
mod assets;
#[path = "options/changes.rs"]
mod changes;
#[path = "options/items.rs"]
mod items;
#[path = "options/run.rs"]
mod run;
#[path = "options/transforms.rs"]
mod transforms;
#[path = "options/undo.rs"]
mod undo;

use std::time::Duration;

use anyhow::{Context, Result};
use figures::publish;
use instances::Batch;

const TARGET: &str = "target";
/// What a worker puts into one write; see worker/src/handlers/batch/writer.rs.
const WRITE: Batch = Batch { rows: usize::MAX, bytes: 900 * 1024 };

fn main() -> Result<()> {
    let scale = match std::env::var("BENCH_SCALE") {
        Ok(text) => text.parse().context("BENCH_SCALE is a number")?,
        Err(_) => 1.0,
    };
    let sized = |full: usize| ((full as f64 * scale) as usize).max(10);
    let mut figures = changes::measure(sized(20_000), sized(200_000))?;
    figures.extend(items::measure(sized(20_000), sized(100))?);
    figures.extend(transforms::measure(sized(20_000))?);
    figures.extend(undo::measure(sized(20_000))?);
    figures.extend(assets::measure(sized(10_000), 50_000)?);
    figures.extend(assets::measure(10, sized(200_000_000))?);
    publish("options", "what its line says", &figures)
}

/// In seconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}
