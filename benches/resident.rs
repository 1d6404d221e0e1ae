//! What a process holds in memory.

use std::fs;

use anyhow::{Context, Result};

use crate::rig::Process;

/// `VmRSS:` is what it holds now, `VmHWM:` the most it held.
pub fn megabytes(process: &Process, field: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kilobytes = line.and_then(|value| value.trim().strip_suffix(" kB")).with_context(|| format!("no {field}"))?;
    Ok(kilobytes.trim().parse::<f64>()? / 1024.0)
}
