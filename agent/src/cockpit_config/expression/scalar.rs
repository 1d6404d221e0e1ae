//! The few computations that configs are full of: joined texts, directories, variables of the environment and their defaults.
//!
//! None means code that is not known here. The position is then anywhere: the caller goes back.

use std::path::Path;

use super::{DEPTH_LIMIT, Reader, Setting};
use crate::php::PhpValue;
use crate::php::lexer::Kind;

impl Reader<'_> {
    /// A [`Setting::Value`] or [`Setting::Unset`].
    pub(super) fn scalar(&mut self) -> Option<Setting> {
        if self.nesting >= DEPTH_LIMIT {
            return None;
        }
        self.nesting += 1;
        let value = self.joined_or_default();
        self.nesting -= 1;
        value
    }

    fn joined_or_default(&mut self) -> Option<Setting> {
        let value = self.joined()?;
        let only_if_null = self.follows(0, &Kind::Symbol(b'?')) && self.follows(1, &Kind::Symbol(b'?'));
        let if_falsy = self.follows(0, &Kind::Symbol(b'?')) && self.follows(1, &Kind::Symbol(b':'));
        if !only_if_null && !if_falsy {
            return Some(value);
        }
        self.position += 2;
        let default = self.scalar()?;
        Some(self.or_default(value, default, if_falsy))
    }

    fn or_default(&mut self, value: Setting, default: Setting, if_falsy: bool) -> Setting {
        match &value {
            Setting::Unset(variable) => {
                self.defaulted.push(variable.clone());
                default
            }
            Setting::Value(PhpValue::Null) => default,
            Setting::Value(found) if if_falsy && is_falsy(found) => default,
            _ => value,
        }
    }

    fn joined(&mut self) -> Option<Setting> {
        let mut value = self.term()?;
        while self.takes(b'.') {
            let next = self.term()?;
            value = match (value, next) {
                (Setting::Unset(variable), _) | (_, Setting::Unset(variable)) => Setting::Unset(variable),
                (Setting::Value(one), Setting::Value(other)) => {
                    Setting::Value(PhpValue::Text(as_text(&one)? + &as_text(&other)?))
                }
                _ => return None,
            };
        }
        Some(value)
    }

    fn term(&mut self) -> Option<Setting> {
        while self.at_cast_to_text() {
            self.position += 3;
        }
        let kind = self.peek().kind.clone();
        self.position += 1;
        match kind {
            Kind::Text(bytes) => Some(text(String::from_utf8(bytes).ok()?)),
            Kind::Integer(integer) => Some(Setting::Value(PhpValue::Integer(integer))),
            Kind::Float(float) => Some(Setting::Value(PhpValue::Float(float))),
            Kind::Variable(name) if name == "_ENV" || name == "_SERVER" => {
                self.takes(b'[').then_some(())?;
                let name = self.scalar_text()?;
                self.takes(b']').then(|| self.variable(&name))
            }
            Kind::Symbol(b'(') => self.parenthesised(),
            Kind::Word(word) => self.word(&word),
            _ => None,
        }
    }

    fn at_cast_to_text(&self) -> bool {
        let cast = [Kind::Symbol(b'('), Kind::Word("string".into()), Kind::Symbol(b')')];
        cast.iter().enumerate().all(|(ahead, kind)| self.follows(ahead, kind))
    }

    fn parenthesised(&mut self) -> Option<Setting> {
        let value = self.scalar()?;
        self.takes(b')').then_some(value)
    }

    fn word(&mut self, word: &str) -> Option<Setting> {
        let unqualified = word.trim_start_matches('\\');
        let value = match unqualified.to_ascii_lowercase().as_str() {
            "true" => PhpValue::Bool(true),
            "false" => PhpValue::Bool(false),
            "null" => PhpValue::Null,
            "__dir__" => return path(&self.scope.config_directory),
            "dirname" => return self.parent_directory(),
            "getenv" => return self.variable_named(false),
            "env" => return self.variable_named(true),
            "dotenv" if self.takes_method("value") => return self.variable_named(true),
            _ => return self.constant(unqualified),
        };
        Some(Setting::Value(value))
    }

    fn constant(&mut self, name: &str) -> Option<Setting> {
        match name {
            "APP_DIR" => path(&self.scope.app_directory),
            "APP_SPACES_DIR" => path(&self.scope.app_directory.join(".spaces")),
            "DIRECTORY_SEPARATOR" => Some(text("/".into())),
            class => self.takes_method("class").then(|| text(class.to_owned())),
        }
    }

    fn takes_method(&mut self, name: &str) -> bool {
        let colon = Kind::Symbol(b':');
        let found = self.follows(0, &colon) && self.follows(1, &colon) && self.follows(2, &Kind::Word(name.into()));
        if found {
            self.position += 3;
        }
        found
    }

    /// `dirname(PATH)` or `dirname(PATH, LEVELS)`
    fn parent_directory(&mut self) -> Option<Setting> {
        self.takes(b'(').then_some(())?;
        let directory = self.scalar_text()?;
        let mut levels = 1;
        if self.takes(b',')
            && let Some(Setting::Value(PhpValue::Integer(given))) = self.scalar()
        {
            levels = usize::try_from(given).ok()?;
        }
        let parent = Path::new(&directory).ancestors().nth(levels)?;
        self.takes(b')').then_some(path(parent)?)
    }

    /// `(NAME)` or `(NAME, DEFAULT)`. The second argument of `getenv` is no default.
    fn variable_named(&mut self, may_have_default: bool) -> Option<Setting> {
        self.takes(b'(').then_some(())?;
        let name = self.scalar_text()?;
        let mut value = self.variable(&name);
        if self.takes(b',') {
            let second = self.scalar()?;
            if may_have_default {
                value = self.or_default(value, second, true);
            }
        }
        self.takes(b')').then_some(value)
    }

    fn variable(&self, name: &str) -> Setting {
        self.scope.variables.get(name).map_or_else(|| Setting::Unset(name.to_owned()), text)
    }

    fn scalar_text(&mut self) -> Option<String> {
        match self.scalar()? {
            Setting::Value(PhpValue::Text(text)) => Some(text),
            _ => None,
        }
    }
}

fn text(text: String) -> Setting {
    Setting::Value(PhpValue::Text(text))
}

fn path(path: &Path) -> Option<Setting> {
    Some(text(path.to_str()?.to_owned()))
}

/// None where PHP's way to a text is not obvious.
fn as_text(value: &PhpValue) -> Option<String> {
    match value {
        PhpValue::Text(text) => Some(text.clone()),
        PhpValue::Integer(integer) => Some(integer.to_string()),
        PhpValue::Null | PhpValue::Bool(false) => Some(String::new()),
        PhpValue::Bool(true) => Some("1".into()),
        PhpValue::Float(_) | PhpValue::Array(_) => None,
    }
}

fn is_falsy(value: &PhpValue) -> bool {
    match value {
        PhpValue::Null => true,
        PhpValue::Bool(value) => !value,
        PhpValue::Integer(integer) => *integer == 0,
        PhpValue::Float(float) => *float == 0.0,
        PhpValue::Text(text) => text.is_empty() || text == "0",
        PhpValue::Array(array) => array.entries().is_empty(),
    }
}
