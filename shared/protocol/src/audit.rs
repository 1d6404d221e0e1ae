//! The audit log of an agent: one line of JSON per entry, each with the hash of the one before it.
//!
//! Owns the form of a line and what makes a chain of them whole. It must not know where lines are kept. The hash of a
//! line is of its very bytes, so whoever checks needs no rule about how JSON is written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sign::body_hash;

/// Instead of a user, where nobody asked for it.
pub const SYSTEM: &str = "system";

/// What was done, or was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A run got the right to write.
    GrantOpened,
    GrantClosed,
    /// What a run brought about in all, with the hash of its receipt.
    RunEnded,
    /// A mirror's list stands: what is on it may be deleted.
    DeletesDecided,
    Deleted,
    /// A page of what a run had done was undone.
    Undone,
    Refused,
    AgentStarted,
    /// Keys came or went.
    KeysChanged,
    /// What was written last was not there any more when the agent started.
    LogDamaged,
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::GrantOpened => "grant opened",
            Self::GrantClosed => "grant closed",
            Self::RunEnded => "run ended",
            Self::DeletesDecided => "deletes decided",
            Self::Deleted => "deleted",
            Self::Undone => "undone",
            Self::Refused => "refused",
            Self::AgentStarted => "agent started",
            Self::KeysChanged => "keys changed",
            Self::LogDamaged => "log damaged",
        })
    }
}

/// One entry, without its own hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts from 1, without gaps.
    pub number: u64,
    /// RFC 3339, UTC, by the agent's clock.
    pub time: String,
    pub action: Action,
    /// The instance, by its id.
    pub target: String,
    /// Who, as the run says of itself ("anna on web1"); or [`SYSTEM`]. None: whoever had the key, or had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Which key signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Why, in words; what was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
    /// SHA-256 of the run's receipt (as `show --receipt --json` prints it, without `undo`), hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// The hash of the entry before this one; of the first one, empty.
    pub previous: String,
}

impl Entry {
    /// An entry that has no place in a chain yet.
    pub fn new(action: Action) -> Self {
        Self {
            number: 0,
            time: String::new(),
            action,
            target: String::new(),
            user: None,
            key: None,
            address: None,
            run: None,
            reason: None,
            counts: BTreeMap::new(),
            receipt: None,
            previous: String::new(),
        }
    }

    /// The line to be written, without its end, and its hash.
    pub fn line(&self) -> (String, String) {
        let body = serde_json::to_string(self).expect("an entry is strings and numbers");
        let hash = body_hash(body.as_bytes());
        let open = body.strip_suffix('}').expect("an entry is a JSON object");
        (format!("{open}{HASH}{hash}{END}"), hash)
    }

    /// Reads a line back, with its hash. None where it was not written so.
    pub fn read(line: &str) -> Option<(Self, String)> {
        let (open, hash) = line.strip_suffix(END)?.rsplit_once(HASH)?;
        let body = format!("{open}}}");
        let entry = serde_json::from_str(&body).ok()?;
        (body_hash(body.as_bytes()) == hash).then(|| (entry, hash.to_owned()))
    }
}

const HASH: &str = ",\"hash\":\"";
const END: &str = "\"}";

/// A place in a chain: the entry of this number has this hash. Number 0 is before the first entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub number: u64,
    pub hash: String,
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.number, self.hash)
    }
}

/// It is not `NUMBER:HASH`.
#[derive(Debug, thiserror::Error)]
#[error("a mark is NUMBER:HASH, as `audit verify` prints it")]
pub struct NoMark;

impl std::str::FromStr for Mark {
    type Err = NoMark;

    fn from_str(text: &str) -> Result<Self, NoMark> {
        let (number, hash) = text.split_once(':').ok_or(NoMark)?;
        let number = number.parse().map_err(|_| NoMark)?;
        if hash.len() == 64 { Ok(Self { number, hash: hash.into() }) } else { Err(NoMark) }
    }
}

/// What is wrong with a chain, named by the entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "problem", rename_all = "snake_case")]
pub enum Problem {
    #[error("entry {number} was changed after it was written")]
    Changed { number: u64 },
    #[error("entry {number} is not the one that entry {} was written after: it was replaced", number + 1)]
    Replaced { number: u64 },
    #[error("entries {first} to {last} are missing")]
    Missing { first: u64, last: u64 },
    #[error("entries {first} to {last} are missing at the end: the log was cut")]
    Cut { first: u64, last: u64 },
    #[error("entry {number} stands where entry {expected} belongs")]
    OutOfOrder { number: u64, expected: u64 },
    #[error("the log ends with entry {number}, but this agent has written none after {last}")]
    Foreign { number: u64, last: u64 },
    #[error("entry {number} is not the one that was noted")]
    NotAsNoted { number: u64 },
}

/// Follows a chain line by line.
pub struct Chain {
    /// The hash of what cannot be read is not known.
    last: (u64, Option<String>),
    noted: Option<Mark>,
    pub entries: u64,
    pub problems: Vec<Problem>,
}

/// More are not named.
const PROBLEMS_NAMED: usize = 100;

impl Chain {
    /// Begins behind `begin`. `noted`: what somebody kept elsewhere, to be met on the way.
    pub fn behind(begin: Mark, noted: Option<Mark>) -> Self {
        Self { last: (begin.number, Some(begin.hash)), noted, entries: 0, problems: Vec::new() }
    }

    pub fn follow(&mut self, line: &str) {
        self.entries += 1;
        let expected = self.last.0 + 1;
        let Some((entry, hash)) = Entry::read(line) else {
            self.problem(Problem::Changed { number: expected });
            self.last = (expected, None);
            return;
        };
        let number = entry.number;
        if number > expected {
            self.problem(Problem::Missing { first: expected, last: number - 1 });
        } else if number < expected {
            self.problem(Problem::OutOfOrder { number, expected });
        } else if self.last.1.as_ref().is_some_and(|last| *last != entry.previous) {
            self.problem(Problem::Replaced { number: number.saturating_sub(1) });
        }
        if self.noted.as_ref().is_some_and(|noted| noted.number == number && noted.hash != hash) {
            self.problem(Problem::NotAsNoted { number });
        }
        self.last = (number, Some(hash));
    }

    /// `head` is the last entry that the agent has written.
    pub fn end(&mut self, head: &Mark) {
        let (number, hash) = self.last.clone();
        if number < head.number {
            self.problem(Problem::Cut { first: number + 1, last: head.number });
        } else if number > head.number {
            self.problem(Problem::Foreign { number, last: head.number });
        } else if hash.is_some_and(|hash| hash != head.hash) {
            self.problem(Problem::Changed { number });
        }
        if let Some(noted) = self.noted.clone().filter(|noted| noted.number > head.number) {
            self.problem(Problem::Cut { first: head.number + 1, last: noted.number });
        }
    }

    fn problem(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEMS_NAMED {
            self.problems.push(problem);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn chain(length: u64) -> Vec<String> {
        let mut previous = String::new();
        let entry = |number| {
            let entry = Entry {
                number,
                reason: Some(format!("a \"reason\"{HASH}")),
                previous: previous.clone(),
                ..Entry::new(Action::Refused)
            };
            let (line, hash) = entry.line();
            assert_eq!(Entry::read(&line).unwrap(), (entry, hash.clone()));
            previous = hash;
            line
        };
        (1..=length).map(entry).collect()
    }

    fn head(lines: &[String]) -> Mark {
        let (entry, hash) = Entry::read(lines.last().unwrap()).unwrap();
        Mark { number: entry.number, hash }
    }

    fn problems(lines: &[String], head: &Mark, noted: Option<Mark>) -> Vec<Problem> {
        let mut chain = Chain::behind(Mark::default(), noted);
        lines.iter().for_each(|line| chain.follow(line));
        chain.end(head);
        chain.problems
    }

    #[test]
    fn a_whole_chain_has_no_problem_and_each_meddling_is_named() {
        let whole = chain(5);
        let head = head(&whole);
        assert_eq!(problems(&whole, &head, Some(head.to_string().parse().unwrap())), []);

        let mut changed = whole.clone();
        changed[2] = changed[2].replace("reason", "season");
        assert_eq!(problems(&changed, &head, None), [Problem::Changed { number: 3 }]);
        let mut garbage = whole.clone();
        garbage[4] = "{}".into();
        assert_eq!(problems(&garbage, &head, None), [Problem::Changed { number: 5 }]);

        let mut removed = whole.clone();
        removed.drain(1..3);
        assert_eq!(problems(&removed, &head, None), [Problem::Missing { first: 2, last: 3 }]);
        assert_eq!(problems(&whole[..3], &head, None), [Problem::Cut { first: 4, last: 5 }]);
        assert_eq!(problems(&whole[2..], &head, None), [Problem::Missing { first: 1, last: 2 }]);

        let mut swapped = whole.clone();
        swapped.swap(1, 2);
        let expected = Problem::OutOfOrder { number: 2, expected: 4 };
        assert!(problems(&swapped, &head, None).contains(&expected));
    }

    #[test]
    fn an_entry_that_was_written_anew_with_a_hash_that_fits_it_breaks_the_chain() {
        let mut lines = chain(5);
        let head = head(&lines);
        let rewrite = |line: &str| {
            let (entry, _) = Entry::read(line).unwrap();
            Entry { reason: Some("nothing happened".into()), ..entry }.line().0
        };
        lines[2] = rewrite(&lines[2]);
        assert_eq!(problems(&lines, &head, None), [Problem::Replaced { number: 3 }]);
        let mut at_the_end = chain(5);
        at_the_end[4] = rewrite(&at_the_end[4]);
        assert_eq!(problems(&at_the_end, &head, None), [Problem::Changed { number: 5 }]);
    }

    #[test]
    fn a_chain_that_was_made_anew_as_a_whole_is_not_as_noted_elsewhere() {
        let noted = head(&chain(4));
        let anew: Vec<String> = {
            let mut previous = String::new();
            let line = |number| {
                let (line, hash) = Entry { number, previous: previous.clone(), ..Entry::new(Action::Deleted) }.line();
                previous = hash;
                line
            };
            (1..=6).map(line).collect()
        };
        assert_eq!(problems(&anew, &head(&anew), None), []);
        assert_eq!(problems(&anew, &head(&anew), Some(noted.clone())), [Problem::NotAsNoted { number: 4 }]);
        let shorter = &anew[..2];
        assert_eq!(problems(shorter, &head(shorter), Some(noted)), [Problem::Cut { first: 3, last: 4 }]);
    }
}
