//! The answer of a comparison: exact numbers, and as many names as a person can read.

use std::fmt;

const NAMED: usize = 200;
const PRINTED: usize = 40;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    OnlyInA,
    OnlyInB,
    /// Both have it; says where and how it differs.
    Differs(String),
    /// It is broken in itself (not JSON, a file that is not what its hash says); says in which and how.
    Broken(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// A collection (`content/collections/posts`), or `files`, `models`.
    pub resource: String,
    /// An `_id`, a locale, a path, the name of a model or singleton, or `row N` where nothing can be read.
    pub name: String,
    pub found: Found,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What was compared: documents, files and models of both together, each name once.
    pub compared: usize,
    pub only_in_a: usize,
    pub only_in_b: usize,
    pub differing: usize,
    pub broken: usize,
    /// The first of them by name.
    pub differences: Vec<Difference>,
    /// What is worth knowing and no difference: ids that stand in more than one row.
    pub notes: Vec<String>,
}

impl Comparison {
    pub fn is_equal(&self) -> bool {
        self.total() == 0
    }

    /// After a merge: everything of `a` is in `b`, which may hold more.
    pub fn b_has_all_of_a(&self) -> bool {
        self.only_in_a == 0 && self.differing == 0 && self.broken == 0
    }

    pub fn total(&self) -> usize {
        self.only_in_a + self.only_in_b + self.differing + self.broken
    }

    pub(super) fn add(&mut self, resource: &str, name: &str, found: Found) {
        match found {
            Found::OnlyInA => self.only_in_a += 1,
            Found::OnlyInB => self.only_in_b += 1,
            Found::Differs(_) => self.differing += 1,
            Found::Broken(_) => self.broken += 1,
        }
        if self.differences.len() < NAMED {
            self.differences.push(Difference { resource: resource.to_owned(), name: name.to_owned(), found });
        }
    }

    pub(super) fn note(&mut self, note: String) {
        if self.notes.len() < NAMED {
            self.notes.push(note);
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.resource, self.name)?;
        match &self.found {
            Found::OnlyInA => f.write_str("only in a"),
            Found::OnlyInB => f.write_str("only in b"),
            Found::Differs(how) => f.write_str(how),
            Found::Broken(how) => write!(f, "broken: {how}"),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_equal() {
            write!(f, "equal: {} compared", self.compared)?;
        } else {
            write!(
                f,
                "not equal: {} compared, {} differ, {} only in a, {} only in b, {} broken",
                self.compared, self.differing, self.only_in_a, self.only_in_b, self.broken
            )?;
        }
        for difference in self.differences.iter().take(PRINTED) {
            write!(f, "\n  {difference}")?;
        }
        if self.total() > PRINTED {
            write!(f, "\n  ... and {} more", self.total() - PRINTED)?;
        }
        for note in self.notes.iter().take(PRINTED) {
            write!(f, "\n  note: {note}")?;
        }
        Ok(())
    }
}
