//! Reads a file `<?php return VALUE;` whose value is a literal.

use super::lexer::{self, Kind, Misread, Token};
use super::{PhpArray, PhpError, PhpKey, PhpValue};

/// Larger files are refused unread. The largest models known have some 100 KB.
pub const SIZE_LIMIT: usize = 8 << 20;
/// Arrays within each other.
pub const DEPTH_LIMIT: usize = 200;

/// Reads what the file returns.
pub fn read_file(source: &[u8]) -> Result<PhpValue, PhpError> {
    if source.len() > SIZE_LIMIT {
        return Err(PhpError::TooLarge { bytes: source.len() });
    }
    read_literal(source).map_err(|misread| {
        let (line, column) = lexer::line_and_column(source, misread.at);
        PhpError::Unreadable { line, column, problem: misread.problem }
    })
}

fn read_literal(source: &[u8]) -> Read<PhpValue> {
    let mut reader = Reader { tokens: lexer::tokens(source)?, position: 0 };
    match &reader.peek().kind {
        Kind::Word(word) if word.eq_ignore_ascii_case("return") => reader.advance(),
        other => return Err(reader.unexpected(&format!("`return` was expected, not {}", describe(other)))),
    }
    let value = reader.value(0)?;
    match reader.peek().kind {
        Kind::Symbol(b';') => reader.advance(),
        Kind::Close(_) => {}
        _ => return Err(reader.wanted("`;`")),
    }
    if let Kind::Close(is_output) = reader.peek().kind {
        if is_output {
            return Err(reader.unexpected("text after the end of the code"));
        }
        reader.advance();
    }
    match reader.peek().kind {
        Kind::End => Ok(value),
        _ => Err(reader.unexpected("code after the value that is returned")),
    }
}

type Read<T> = Result<T, Misread>;

struct Reader {
    tokens: Vec<Token>,
    position: usize,
}

impl Reader {
    fn value(&mut self, depth: usize) -> Read<PhpValue> {
        match self.peek().kind.clone() {
            Kind::Text(_) => Ok(PhpValue::Text(self.text()?)),
            Kind::Integer(_) | Kind::Float(_) | Kind::Symbol(b'-' | b'+') => self.number(),
            Kind::Symbol(b'[') => Ok(PhpValue::Array(self.array(b']', depth)?)),
            Kind::Symbol(b'(') => self.cast_to_object(depth),
            Kind::Word(word) => self.word(&word, depth),
            other => Err(self.unexpected(&format!("a value was expected, not {}", describe(&other)))),
        }
    }

    fn word(&mut self, word: &str, depth: usize) -> Read<PhpValue> {
        let value = match word.to_ascii_lowercase().trim_start_matches('\\') {
            "true" => PhpValue::Bool(true),
            "false" => PhpValue::Bool(false),
            "null" => PhpValue::Null,
            "array" => {
                self.advance();
                return self.array_in_parentheses(depth);
            }
            "arrayobject" | "stdclass" => return self.object_with_state(depth),
            _ => return Err(self.unexpected(&format!("{word} is not a literal value; nothing is computed here"))),
        };
        self.advance();
        Ok(value)
    }

    /// `var_export` joins strings around zero bytes: `'a' . "\0" . 'b'`.
    fn text(&mut self) -> Read<String> {
        let start = self.peek().start;
        let mut text = Vec::new();
        loop {
            match &self.peek().kind {
                Kind::Text(part) => text.extend_from_slice(part),
                other => return Err(self.unexpected(&format!("a string was expected, not {}", describe(other)))),
            }
            self.advance();
            if !self.takes(b'.') {
                break;
            }
        }
        String::from_utf8(text).map_err(|_| Misread { at: start, problem: "a string that is not UTF-8".into() })
    }

    /// A number with its sign. `var_export` writes the smallest integer as a difference, since its magnitude is none.
    fn number(&mut self) -> Read<PhpValue> {
        let is_negative = self.takes(b'-');
        if !is_negative {
            self.takes(b'+');
        }
        let number = match self.peek().kind {
            Kind::Integer(integer) if is_negative => PhpValue::Integer(-integer),
            Kind::Integer(integer) => PhpValue::Integer(integer),
            Kind::Float(float) if is_negative => PhpValue::Float(-float),
            Kind::Float(float) => PhpValue::Float(float),
            _ => return Err(self.wanted("a number")),
        };
        if matches!(number, PhpValue::Float(float) if float.is_infinite()) {
            return Err(self.unexpected("a number out of range"));
        }
        self.advance();
        if number == PhpValue::Integer(-i64::MAX) && self.takes(b'-') {
            if self.peek().kind != Kind::Integer(1) {
                return Err(self.wanted("1, for the smallest integer"));
            }
            self.advance();
            return Ok(PhpValue::Integer(i64::MIN));
        }
        Ok(number)
    }

    /// `(object) [...]`
    fn cast_to_object(&mut self, depth: usize) -> Read<PhpValue> {
        self.advance();
        match &self.peek().kind {
            Kind::Word(word) if word.eq_ignore_ascii_case("object") => self.advance(),
            _ => return Err(self.wanted("`(object)` or a value without parentheses")),
        }
        self.take(b')')?;
        self.array_of_object(depth)
    }

    /// `\ArrayObject::__set_state([...])`
    fn object_with_state(&mut self, depth: usize) -> Read<PhpValue> {
        self.advance();
        self.take(b':')?;
        self.take(b':')?;
        match &self.peek().kind {
            Kind::Word(word) if word.eq_ignore_ascii_case("__set_state") => self.advance(),
            _ => return Err(self.wanted("`__set_state`")),
        }
        self.take(b'(')?;
        let value = self.array_of_object(depth)?;
        self.take(b')')?;
        Ok(value)
    }

    fn array_of_object(&mut self, depth: usize) -> Read<PhpValue> {
        match self.peek().kind.clone() {
            Kind::Symbol(b'[') => Ok(PhpValue::Array(self.array(b']', depth)?)),
            Kind::Word(word) if word.eq_ignore_ascii_case("array") => {
                self.advance();
                self.array_in_parentheses(depth)
            }
            _ => Err(self.wanted("an array")),
        }
    }

    fn array_in_parentheses(&mut self, depth: usize) -> Read<PhpValue> {
        if self.peek().kind != Kind::Symbol(b'(') {
            return Err(self.wanted("`(`"));
        }
        Ok(PhpValue::Array(self.array(b')', depth)?))
    }

    /// From its opening bracket on.
    fn array(&mut self, closing: u8, depth: usize) -> Read<PhpArray> {
        if depth >= DEPTH_LIMIT {
            return Err(self.unexpected(&format!("arrays nested deeper than {DEPTH_LIMIT} levels")));
        }
        self.advance();
        let mut array = PhpArray::new();
        let mut next_key = Some(0);
        while !self.takes(closing) {
            let start = self.peek().start;
            let first = self.value(depth + 1)?;
            let (key, value) = if self.peek().kind == Kind::Arrow {
                self.advance();
                (array_key(first, start)?, self.value(depth + 1)?)
            } else {
                let key = next_key.ok_or_else(|| Misread {
                    at: start,
                    problem: "an element without a key after one whose successor depends on the version of PHP".into(),
                })?;
                (PhpKey::Integer(key), first)
            };
            if let PhpKey::Integer(key) = key {
                next_key = next_key.and_then(|next| following(next, key));
            }
            array.insert(key, value);
            if !self.takes(b',') {
                self.take(closing)?;
                break;
            }
        }
        Ok(array)
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.position.min(self.tokens.len() - 1)]
    }

    fn advance(&mut self) {
        self.position += 1;
    }

    fn takes(&mut self, symbol: u8) -> bool {
        let found = self.peek().kind == Kind::Symbol(symbol);
        if found {
            self.advance();
        }
        found
    }

    fn take(&mut self, symbol: u8) -> Read<()> {
        if self.takes(symbol) {
            return Ok(());
        }
        Err(self.wanted(&format!("`{}`", char::from(symbol))))
    }

    fn wanted(&self, wanted: &str) -> Misread {
        self.unexpected(&format!("{wanted} was expected, not {}", describe(&self.peek().kind)))
    }

    fn unexpected(&self, problem: &str) -> Misread {
        Misread { at: self.peek().start, problem: problem.to_owned() }
    }
}

/// PHP's rules for keys, without the deprecated ones.
fn array_key(value: PhpValue, at: usize) -> Read<PhpKey> {
    match value {
        PhpValue::Integer(integer) => Ok(PhpKey::Integer(integer)),
        PhpValue::Text(text) => Ok(PhpKey::from_text(&text)),
        PhpValue::Bool(value) => Ok(PhpKey::Integer(i64::from(value))),
        PhpValue::Null => Ok(PhpKey::Text(String::new())),
        PhpValue::Float(_) | PhpValue::Array(_) => {
            Err(Misread { at, problem: "a key that is neither an integer nor a string".into() })
        }
    }
}

/// The key of a next element without one. Versions of PHP differ after a negative first key; after the last integer there is none.
fn following(next: i64, key: i64) -> Option<i64> {
    if key < 0 && next == 0 {
        return None;
    }
    key.checked_add(1).map(|successor| successor.max(next))
}

fn describe(kind: &Kind) -> String {
    match kind {
        Kind::Word(word) => word.clone(),
        Kind::Variable(name) => format!("${name}"),
        Kind::Integer(_) | Kind::Float(_) => "a number".into(),
        Kind::Text(_) => "a string".into(),
        Kind::ComputedText => "a string that PHP computes".into(),
        Kind::Arrow => "`=>`".into(),
        Kind::Symbol(symbol) => format!("`{}`", char::from(*symbol)),
        Kind::Close(_) => "`?>`".into(),
        Kind::End => "the end of the file".into(),
    }
}
