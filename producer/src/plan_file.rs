//! A plan as one JSON document: written while it is made, read when it is applied.

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;

use protocol::run::RunSpec;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::forecast::{Change, Forecast, Head};

/// Of the file. What another version wrote is not guessed at.
pub(crate) const PLAN_FORMAT: u32 = 1;

/// Writes a plan piece by piece: changes are many, and none of them is kept in memory.
pub struct PlanWriter<W> {
    to: W,
    changes: u64,
}

impl<W: Write> PlanWriter<W> {
    pub fn begin(mut to: W, head: &Head) -> std::io::Result<Self> {
        let head = object_without_end(head)?;
        write!(to, "{head},\"changes\":[")?;
        Ok(Self { to, changes: 0 })
    }

    pub fn change(&mut self, change: &Change) -> std::io::Result<()> {
        let separator = if self.changes == 0 { "\n" } else { ",\n" };
        self.changes += 1;
        write!(self.to, "{separator}{}", serde_json::to_string(change)?)
    }

    pub fn end(mut self, forecast: &Forecast) -> std::io::Result<W> {
        let rest = object_without_end(forecast)?;
        writeln!(self.to, "\n],{}}}", &rest[1..])?;
        self.to.flush()?;
        Ok(self.to)
    }
}

/// An object's JSON but for the closing brace.
fn object_without_end(value: &impl Serialize) -> std::io::Result<String> {
    let mut text = serde_json::to_string(value)?;
    text.pop();
    Ok(text)
}

/// What of a plan is needed to carry it out.
#[derive(Debug, Clone, Deserialize)]
pub struct PlanFile {
    pub made: String,
    pub spec: RunSpec,
}

/// What every version's plan says of itself.
#[derive(Deserialize)]
struct Format {
    plan: Option<u32>,
    version: Option<String>,
}

impl PlanFile {
    pub fn read(path: &Path) -> Result<Self, Problem> {
        let format: Format = parse(path)?;
        let (Some(plan), Some(version)) = (format.plan, format.version) else {
            return Err(Problem::usage(format!(
                "{} is no plan: make one with `cockpit-sync plan push NAME -o FILE`",
                path.display()
            )));
        };
        let ours = env!("CARGO_PKG_VERSION");
        if plan != PLAN_FORMAT || version != ours {
            return Err(Problem::usage(format!(
                "{} was made by version {version} of cockpit-sync, this is {ours}: make a new plan",
                path.display()
            )));
        }
        parse(path)
    }
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, Problem> {
    let file =
        File::open(path).map_err(|error| Problem::usage(format!("{} cannot be read: {error}", path.display())))?;
    serde_json::from_reader(BufReader::new(file))
        .map_err(|error| Problem::usage(format!("{} is no plan, or was cut off: {error}", path.display())))
}
