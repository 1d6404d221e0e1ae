//! Reads JSON text into a borrowed tree, exactly as strictly as PHP's `json_decode` with its default depth.
//!
//! Not serde_json, for three reasons: edits need to know where a value stands in the text, floats must be the double PHP
//! reads (serde_json's default is one unit off now and then), and integers beyond 64 bits must turn into floats.

mod scalars;

use std::collections::HashMap;

use super::{Field, Object, Value};

/// Arrays and objects within each other, the top-level object included. PHP's limit of 512 counts the values in the innermost too.
pub const DEPTH_LIMIT: usize = 511;

/// Why a text is not a document. Positions are bytes from the start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    #[error("the document is not a JSON object")]
    NotAnObject,
    #[error("invalid JSON at byte {position}: {problem}")]
    Invalid { position: usize, problem: &'static str },
    #[error("invalid JSON at byte {position}: nested deeper than {DEPTH_LIMIT} levels")]
    TooDeep { position: usize },
    #[error("the document has {bytes} bytes, more than can be addressed")]
    TooLarge { bytes: usize },
}

type Read<T> = Result<T, CanonicalError>;

/// The object and the fields of it that a later field of the same key overwrites.
pub(super) fn read_object(bytes: &[u8]) -> Read<(Object<'_>, Vec<Field<'_>>)> {
    if u32::try_from(bytes.len()).is_err() {
        return Err(CanonicalError::TooLarge { bytes: bytes.len() });
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| CanonicalError::Invalid { position: error.valid_up_to(), problem: "not UTF-8" })?;
    let mut reader = Reader { text, bytes, position: 0 };
    reader.skip_whitespace();
    if reader.peek() != Some(b'{') {
        // A text that is no JSON at all is told so; a number or an array is JSON, but no document.
        reader.value(0)?;
        reader.end()?;
        return Err(CanonicalError::NotAnObject);
    }
    let object = reader.object(0)?;
    reader.end()?;
    Ok(object)
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Read<Value<'a>> {
        match self.peek() {
            Some(b'"') => Ok(Value::Text(self.string()?)),
            Some(b'{') => Ok(Value::Object(self.object(depth)?.0)),
            Some(b'[') => self.list(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(_) => Err(self.invalid("a value was expected")),
            None => Err(self.invalid("the text ends too early")),
        }
    }

    fn object(&mut self, depth: usize) -> Read<(Object<'a>, Vec<Field<'a>>)> {
        let start = self.offset();
        self.enter(depth)?;
        let mut fields = Vec::new();
        if self.peek() == Some(b'}') {
            self.position += 1;
        } else {
            loop {
                if self.peek() != Some(b'"') {
                    return Err(self.invalid("a key in double quotes was expected"));
                }
                let key = self.string()?;
                self.skip_whitespace();
                if self.peek() != Some(b':') {
                    return Err(self.invalid("a colon was expected"));
                }
                self.position += 1;
                self.skip_whitespace();
                let value_start = self.offset();
                let value = self.value(depth + 1)?;
                fields.push(Field { key, value, start: value_start, end: self.offset() });
                if !self.another(b'}')? {
                    break;
                }
            }
        }
        let (fields, overwritten) = settle_duplicates(fields);
        let object = Object { fields, start, end: self.offset() };
        Ok((object, overwritten))
    }

    fn list(&mut self, depth: usize) -> Read<Value<'a>> {
        self.enter(depth)?;
        let mut elements = Vec::new();
        if self.peek() == Some(b']') {
            self.position += 1;
            return Ok(Value::List(elements));
        }
        loop {
            elements.push(self.value(depth + 1)?);
            if !self.another(b']')? {
                return Ok(Value::List(elements));
            }
        }
    }

    /// Steps over an opening bracket.
    fn enter(&mut self, depth: usize) -> Read<()> {
        if depth >= DEPTH_LIMIT {
            return Err(CanonicalError::TooDeep { position: self.position });
        }
        self.position += 1;
        self.skip_whitespace();
        Ok(())
    }

    /// After an element: whether another one follows. Otherwise the closing bracket has been stepped over.
    fn another(&mut self, closing: u8) -> Read<bool> {
        self.skip_whitespace();
        match self.peek() {
            Some(b',') => {
                self.position += 1;
                self.skip_whitespace();
                Ok(true)
            }
            Some(byte) if byte == closing => {
                self.position += 1;
                Ok(false)
            }
            Some(_) => Err(self.invalid("a comma or the end of the array or object was expected")),
            None => Err(self.invalid("the text ends too early")),
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Read<Value<'a>> {
        if !self.bytes[self.position..].starts_with(word.as_bytes()) {
            return Err(self.invalid("a value was expected"));
        }
        self.position += word.len();
        Ok(value)
    }

    fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.position += 1;
        }
    }

    fn end(&mut self) -> Read<()> {
        self.skip_whitespace();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.invalid("text after the end of the document")),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    fn offset(&self) -> u32 {
        u32::try_from(self.position).expect("the length of the text was checked against u32")
    }

    fn invalid(&self, problem: &'static str) -> CanonicalError {
        CanonicalError::Invalid { position: self.position, problem }
    }
}

/// Of equal keys the last value stays, at the place of the first, as in a PHP array. The other values come second.
fn settle_duplicates<'a>(fields: Vec<Field<'a>>) -> (Vec<Field<'a>>, Vec<Field<'a>>) {
    if !has_duplicates(&fields) {
        return (fields, Vec::new());
    }
    let mut kept: Vec<Field<'a>> = Vec::with_capacity(fields.len());
    let mut places = HashMap::new();
    let mut overwritten = Vec::new();
    for field in fields {
        match places.get(&field.key) {
            Some(&place) => overwritten.push(std::mem::replace(&mut kept[place], field)),
            None => {
                places.insert(field.key.clone(), kept.len());
                kept.push(field);
            }
        }
    }
    (kept, overwritten)
}

fn has_duplicates(fields: &[Field<'_>]) -> bool {
    const COMPARED_PAIRWISE: usize = 12;
    if fields.len() <= COMPARED_PAIRWISE {
        return fields
            .iter()
            .enumerate()
            .any(|(place, field)| fields[..place].iter().any(|earlier| earlier.key == field.key));
    }
    let mut keys: Vec<&str> = fields.iter().map(|field| field.key.as_ref()).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}
