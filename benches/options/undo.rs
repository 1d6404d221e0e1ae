//! Undoing a push that overwrote half of the documents, beside that push.

use anyhow::{Context, Result, ensure};
use instances::{Shape, Stored};
use serde_json::Value;

use crate::figures::Figure;
use crate::rig::{Rig, SOURCE};
use crate::run::Run;
use crate::{TARGET, WRITE};

pub fn measure(posts: usize) -> Result<Vec<Figure>> {
    println!("undo");
    let rig = Rig::start(posts, &[TARGET], 2)?;
    rig.push(TARGET, || Ok(()))?;
    let before = Stored::of(&rig.root(TARGET))?;
    let changed = instances::change(&rig.root(SOURCE), 50.0, 1)?.len();
    let push = Run::of(&rig, &["push", TARGET])?;
    ensure!(push.updated == changed as u64, "{changed} documents were changed, {} written", push.updated);
    let runs: Value = rig.ask(&["show", "last"])?;
    let run = runs["run"].as_str().context("the run has an id")?;
    let undo = Run::of(&rig, &["undo", run])?;
    ensure!(undo.updated == changed as u64, "{changed} documents were written, {} put back", undo.updated);
    let differences = before.differences(&Stored::of(&rig.root(TARGET))?);
    ensure!(differences.is_empty(), "after the undo the target is not as before: {differences:?}");

    let root = rig.root("as-many-as-changed");
    instances::make(&root, &Shape { posts: changed, ..Shape::default() })?;
    let copy = instances::copy_limit(&root, &rig.root("copy"), WRITE, "FULL")?.took.as_secs_f64();
    let (undo, push) = (undo.took.as_secs_f64(), push.took.as_secs_f64());
    Ok(vec![
        Figure::new(format!("push over {changed} documents (limit: copying those)"), push, "s", copy, None),
        Figure::new(format!("undo of {changed} documents (limit: that push)"), undo, "s", push, Some(0.0..=2.0)),
    ])
}
