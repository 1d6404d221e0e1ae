//! Measured figures beside their limits: a table for people, `target/bench/NAME.json` for programs.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

/// One measured figure and what it is measured against.
#[derive(Serialize)]
pub struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    limit: f64,
    /// value / limit
    ratio: f64,
    #[serde(skip)]
    wanted: Option<f64>,
}

impl Figure {
    /// `wanted`: the largest ratio that is good enough.
    pub fn new(name: impl Into<String>, value: f64, unit: &'static str, limit: f64, wanted: Option<f64>) -> Self {
        Self { name: name.into(), value, unit, limit, ratio: value / limit, wanted }
    }
}

/// Prints the figures, and writes `target/bench/NAME.json`.
pub fn publish(name: &str, limit: &str, figures: &[Figure]) -> Result<()> {
    let width = figures.iter().map(|figure| figure.name.len()).max().unwrap_or(0);
    println!("\n{:width$} {:>12} {:>12} {:>7}  wanted   (limit: {limit})", "", "measured", "limit", "ratio");
    for Figure { name, value, unit, limit, ratio, wanted } in figures {
        let wanted = match wanted {
            Some(most) if ratio <= most => format!("<= {most}, met"),
            Some(most) => format!("<= {most}, MISSED"),
            None => String::new(),
        };
        println!("{name:width$} {:>12} {:>12} {ratio:>7.2}  {wanted}", in_unit(*value, unit), in_unit(*limit, unit));
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
