//! Reads JSON text into a borrowed tree, exactly as strictly as PHP's `json_decode` with its default depth.
//!
//! Not serde_json, for three reasons: edits need to know where a value stands in the text, floats must be the double PHP
//! reads (serde_json's default is one unit off now and then), and integers beyond 64 bits must turn into floats.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Field, Object, Value};

/// Arrays and objects within each other, the top-level object included. PHP's own limit.
pub const DEPTH_LIMIT: usize = 512;

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

    fn string(&mut self) -> Read<Cow<'a, str>> {
        self.position += 1;
        let mut unescaped = String::new();
        let mut plain_from = self.position;
        loop {
            self.skip_plain_text();
            let plain = &self.text[plain_from..self.position];
            match self.peek() {
                Some(b'"') => {
                    self.position += 1;
                    if unescaped.is_empty() {
                        return Ok(Cow::Borrowed(plain));
                    }
                    unescaped.push_str(plain);
                    return Ok(Cow::Owned(unescaped));
                }
                Some(b'\\') => {
                    unescaped.push_str(plain);
                    unescaped.push(self.escape()?);
                    plain_from = self.position;
                }
                Some(_) => return Err(self.invalid("a control character in a string")),
                None => return Err(self.invalid("the text ends within a string")),
            }
        }
    }

    fn skip_plain_text(&mut self) {
        let rest = &self.bytes[self.position..];
        let plain = rest.iter().position(|&byte| !PLAIN[usize::from(byte)]);
        self.position += plain.unwrap_or(rest.len());
    }

    fn escape(&mut self) -> Read<char> {
        let kind = self.bytes.get(self.position + 1).copied();
        let character = match kind {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.invalid("an unknown escape")),
        };
        self.position += 2;
        Ok(character)
    }

    fn unicode_escape(&mut self) -> Read<char> {
        const HIGH: std::ops::RangeInclusive<u32> = 0xD800..=0xDBFF;
        const LOW: std::ops::RangeInclusive<u32> = 0xDC00..=0xDFFF;
        let unit = self.utf16_unit(self.position)?;
        let code = if HIGH.contains(&unit) && self.bytes[self.position + 6..].starts_with(b"\\u") {
            let low = self.utf16_unit(self.position + 6)?;
            if !LOW.contains(&low) {
                return Err(self.invalid("half of a surrogate pair"));
            }
            self.position += 6;
            0x10000 + ((unit - HIGH.start()) << 10) + (low - LOW.start())
        } else {
            unit
        };
        let character = char::from_u32(code).ok_or_else(|| self.invalid("half of a surrogate pair"))?;
        self.position += 6;
        Ok(character)
    }

    /// The four hexadecimal digits of the `\u` escape that starts at `at`.
    fn utf16_unit(&self, at: usize) -> Read<u32> {
        let mut unit = 0;
        for offset in 2..6 {
            let digit = self.bytes.get(at + offset).and_then(|&byte| char::from(byte).to_digit(16));
            unit = unit * 16 + digit.ok_or_else(|| self.invalid("four hexadecimal digits were expected"))?;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Read<Value<'a>> {
        let start = self.position;
        if self.peek() == Some(b'-') {
            self.position += 1;
        }
        let first_digit = self.peek();
        let digits = self.digits()?;
        if first_digit == Some(b'0') && digits > 1 {
            self.position = start;
            return Err(self.invalid("a number with a leading zero"));
        }
        let mut is_integer = true;
        if self.peek() == Some(b'.') {
            is_integer = false;
            self.position += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            is_integer = false;
            self.position += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.position += 1;
            }
            self.digits()?;
        }
        let literal = &self.text[start..self.position];
        if is_integer && let Ok(integer) = literal.parse::<i64>() {
            return Ok(Value::Integer(integer));
        }
        let float: f64 = literal.parse().expect("the grammar of JSON numbers is within that of Rust floats");
        if float.is_infinite() {
            self.position = start;
            return Err(self.invalid("a number out of range"));
        }
        Ok(Value::Float(float))
    }

    fn digits(&mut self) -> Read<usize> {
        let start = self.position;
        while let Some(b'0'..=b'9') = self.peek() {
            self.position += 1;
        }
        if self.position == start {
            return Err(self.invalid("a digit was expected"));
        }
        Ok(self.position - start)
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

/// Bytes that stand for themselves within a string.
static PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut control = 0;
    while control < 0x20 {
        plain[control] = false;
        control += 1;
    }
    plain[b'"' as usize] = false;
    plain[b'\\' as usize] = false;
    plain
};

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
