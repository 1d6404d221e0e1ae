//! Splits PHP source into tokens. It knows all of PHP's tokens well enough to step over code that is not read, and
//! takes the value of those that stand for themselves.

mod strings;

/// A token and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// A keyword, constant, function or class, with its namespace.
    Word(String),
    /// `$name`
    Variable(String),
    Integer(i64),
    Float(f64),
    /// A string without anything to be put into it, its escapes resolved. PHP strings are bytes.
    Text(Vec<u8>),
    /// A string into which PHP puts the values of variables, a heredoc, a command in backticks.
    ComputedText,
    /// `=>`
    Arrow,
    /// Any other character of punctuation, one at a time.
    Symbol(u8),
    /// `?>` and whatever follows it: `true` if that is output.
    Close(bool),
    End,
}

/// A problem and where it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Misread {
    pub at: usize,
    pub problem: String,
}

/// All tokens of a file, [`Kind::End`] last.
pub(crate) fn tokens(source: &[u8]) -> Result<Vec<Token>, Misread> {
    let mut lexer = Lexer { source, position: 0 };
    lexer.open()?;
    let mut tokens = Vec::new();
    loop {
        lexer.skip_space_and_comments()?;
        let start = lexer.position;
        let kind = lexer.token()?;
        let is_last = matches!(kind, Kind::End);
        tokens.push(Token { kind, start, end: lexer.position });
        if is_last {
            return Ok(tokens);
        }
    }
}

/// Line and column of a position, both from 1, the column in characters.
pub(crate) fn line_and_column(source: &[u8], at: usize) -> (usize, usize) {
    let before = &source[..at.min(source.len())];
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
    (line, String::from_utf8_lossy(&before[line_start..]).chars().count() + 1)
}

struct Lexer<'s> {
    source: &'s [u8],
    position: usize,
}

type Lex<T> = Result<T, Misread>;

impl Lexer<'_> {
    fn open(&mut self) -> Lex<()> {
        const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
        if self.rest().starts_with(BYTE_ORDER_MARK) {
            self.position += BYTE_ORDER_MARK.len();
        }
        let opens = self.rest().get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"<?php"));
        if !opens || !matches!(self.peek(5), None | Some(b' ' | b'\t' | b'\r' | b'\n')) {
            return Err(self.misread("the file does not start with <?php"));
        }
        self.position += 5;
        Ok(())
    }

    fn token(&mut self) -> Lex<Kind> {
        let Some(first) = self.peek(0) else { return Ok(Kind::End) };
        match (first, self.peek(1)) {
            (b'\'', _) => self.single_quoted(),
            (b'"', _) => self.double_quoted(),
            (b'`', _) => self.backticks(),
            (b'<', Some(b'<')) if self.peek(2) == Some(b'<') => self.heredoc(),
            (b'?', Some(b'>')) => Ok(self.close()),
            (b'=', Some(b'>')) => {
                self.position += 2;
                Ok(Kind::Arrow)
            }
            (b'$', Some(next)) if starts_name(next) => {
                self.position += 1;
                Ok(Kind::Variable(self.name(is_name)))
            }
            (b'\\', Some(next)) if starts_name(next) => Ok(Kind::Word(self.name(is_qualified_name))),
            (first, _) if starts_name(first) => Ok(Kind::Word(self.name(is_qualified_name))),
            (b'0'..=b'9', _) | (b'.', Some(b'0'..=b'9')) => self.number(),
            _ => {
                self.position += 1;
                Ok(Kind::Symbol(first))
            }
        }
    }

    fn name(&mut self, belongs: fn(u8) -> bool) -> String {
        let length = self.rest().iter().position(|&byte| !belongs(byte)).unwrap_or(self.rest().len());
        let name = String::from_utf8_lossy(&self.rest()[..length]).into_owned();
        self.position += length;
        name
    }

    fn close(&mut self) -> Kind {
        self.position += 2;
        let output = self.rest();
        let output = output.strip_prefix(b"\r\n").or(output.strip_prefix(b"\n")).unwrap_or(output);
        let is_output = !output.is_empty();
        self.position = self.source.len();
        Kind::Close(is_output)
    }

    fn number(&mut self) -> Lex<Kind> {
        let start = self.position;
        let radix = match (self.peek(0), self.peek(1)) {
            (Some(b'0'), Some(b'x' | b'X')) => 16,
            (Some(b'0'), Some(b'b' | b'B')) => 2,
            (Some(b'0'), Some(b'o' | b'O')) => 8,
            _ => 10,
        };
        if radix != 10 {
            self.position += 2;
        }
        let mut is_float = false;
        while let Some(byte) = self.peek(0) {
            let is_exponent = radix == 10 && matches!(byte, b'e' | b'E');
            let continues = match byte {
                b'.' => radix == 10 && !is_float,
                b'_' => true,
                _ if is_exponent => self.has_exponent(),
                _ => char::from(byte).is_digit(radix),
            };
            if !continues {
                break;
            }
            is_float |= byte == b'.' || is_exponent;
            self.position += 1;
            if is_exponent && matches!(self.peek(0), Some(b'+' | b'-')) {
                self.position += 1;
            }
        }
        let literal = &self.source[start..self.position];
        let digits: String = literal.iter().filter(|&&byte| byte != b'_').map(|&byte| char::from(byte)).collect();
        if self.peek(0).is_some_and(is_name) || literal.ends_with(b"_") {
            return Err(Misread { at: start, problem: "a number that PHP would not read".into() });
        }
        number_value(&digits, radix, is_float)
            .ok_or_else(|| Misread { at: start, problem: "a number that is not read here".into() })
    }

    fn has_exponent(&self) -> bool {
        match self.peek(1) {
            Some(b'0'..=b'9') => true,
            Some(b'+' | b'-') => matches!(self.peek(2), Some(b'0'..=b'9')),
            _ => false,
        }
    }

    fn skip_space_and_comments(&mut self) -> Lex<()> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c), _) => self.position += 1,
                (Some(b'/'), Some(b'*')) => {
                    let body = &self.source[self.position + 2..];
                    let Some(length) = find(body, b"*/") else {
                        return Err(self.misread("a comment without an end"));
                    };
                    self.position += length + 4;
                }
                (Some(b'#'), Some(b'[')) => return Ok(()),
                (Some(b'#'), _) | (Some(b'/'), Some(b'/')) => self.skip_line_comment(),
                _ => return Ok(()),
            }
        }
    }

    /// A closing tag ends the comment and the code.
    fn skip_line_comment(&mut self) {
        while let Some(byte) = self.peek(0) {
            if byte == b'\n' || self.rest().starts_with(b"?>") {
                return;
            }
            self.position += 1;
        }
    }

    fn rest(&self) -> &[u8] {
        &self.source[self.position..]
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.source.get(self.position + ahead).copied()
    }

    fn misread(&self, problem: &str) -> Misread {
        Misread { at: self.position, problem: problem.into() }
    }
}

/// None for what no writer of PHP would use: `0x` without digits, an integer too large in another radix than 10.
fn number_value(digits: &str, radix: u32, is_float: bool) -> Option<Kind> {
    if is_float {
        return digits.parse().ok().map(Kind::Float);
    }
    if radix != 10 {
        return i64::from_str_radix(&digits[2..], radix).ok().map(Kind::Integer);
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return i64::from_str_radix(digits, 8).ok().map(Kind::Integer);
    }
    match digits.parse() {
        Ok(integer) => Some(Kind::Integer(integer)),
        Err(_) => digits.parse().ok().map(Kind::Float),
    }
}

fn starts_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_name(byte: u8) -> bool {
    starts_name(byte) || byte.is_ascii_digit()
}

fn is_qualified_name(byte: u8) -> bool {
    is_name(byte) || byte == b'\\'
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}
