//! Strings of all four kinds.

use super::{Kind, Lex, Lexer, is_name, starts_name};

impl Lexer<'_> {
    pub(super) fn single_quoted(&mut self) -> Lex<Kind> {
        let start = self.position;
        self.position += 1;
        let mut text = Vec::new();
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b'\''), _) => {
                    self.position += 1;
                    return Ok(Kind::Text(text));
                }
                (Some(b'\\'), Some(escaped @ (b'\\' | b'\''))) => {
                    text.push(escaped);
                    self.position += 2;
                }
                (Some(byte), _) => {
                    text.push(byte);
                    self.position += 1;
                }
                (None, _) => return Err(self.unended(start)),
            }
        }
    }

    pub(super) fn double_quoted(&mut self) -> Lex<Kind> {
        let start = self.position;
        self.position += 1;
        let mut text = Vec::new();
        let mut is_computed = false;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b'"'), _) => {
                    self.position += 1;
                    return Ok(if is_computed { Kind::ComputedText } else { Kind::Text(text) });
                }
                (Some(b'\\'), Some(_)) => self.escape(&mut text)?,
                (Some(byte), next) => {
                    is_computed |= match (byte, next) {
                        (b'$', Some(next)) => starts_name(next) || next == b'{',
                        (b'{', Some(b'$')) => true,
                        _ => false,
                    };
                    text.push(byte);
                    self.position += 1;
                }
                (None, _) => return Err(self.unended(start)),
            }
        }
    }

    /// An escape within double quotes. What PHP does not know stays as it is, backslash included.
    fn escape(&mut self, text: &mut Vec<u8>) -> Lex<()> {
        let escaped = self.peek(1).expect("the caller saw a character after the backslash");
        let simple = match escaped {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'v' => 0x0b,
            b'e' => 0x1b,
            b'f' => 0x0c,
            b'\\' | b'$' | b'"' => escaped,
            b'0'..=b'7' => {
                self.position += 1;
                text.push(self.digits_of_byte(8, 3));
                return Ok(());
            }
            b'x' if self.peek(2).is_some_and(|digit| digit.is_ascii_hexdigit()) => {
                self.position += 2;
                text.push(self.digits_of_byte(16, 2));
                return Ok(());
            }
            b'u' if self.peek(2) == Some(b'{') => return self.code_point(text),
            _ => {
                text.extend([b'\\', escaped]);
                self.position += 2;
                return Ok(());
            }
        };
        text.push(simple);
        self.position += 2;
        Ok(())
    }

    /// At most `limit` digits, as a byte: what does not fit is cut off, as in PHP.
    fn digits_of_byte(&mut self, radix: u32, limit: usize) -> u8 {
        let mut value = 0u8;
        for _ in 0..limit {
            let Some(digit) = self.peek(0).and_then(|byte| char::from(byte).to_digit(radix)) else { break };
            let digit = u8::try_from(digit).expect("a digit is below 16");
            let shift = if radix == 8 { 3 } else { 4 };
            value = value.wrapping_shl(shift) | digit;
            self.position += 1;
        }
        value
    }

    fn code_point(&mut self, text: &mut Vec<u8>) -> Lex<()> {
        let digits = &self.rest()[3..];
        let length = digits.iter().position(|&byte| byte == b'}').unwrap_or(0);
        let code = std::str::from_utf8(&digits[..length]).ok().filter(|digits| !digits.starts_with('+'));
        let code = code.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32);
        let Some(character) = code else {
            return Err(self.misread("an escape that names no character"));
        };
        text.extend(character.encode_utf8(&mut [0; 4]).bytes());
        self.position += length + 4;
        Ok(())
    }

    pub(super) fn backticks(&mut self) -> Lex<Kind> {
        let start = self.position;
        self.position += 1;
        loop {
            match self.peek(0) {
                Some(b'`') => {
                    self.position += 1;
                    return Ok(Kind::ComputedText);
                }
                Some(b'\\') => self.position += 2,
                Some(_) => self.position += 1,
                None => return Err(self.unended(start)),
            }
        }
    }

    /// Stepped over, never read: nothing that Cockpit writes contains one.
    pub(super) fn heredoc(&mut self) -> Lex<Kind> {
        let start = self.position;
        self.position += 3;
        while let Some(b' ' | b'\t') = self.peek(0) {
            self.position += 1;
        }
        let quote = self.peek(0).filter(|byte| matches!(byte, b'\'' | b'"'));
        self.position += usize::from(quote.is_some());
        let label = self.name(is_name).into_bytes();
        self.position += usize::from(quote.is_some());
        let ends_line = matches!(self.peek(0), Some(b'\n' | b'\r'));
        if label.is_empty() || !ends_line {
            // Two shifts after all, or something PHP would not read.
            self.position = start + 1;
            return Ok(Kind::Symbol(b'<'));
        }
        while let Some(newline) = self.rest().iter().position(|&byte| byte == b'\n') {
            self.position += newline + 1;
            while let Some(b' ' | b'\t') = self.peek(0) {
                self.position += 1;
            }
            if self.rest().starts_with(&label) && !self.peek(label.len()).is_some_and(is_name) {
                self.position += label.len();
                return Ok(Kind::ComputedText);
            }
        }
        Err(self.unended(start))
    }

    fn unended(&self, start: usize) -> super::Misread {
        super::Misread { at: start, problem: "a string without an end".into() }
    }
}
