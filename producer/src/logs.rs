//! What processes logged, as it lies in Redis.

use protocol::log::{CHANNELS, Level, Line};
use queue::Queue;

use crate::error::Problem;

/// Which lines are wanted. Default: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WantedLines {
    /// About this run.
    pub run: Option<String>,
    /// Of this part of the program.
    pub channel: Option<String>,
    /// As grave as this, or graver.
    pub level: Option<Level>,
}

/// The latest of them, at most so many, the newest first.
pub async fn log_lines(queue: &Queue, wanted: &WantedLines, limit: usize) -> Result<Vec<Line>, Problem> {
    if let Some(unknown) = wanted.channel.as_ref().filter(|name| !CHANNELS.contains(&name.as_str())) {
        let known = CHANNELS.join(", ");
        return Err(Problem::usage(format!("no channel is called {unknown:?}; there are {known}")));
    }
    let is_chosen = wanted.channel.is_some() || wanted.level.is_some();
    let kept = queue.log(wanted.run.as_deref(), if is_chosen { usize::MAX } else { limit }).await?;
    // A line of another version that cannot be read is none.
    let lines = kept.iter().filter_map(|text| serde_json::from_str::<Line>(text).ok());
    let is_wanted = |line: &Line| {
        wanted.channel.as_ref().is_none_or(|channel| *channel == line.channel)
            && wanted.level.is_none_or(|level| line.level >= level)
    };
    Ok(lines.filter(is_wanted).take(limit).collect())
}
