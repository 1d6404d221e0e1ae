//! Runs and plans over few and over many documents: what they cost follows what changed.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use instances::Shape;
use serde_json::Value;

use crate::figures::Figure;
use crate::rig::{Rig, SOURCE};
use crate::run::Run;
use crate::{TARGET, median};

const ROUNDS: u64 = 3;
const EMPTY: &str = "empty";

/// Of one size.
struct Times {
    nothing: f64,
    /// As many documents as are 1 % of the smaller size.
    few_changed: f64,
    percent_changed: f64,
    plan_of_nothing: f64,
    plan_of_percent: f64,
    plan_of_all: f64,
    /// Reading all documents once, by SQLite alone.
    read: f64,
    /// Copying as many documents as 1 % are.
    copy_of_percent: f64,
}

pub fn measure(few: usize, many: usize) -> Result<Vec<Figure>> {
    let of_few = of_size(few, few / 100)?;
    let of_many = of_size(many, few / 100)?;
    let seconds = |name: String, value, limit, wanted| Figure::new(name, value, "s", limit, wanted);
    let mut figures = Vec::new();
    let same = few / 100;
    // What Cockpit changed in its files is found by reading them; what nobody touched is not read. Of a large collection only
    // the parts that differ are compared.
    for (size, times) in [(few, &of_few), (many, &of_many)] {
        let name = |what: &str| format!("{what} {size} (limit: reading all once)");
        let wanted = (size == many).then_some(0.0..=0.5);
        figures.push(seconds(name("no change,"), times.nothing, times.read, wanted));
        let wanted = (size == many).then_some(0.0..=1.5);
        figures.push(seconds(name(&format!("{same} changed of")), times.few_changed, times.read, wanted));
    }
    for (size, times) in [(few, &of_few), (many, &of_many)] {
        let copy = times.copy_of_percent;
        let name = format!("1 % changed of {size} (limit: copying those)");
        figures.push(seconds(name, times.percent_changed, copy, None));
    }
    figures.extend([
        seconds(
            format!("plan, nothing to do, {many} (limit: reading all once)"),
            of_many.plan_of_nothing,
            of_many.read,
            Some(0.0..=0.5),
        ),
        seconds(
            format!("plan, 1 % changed of {many} (limit: reading all once)"),
            of_many.plan_of_percent,
            of_many.read,
            None,
        ),
        seconds(
            format!("plan, all {many} to be created (limit: reading all once)"),
            of_many.plan_of_all,
            of_many.read,
            None,
        ),
    ]);
    Ok(figures)
}

fn of_size(posts: usize, few: usize) -> Result<Times> {
    println!("{posts} documents");
    let rig = Rig::start(posts, &[TARGET, EMPTY], 2)?;
    let first = rig.push(TARGET, || Ok(()))?;
    ensure!(first.created >= posts as u64 && first.updated == 0, "{} documents were created", first.created);
    println!("the first push took {:.1} s", first.took.as_secs_f64());
    let (mut nothing, mut few_changed, mut percent_changed) = (Vec::new(), Vec::new(), Vec::new());
    let (mut plan_of_nothing, mut plan_of_percent) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        nothing.push(push(&rig, 0)?);
        plan_of_nothing.push(plan(&rig, TARGET, 0)?);
        let percent = 100.0 * few as f64 / posts as f64;
        few_changed.push(push(&rig, instances::change(&rig.root(SOURCE), percent, 2 * round)?.len())?);
        let changed = instances::change(&rig.root(SOURCE), 1.0, 2 * round + 1)?.len();
        plan_of_percent.push(plan(&rig, TARGET, changed)?);
        percent_changed.push(push(&rig, changed)?);
    }
    let compared = instances::compare(&rig.root(SOURCE), &rig.root(TARGET))?;
    ensure!(compared.is_equal(), "after the pushes the target is {compared}");
    Ok(Times {
        nothing: median(nothing),
        few_changed: median(few_changed),
        percent_changed: median(percent_changed),
        plan_of_nothing: median(plan_of_nothing),
        plan_of_percent: median(plan_of_percent),
        plan_of_all: plan(&rig, EMPTY, posts)?.as_secs_f64(),
        read: read_all(&rig)?,
        copy_of_percent: copy_of(&rig, posts / 100)?,
    })
}

fn push(rig: &Rig, changed: usize) -> Result<Duration> {
    let run = Run::of(rig, &["push", TARGET])?;
    ensure!(run.written() == changed as u64, "{changed} documents were changed, {} written", run.written());
    Ok(run.took)
}

/// At least so many changes: those of assets, locales and so on are in it, too.
fn plan(rig: &Rig, target: &str, changes: usize) -> Result<Duration> {
    let begun = Instant::now();
    let plan: Value = rig.ask(&["plan", "push", target])?;
    let took = begun.elapsed();
    let planned = plan["changes"].as_array().map_or(0, Vec::len);
    ensure!(planned >= changes && (changes > 0 || planned == 0), "{changes} changes, {planned} planned");
    Ok(took)
}

fn read_all(rig: &Rig) -> Result<f64> {
    let begun = Instant::now();
    let connection = rusqlite::Connection::open(instances::data_file(&rig.root(SOURCE), "content.sqlite"))?;
    let mut statement = connection.prepare("SELECT document FROM collections_posts")?;
    let mut rows = statement.query([])?;
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        bytes += row.get_ref(0)?.as_str()?.len();
    }
    ensure!(bytes > 0, "there are no posts");
    Ok(begun.elapsed().as_secs_f64())
}

fn copy_of(rig: &Rig, posts: usize) -> Result<f64> {
    let root = rig.root("as-many-as-changed");
    instances::make(&root, &Shape { posts, ..Shape::default() })?;
    Ok(instances::copy_limit(&root, &rig.root("copy"), crate::WRITE, "FULL")?.took.as_secs_f64())
}
