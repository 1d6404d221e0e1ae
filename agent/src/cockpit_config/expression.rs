//! Reads the array a PHP file returns, as far as that is possible without running it.

mod scalar;

use std::path::PathBuf;

use super::dotenv::{Variables, resolve};
use crate::php::lexer::{self, Kind, Misread, Token};
use crate::php::{PhpKey, PhpValue};

/// What stands around the file.
pub(super) struct Scope<'v> {
    /// `__DIR__`
    pub config_directory: PathBuf,
    /// `APP_DIR`
    pub app_directory: PathBuf,
    pub variables: &'v Variables<'v>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub key: Key,
    pub value: Located,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Key {
    Named(PhpKey),
    /// Any key, or many.
    Computed,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Located {
    pub setting: Setting,
    pub line: usize,
    /// Variables that were not set, so that a default was taken.
    pub defaulted: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Setting {
    /// A scalar.
    Value(PhpValue),
    Array(Vec<Entry>),
    /// It is made from this variable, which is not set.
    Unset(String),
    /// Code that was not run, without the texts in it: those may be secret.
    Computed(String),
}

/// What is nested deeper is not looked into.
const DEPTH_LIMIT: usize = 32;

/// The entries of the array that the file returns, or a line and what is wrong there.
pub(super) fn returned_entries(source: &[u8], scope: &Scope<'_>) -> Result<Vec<Entry>, String> {
    let in_words = |misread: Misread| {
        let (line, _) = lexer::line_and_column(source, misread.at);
        format!("line {line}: {}", misread.problem)
    };
    let tokens = lexer::tokens(source).map_err(in_words)?;
    let newlines = (0..source.len()).filter(|&at| source[at] == b'\n').collect();
    let mut reader =
        Reader { source, tokens: &tokens, position: 0, scope, newlines, defaulted: Vec::new(), nesting: 0 };
    let returned = reader.returned().map_err(in_words)?;
    match returned.setting {
        Setting::Array(entries) => Ok(entries),
        Setting::Computed(code) => Err(format!("line {} computes what it returns ({code})", returned.line)),
        _ => Err(format!("line {} does not return an array", returned.line)),
    }
}

type Read<T> = Result<T, Misread>;

struct Reader<'r> {
    source: &'r [u8],
    tokens: &'r [Token],
    position: usize,
    scope: &'r Scope<'r>,
    newlines: Vec<usize>,
    defaulted: Vec<String>,
    /// Scalar expressions within each other.
    nesting: usize,
}

impl Reader<'_> {
    /// The value of the one `return`, or of the one variable it returns.
    fn returned(&mut self) -> Read<Located> {
        self.find_return()?;
        let start = self.position;
        let located = self.located(0)?;
        self.expect_nothing_more()?;
        let Kind::Variable(name) = &self.tokens[start].kind else { return Ok(located) };
        if self.position != start + 2 {
            return Ok(located);
        }
        let mentions = |token: &&Token| token.kind == Kind::Variable(name.clone());
        if self.tokens.iter().filter(mentions).count() != 2 {
            return Ok(located);
        }
        let assigned = self.tokens.iter().position(|token| mentions(&token)).unwrap_or(start);
        if !self.starts_statement(assigned) || self.tokens[assigned + 1].kind != Kind::Symbol(b'=') {
            return Ok(located);
        }
        self.position = assigned + 2;
        self.located(0)
    }

    /// A `return` under a condition leaves open which one is taken.
    fn find_return(&mut self) -> Read<()> {
        let mut depth = 0usize;
        for (position, token) in self.tokens.iter().enumerate() {
            match &token.kind {
                Kind::Symbol(b'(' | b'[' | b'{') => depth += 1,
                Kind::Symbol(b')' | b']' | b'}') => depth = depth.saturating_sub(1),
                Kind::Word(word) if word.eq_ignore_ascii_case("return") => {
                    if depth > 0 || !self.starts_statement(position) {
                        return Err(misread(token, "a `return` that depends on code"));
                    }
                    self.position = position + 1;
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(misread(self.peek(), "no `return`"))
    }

    fn starts_statement(&self, position: usize) -> bool {
        let before = position.checked_sub(1).map(|before| &self.tokens[before].kind);
        matches!(before, None | Some(Kind::Symbol(b';' | b'}')))
    }

    fn expect_nothing_more(&mut self) -> Read<()> {
        let ended = matches!(self.peek().kind, Kind::Symbol(b';') | Kind::Close(_));
        if !ended {
            return Err(misread(self.peek(), "no `;` where the value should end"));
        }
        self.position += 1;
        match self.peek().kind {
            Kind::End | Kind::Close(_) => Ok(()),
            _ => Err(misread(self.peek(), "code after `return`")),
        }
    }

    /// One expression, up to the comma, bracket or semicolon that ends it.
    fn located(&mut self, depth: usize) -> Read<Located> {
        let start = self.position;
        let line = self.line();
        self.defaulted.clear();
        let known = if self.at_array() { self.array(depth)? } else { self.scalar().map(|value| self.resolved(value)) };
        let defaulted = std::mem::take(&mut self.defaulted);
        if let Some(setting) = known
            && self.ends_expression()
        {
            return Ok(Located { setting, line, defaulted });
        }
        self.position = start;
        self.skip_expression(false)?;
        let code = self.code(start);
        Ok(Located { setting: Setting::Computed(code), line, defaulted: Vec::new() })
    }

    /// Cockpit puts variables into every text of the finished config.
    fn resolved(&self, value: Setting) -> Setting {
        let Setting::Value(PhpValue::Text(text)) = &value else { return value };
        if !text.contains("${") {
            return value;
        }
        let (resolved, unset) = resolve(text, |name| self.scope.variables.get(name));
        let is_one_variable = text.starts_with("${") && text.find('}') == Some(text.len() - 1);
        match (unset, resolved.as_str()) {
            (Some(variable), _) => Setting::Unset(variable),
            (None, "null") if is_one_variable => Setting::Value(PhpValue::Null),
            (None, "true") if is_one_variable => Setting::Value(PhpValue::Bool(true)),
            (None, "false") if is_one_variable => Setting::Value(PhpValue::Bool(false)),
            (None, _) => Setting::Value(PhpValue::Text(resolved)),
        }
    }

    fn at_array(&self) -> bool {
        match &self.peek().kind {
            Kind::Symbol(b'[') => true,
            Kind::Word(word) => word.eq_ignore_ascii_case("array") && self.follows(1, &Kind::Symbol(b'(')),
            _ => false,
        }
    }

    fn array(&mut self, depth: usize) -> Read<Option<Setting>> {
        if depth >= DEPTH_LIMIT {
            return Ok(None);
        }
        let closing = if self.takes(b'[') { b']' } else { b')' };
        if closing == b')' {
            self.position += 2;
        }
        let mut entries = Vec::new();
        let mut next_index = 0;
        while !self.takes(closing) {
            let entry = self.entry(&mut next_index, depth + 1)?;
            entries.push(entry);
            if !self.takes(b',') && self.peek().kind != Kind::Symbol(closing) {
                return Err(misread(self.peek(), "an array that does not end"));
            }
        }
        Ok(Some(Setting::Array(entries)))
    }

    fn entry(&mut self, next_index: &mut i64, depth: usize) -> Read<Entry> {
        let start = self.position;
        let is_spread = (0..3).all(|ahead| self.follows(ahead, &Kind::Symbol(b'.')));
        if is_spread {
            let value = self.located(depth)?;
            return Ok(Entry { key: Key::Computed, value });
        }
        let has_key = self.skip_expression(true)?;
        if !has_key {
            self.position = start;
            let key = Key::Named(PhpKey::Integer(*next_index));
            *next_index += 1;
            return Ok(Entry { key, value: self.located(depth)? });
        }
        let arrow = self.position;
        self.position = start;
        let key = match self.scalar() {
            Some(Setting::Value(PhpValue::Text(text))) if self.position == arrow => {
                Key::Named(PhpKey::from_text(&text))
            }
            Some(Setting::Value(PhpValue::Integer(integer))) if self.position == arrow => {
                *next_index = integer.saturating_add(1).max(*next_index);
                Key::Named(PhpKey::Integer(integer))
            }
            _ => Key::Computed,
        };
        self.position = arrow + 1;
        Ok(Entry { key, value: self.located(depth)? })
    }

    /// Steps to the end of an expression, or, if asked to, to the arrow after a key. True at such an arrow.
    fn skip_expression(&mut self, until_arrow: bool) -> Read<bool> {
        let mut depth = 0usize;
        let mut arrows_of_functions = 0usize;
        loop {
            match &self.peek().kind {
                Kind::End | Kind::Close(_) if depth > 0 => {
                    return Err(misread(self.peek(), "a bracket that is not closed"));
                }
                Kind::Symbol(b'(' | b'[' | b'{') => depth += 1,
                Kind::Symbol(b')' | b']' | b'}') if depth > 0 => depth -= 1,
                _ if depth > 0 => {}
                Kind::Word(word) if word.eq_ignore_ascii_case("fn") => arrows_of_functions += 1,
                Kind::Arrow if arrows_of_functions > 0 => arrows_of_functions -= 1,
                Kind::Arrow if until_arrow => return Ok(true),
                _ if self.ends_expression() => return Ok(false),
                _ => {}
            }
            self.position += 1;
        }
    }

    fn ends_expression(&self) -> bool {
        matches!(self.peek().kind, Kind::Symbol(b',' | b')' | b']' | b'}' | b';') | Kind::Close(_) | Kind::End)
    }

    /// The code from `start` on, shortened and without what stands in quotes.
    fn code(&self, start: usize) -> String {
        const SHOWN_TOKENS: usize = 12;
        let tokens = &self.tokens[start..self.position];
        let mut code = String::new();
        for token in tokens.iter().take(SHOWN_TOKENS) {
            match token.kind {
                Kind::Text(_) | Kind::ComputedText => code.push_str("'...'"),
                _ => code.push_str(&String::from_utf8_lossy(&self.source[token.start..token.end])),
            }
        }
        if tokens.len() > SHOWN_TOKENS {
            code.push_str(" ...");
        }
        code
    }

    fn line(&self) -> usize {
        let start = self.peek().start;
        self.newlines.partition_point(|&newline| newline < start) + 1
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.position.min(self.tokens.len() - 1)]
    }

    fn follows(&self, ahead: usize, kind: &Kind) -> bool {
        self.tokens.get(self.position + ahead).is_some_and(|token| token.kind == *kind)
    }

    fn takes(&mut self, symbol: u8) -> bool {
        let found = self.peek().kind == Kind::Symbol(symbol);
        if found {
            self.position += 1;
        }
        found
    }
}

fn misread(token: &Token, problem: &str) -> Misread {
    Misread { at: token.start, problem: problem.to_owned() }
}
