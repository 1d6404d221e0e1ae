//! What a transform costs: pushes in which every post passes a filter, beside the same pushes without.

use std::fs;

use anyhow::{Result, ensure};

use crate::figures::Figure;
use crate::median;
use crate::rig::Rig;
use crate::run::Run;

const ROUNDS: usize = 3;
const PLAIN: &str = "plain";
const SHAPED: &str = "shaped";
const TRANSFORM: &str =
    "[transform.content]\nbefore = 'del(._internalNotes) | if has(\"rating\") then .rating += 1 else . end'\n";

pub fn measure(posts: usize) -> Result<Vec<Figure>> {
    println!("transforms");
    let (mut plain, mut shaped, mut nothing) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let rig = Rig::start(posts, &[PLAIN, SHAPED], 2)?;
        let first = Run::of(&rig, &["push", PLAIN])?;
        ensure!(first.created >= posts as u64, "the push created {} documents only", first.created);
        plain.push(first.took);

        // The workers need not know: it travels with the run.
        let config = fs::read_to_string(rig.config())?;
        fs::write(rig.config(), config + TRANSFORM)?;
        let through = Run::of(&rig, &["push", SHAPED])?;
        ensure!(through.created == first.created, "the push created {} documents", through.created);
        shaped.push(through.took);

        let again = Run::of(&rig, &["push", SHAPED])?;
        ensure!(again.written() == 0, "with nothing to do {} documents were written", again.written());
        nothing.push(again.took);
    }
    let (plain, shaped, nothing) = (median(plain), median(shaped), median(nothing));
    let per_second = |seconds: f64| posts as f64 / seconds;
    Ok(vec![
        Figure::new(
            format!("first push of {posts} posts, all through a filter (limit: without)"),
            shaped,
            "s",
            plain,
            Some(0.0..=2.0),
        ),
        Figure::new("posts a second through the filter", per_second(shaped), "/s", per_second(plain), None),
        Figure::new("the same again, with nothing to write (limit: first push without)", nothing, "s", plain, None),
    ])
}
