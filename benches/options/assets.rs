//! Files of assets, beside rsync of the same files on the same disk. Both make them safe; all are deleted between cases.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use instances::Shape;

use crate::TARGET;
use crate::figures::Figure;
use crate::rig::{Rig, SOURCE};
use crate::run::Run;

pub fn measure(files: usize, bytes: usize) -> Result<Vec<Figure>> {
    let what = format!("{files} files of {:.2} MB", bytes as f64 / 1e6);
    println!("{what}");
    let shape =
        Shape { posts: 0, authors: 0, tree_nodes: 0, assets: files, asset_bytes: Some(bytes), ..Shape::default() };
    let rig = Rig::start_with(&shape, &[TARGET], 2)?;
    let uploads = instances::uploads(&rig.root(SOURCE));
    // Before and after, so that neither has a warmer cache; the better one is the limit.
    let before = rsync(&uploads, &rig.root("copy"))?;
    let first = Run::of(&rig, &["push", TARGET])?;
    ensure!(first.created >= files as u64, "the push created {} documents only", first.created);
    let after = rsync(&uploads, &rig.root("copy"))?;
    let compared = instances::compare(&rig.root(SOURCE), &rig.root(TARGET))?;
    ensure!(compared.is_equal(), "after the push the target is {compared}");
    let again = Run::of(&rig, &["push", TARGET])?;
    ensure!(again.written() == 0, "with nothing to do {} documents were written", again.written());
    let rsync = before.zip(after).map(|(before, after)| before.min(after).as_secs_f64());
    let (first, again) = (first.took.as_secs_f64(), again.took.as_secs_f64());
    let megabytes = |seconds: f64| (files * bytes) as f64 / 1e6 / seconds;
    Ok(vec![
        Figure::new(format!("{what} (limit: rsync -a --fsync)"), first, "s", rsync, None),
        Figure::new(format!("{what}, a second"), megabytes(first), "MB/s", rsync.map(megabytes), None),
        Figure::new(format!("{what}, again (limit: the first time)"), again, "s", first, Some(0.0..=0.5)),
    ])
}

/// None where rsync is not installed.
fn rsync(from: &Path, to: &Path) -> Result<Option<Duration>> {
    let begun = Instant::now();
    let status = Command::new("rsync").args(["-a", "--fsync"]).arg(from).arg(to).status();
    let took = begun.elapsed();
    let status = match status {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("skipped: rsync, it is not installed");
            return Ok(None);
        }
        status => status.context("starting rsync")?,
    };
    ensure!(status.success(), "rsync ended with {status}");
    fs::remove_dir_all(to)?;
    Ok(Some(took))
}
