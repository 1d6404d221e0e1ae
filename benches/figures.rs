//! Measured figures beside their limits: a table for people, `target/bench/NAME.json` for programs.

use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

/// One measured figure and what it is measured against.
#[derive(Serialize)]
pub struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    limit: Option<f64>,
    /// value / limit
    ratio: Option<f64>,
    #[serde(skip)]
    wanted: Option<RangeInclusive<f64>>,
}

impl Figure {
    /// `wanted`: the ratios that are good enough. A figure without a limit is there for others to be compared with.
    pub fn new(
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        limit: impl Into<Option<f64>>,
        wanted: Option<RangeInclusive<f64>>,
    ) -> Self {
        let limit = limit.into();
        Self { name: name.into(), value, unit, limit, ratio: limit.map(|limit| value / limit), wanted }
    }

    fn verdict(&self) -> String {
        let (Some(wanted), Some(ratio)) = (&self.wanted, self.ratio) else { return String::new() };
        let edge = match (*wanted.start(), *wanted.end()) {
            (least, f64::INFINITY) => format!(">= {least}"),
            (_, most) => format!("<= {most}"),
        };
        format!("{edge}, {}", if wanted.contains(&ratio) { "met" } else { "MISSED" })
    }
}

/// Prints the figures, and writes `target/bench/NAME.json`.
pub fn publish(name: &str, limit: &str, figures: &[Figure]) -> Result<()> {
    let width = figures.iter().map(|figure| figure.name.len()).max().unwrap_or(0);
    println!("\n{:width$} {:>15} {:>15} {:>7}  wanted   (limit: {limit})", "", "measured", "limit", "ratio");
    for figure in figures {
        let in_unit = |value: f64| in_unit(value, figure.unit);
        let limit = figure.limit.map(in_unit).unwrap_or_default();
        let ratio = figure.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        println!("{:width$} {:>15} {limit:>15} {ratio:>7}  {}", figure.name, in_unit(figure.value), figure.verdict());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{name}.json"));
    fs::write(&file, serde_json::to_string_pretty(figures)? + "\n")?;
    println!("written to {}", file.display());
    Ok(())
}

fn in_unit(value: f64, unit: &str) -> String {
    if value < 10.0 { format!("{value:.3} {unit}") } else { format!("{value:.1} {unit}") }
}
