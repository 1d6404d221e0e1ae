//! Numbers and states as people read them.

use queue::RunState;

/// `1234567` -> `1.2 MB`.
pub fn bytes(count: u64) -> String {
    bytesize::ByteSize::b(count).display().si().to_string()
}

/// `1234567` -> `1,234,567`.
pub fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `4000.0` -> `1 h 6 min`.
pub fn seconds(count: f64) -> String {
    let whole = count.max(0.0).round() as u64;
    match whole {
        0 => format!("{count:.1} s"),
        1..=59 => format!("{whole} s"),
        60..=3599 => format!("{} min {} s", whole / 60, whole % 60),
        3600..=86_399 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// `2026-11-22T13:09:40Z` -> `2026-11-22 13:09:40 UTC`; what is no time stays as it is.
pub fn time(utc: &str) -> String {
    match utc.strip_suffix('Z').and_then(|rest| rest.split_once('T')) {
        Some((day, time)) => format!("{day} {} UTC", time.split('.').next().unwrap_or(time)),
        None => utc.to_owned(),
    }
}

/// At most so many characters of a text: what others wrote may be long, and pages are small.
pub fn cut(mut text: String, characters: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(characters) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// An id as people need it.
pub fn short(id: &str) -> &str {
    id.get(id.len().saturating_sub(12)..).unwrap_or(id)
}

/// A word with the colour it is shown in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub text: String,
    /// A class of the style sheet: `good`, `warn`, `bad` or none.
    pub kind: &'static str,
}

impl Mark {
    pub fn new(text: impl Into<String>, kind: &'static str) -> Self {
        Self { text: text.into(), kind }
    }

    pub fn of_state(state: RunState) -> Self {
        let kind = match state {
            RunState::Finished => "good",
            RunState::FinishedHeld | RunState::Stalled | RunState::Paused | RunState::Ending => "warn",
            RunState::Failed | RunState::Unlocked => "bad",
            RunState::Waiting | RunState::Running | RunState::Cancelled => "",
        };
        let text = match state {
            RunState::FinishedHeld => "finished, items held",
            other => other.as_str(),
        };
        Self::new(text, kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_people_read_them() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.4, 59.0, 61.0, 4000.0, 90_000.0].map(seconds),
            ["0.4 s", "59 s", "1 min 1 s", "1 h 6 min", "1 d 1 h"]
        );
        assert_eq!(time("2026-11-22T13:09:40.123Z"), "2026-11-22 13:09:40 UTC");
        assert_eq!((bytes(1_234_567).as_str(), short("0123456789abcdef")), ("1.2 MB", "456789abcdef"));
    }
}
