//! PHP files that only return a value: Cockpit keeps its models in them. Read and written here, never executed.
//!
//! Owns: the literals of PHP, their text form, and the way to JSON and back. It must not know what a model is.
//! [`read_file`] takes literals only and refuses everything else by line and column. [`write_file`] writes in Cockpit's own
//! format, but without its losses: Cockpit turns a line ending in `)` within a text into one ending in `]`, and drops empty lines.

mod json;
pub(crate) mod lexer;
mod reader;
mod writer;

pub use reader::{DEPTH_LIMIT, SIZE_LIMIT, read_file};
pub use writer::write_file;

use std::collections::HashMap;

/// A value a PHP file can return. Objects are arrays here, as they are for Cockpit.
#[derive(Debug, Clone, PartialEq)]
pub enum PhpValue {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Array(PhpArray),
}

/// A key of a PHP array. `"5"` is never a text: PHP makes it 5.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PhpKey {
    Integer(i64),
    Text(String),
}

/// An ordered map, the only compound value of PHP.
#[derive(Debug, Clone, Default)]
pub struct PhpArray {
    entries: Vec<(PhpKey, PhpValue)>,
    places: HashMap<PhpKey, usize>,
}

/// Why a text is not what [`read_file`] reads, or a value not what [`write_file`] writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhpError {
    #[error("line {line}, column {column}: {problem}")]
    Unreadable { line: usize, column: usize, problem: String },
    #[error("the file has {bytes} bytes, more than {SIZE_LIMIT}")]
    TooLarge { bytes: usize },
    #[error("PHP has no literal for {0}")]
    NotWritable(&'static str),
    #[error("what was written would not read back as the same value")]
    NotTheSame,
}

impl PhpArray {
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key: in its place if it is there, else at the end.
    pub fn insert(&mut self, key: PhpKey, value: PhpValue) {
        match self.places.get(&key) {
            Some(&place) => self.entries[place].1 = value,
            None => {
                self.places.insert(key.clone(), self.entries.len());
                self.entries.push((key, value));
            }
        }
    }

    pub fn get(&self, key: &str) -> Option<&PhpValue> {
        let place = *self.places.get(&PhpKey::from_text(key))?;
        Some(&self.entries[place].1)
    }

    pub fn entries(&self) -> &[(PhpKey, PhpValue)] {
        &self.entries
    }

    /// PHP's `array_is_list`: the keys are 0 to n-1 in this order.
    pub fn is_list(&self) -> bool {
        (0..).zip(&self.entries).all(|(index, (key, _))| *key == PhpKey::Integer(index))
    }
}

impl PartialEq for PhpArray {
    /// As `===` in PHP: the same keys and values in the same order.
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl FromIterator<(PhpKey, PhpValue)> for PhpArray {
    fn from_iter<I: IntoIterator<Item = (PhpKey, PhpValue)>>(entries: I) -> Self {
        let mut array = Self::new();
        entries.into_iter().for_each(|(key, value)| array.insert(key, value));
        array
    }
}

impl PhpKey {
    /// The key that a text becomes: an integer where it is written as PHP would write that integer.
    pub fn from_text(text: &str) -> Self {
        match text.parse::<i64>() {
            Ok(integer) if integer.to_string() == text => Self::Integer(integer),
            _ => Self::Text(text.to_owned()),
        }
    }
}

impl PhpValue {
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&PhpArray> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }
}
