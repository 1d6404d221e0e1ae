//! Strings and numbers.

use std::borrow::Cow;

use super::{Read, Reader};
use crate::canonical::Value;

impl<'a> Reader<'a> {
    pub(super) fn string(&mut self) -> Read<Cow<'a, str>> {
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

    pub(super) fn number(&mut self) -> Read<Value<'a>> {
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
