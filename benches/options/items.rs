//! Single items, each with its assets, on a system that has nothing else to do.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::TARGET;
use crate::figures::Figure;
use crate::rig::{Rig, SOURCE};
use crate::run::Run;

/// What a person takes for at once.
const AT_ONCE: f64 = 1.0;

pub fn measure(posts: usize, pushes: usize) -> Result<Vec<Figure>> {
    println!("single items");
    let rig = Rig::start(posts, &[TARGET], 1)?;
    rig.push(TARGET, || Ok(()))?;
    let ids = instances::ids(&rig.root(SOURCE), "content/collections/posts")?;
    let mut times = Vec::new();
    for (number, id) in ids.iter().take(pushes).enumerate() {
        instances::edit_item(&rig.root(SOURCE), "posts", id, |post| post["title"] = json!(format!("new {number}")))?;
        let run = Run::of(&rig, &["item", "push", TARGET, "posts", id, "--with-assets"])?;
        ensure!(run.updated == 1, "{} documents were updated", run.updated);
        times.push(run.took.as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let of = |part: f64| times[((times.len() as f64 * part) as usize).min(times.len() - 1)];
    let name = |part: &str| format!("item push among {posts}, {part} of {} (limit: a second)", times.len());
    Ok(vec![
        Figure::new(name("p50"), of(0.5), "s", AT_ONCE, Some(0.0..=0.5)),
        Figure::new(name("p99"), of(0.99), "s", AT_ONCE, Some(0.0..=1.0)),
    ])
}
