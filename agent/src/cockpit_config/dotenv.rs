//! The variables a config sees: Cockpit's `.env` files before the environment of the process.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use super::read_if_there;

pub(super) struct Variables<'e> {
    from_files: HashMap<String, String>,
    environment: &'e dyn Fn(&str) -> Option<String>,
}

impl<'e> Variables<'e> {
    pub(super) fn new(environment: &'e dyn Fn(&str) -> Option<String>) -> Self {
        Self { from_files: HashMap::new(), environment }
    }

    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.from_files.get(name).cloned().or_else(|| (self.environment)(name))
    }

    /// A later file overrides an earlier one. A file may use its own variables and those known before, as `${NAME}`.
    pub(super) fn load(&mut self, path: &Path) -> io::Result<()> {
        let Some(bytes) = read_if_there(path)? else { return Ok(()) };
        let text = String::from_utf8_lossy(&bytes);
        let own = assignments(&text);
        let (resolved, _) = resolve(&text, |name| own.get(name).cloned().or_else(|| self.get(name)));
        self.from_files.extend(assignments(&resolved));
        Ok(())
    }
}

fn assignments(text: &str) -> HashMap<String, String> {
    let lines = text.split('\n').map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim_matches(['"', '\'', ' ']).to_owned())).collect()
}

/// Puts values in the place of `${NAME}`; what has none stays, and the first such name is told.
pub(super) fn resolve(text: &str, value_of: impl Fn(&str) -> Option<String>) -> (String, Option<String>) {
    let mut resolved = String::new();
    let mut first_unset = None;
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        resolved.push_str(&rest[..start]);
        let after = &rest[start + 2..];
        let length = after.find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
        let name =
            length.filter(|&length| length > 0 && after[length..].starts_with('}')).map(|length| &after[..length]);
        let Some(name) = name else {
            resolved.push_str("${");
            rest = after;
            continue;
        };
        match value_of(name) {
            Some(value) => resolved.push_str(&value),
            None => {
                resolved.push_str(&format!("${{{name}}}"));
                first_unset.get_or_insert(name.to_owned());
            }
        }
        rest = &after[name.len() + 1..];
    }
    resolved.push_str(rest);
    (resolved, first_unset)
}
