//! A line of a log: as processes print it, and as they keep it in Redis for others to read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Of what is kept: a message, and all fields together, are cut after so many bytes.
const MESSAGE_BYTES: usize = 1000;
const FIELDS_BYTES: usize = 2000;

/// The parts of the program by which lines are chosen.
pub const CHANNELS: [&str; 6] = ["sync", "queue", "agent", "serve", "listening", "notify"];

/// How grave it is; what is graver is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    pub const ALL: [Self; 5] = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error];

    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|level| level.name() == text);
        named.ok_or_else(|| format!("{text:?} is no level: error, warn, info, debug or trace"))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// UTC, as in `2026-11-22T13:09:40.123456Z`.
    pub time: String,
    pub level: Level,
    /// One of [`CHANNELS`]; of what others say that is printed, whose it is.
    pub channel: String,
    /// Who says it: `web1/4711`, the machine and the process.
    pub process: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    pub message: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
}

impl Line {
    /// What is too long to be kept is cut: a line is as small as a job.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        cut(&mut self.message, MESSAGE_BYTES);
        let mut left = FIELDS_BYTES;
        for (name, value) in &mut self.fields {
            left = left.saturating_sub(name.len());
            if let Value::String(text) = value {
                cut(text, left);
                left = left.saturating_sub(text.len());
            }
        }
        self
    }

    /// What it says beside when and who: the message with its fields.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for character in self.message.chars() {
            match character.is_control() {
                true => text.extend(character.escape_default()),
                false => text.push(character),
            }
        }
        for (name, value) in &self.fields {
            match value {
                Value::String(word) if is_one_word(word) => text += &format!(" {name}={word}"),
                Value::String(words) => text += &format!(" {name}={words:?}"),
                other => text += &format!(" {name}={other}"),
            }
        }
        text
    }
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = self.level.name().to_uppercase();
        write!(formatter, "{} {level:>5} {}: {}", self.time, self.channel, self.text())?;
        for (name, id) in [("run.id", &self.run), ("job.id", &self.job)] {
            if let Some(id) = id {
                write!(formatter, " {name}={id}")?;
            }
        }
        Ok(())
    }
}

/// It can be shown without quotes.
fn is_one_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|character: char| character.is_whitespace() || character.is_control())
}

/// At most so many bytes, of whole characters.
fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            time: "2026-11-22T13:09:40.123456Z".into(),
            level: Level::Warn,
            channel: "sync".into(),
            process: "web1/4711".into(),
            run: Some("r".into()),
            job: None,
            message: "job failed".into(),
            fields: [("attempts".to_owned(), 2.into()), ("error".to_owned(), "away".into())].into_iter().collect(),
        }
    }

    #[test]
    fn a_line_is_read_as_it_was_written_and_shown_with_its_ids() {
        let text = serde_json::to_string(&line()).expect("plain values");
        assert_eq!(serde_json::from_str::<Line>(&text).expect("as it was written"), line());
        let shown = "2026-11-22T13:09:40.123456Z  WARN sync: job failed attempts=2 error=away run.id=r";
        assert_eq!(line().to_string(), shown);
        assert!(Level::Error > Level::Warn && "warn".parse() == Ok(Level::Warn) && "x".parse::<Level>().is_err());
    }

    #[test]
    fn nothing_that_others_say_begins_a_line_of_its_own() {
        let mut said = line();
        said.message = "it says\n2026 ERROR".into();
        said.fields.insert("error".into(), "all\r\n\u{1b}[31mwell".into());
        let shown = said.to_string();
        assert!(!shown.contains(char::is_control), "{shown:?}");
        assert!(shown.contains(r"it says\n2026") && shown.contains(r#"error="all\r\n"#), "{shown}");
    }

    #[test]
    fn what_is_kept_of_a_line_is_bounded() {
        let mut long = line();
        long.message = "ä".repeat(100_000);
        long.fields = (0..100).map(|number| (format!("field{number}"), "ö".repeat(5000).into())).collect();
        let kept = serde_json::to_string(&long.shortened()).expect("plain values");
        assert!(kept.len() < 6000, "{}", kept.len());
    }
}
