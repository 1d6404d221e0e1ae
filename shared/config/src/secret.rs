//! Strings that do not show themselves.

use serde::Deserialize;

/// A key or a URL with a password: `Debug` prints no more than that there is one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself. Not for logs, errors or `--json`.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The first line of a file that holds a secret and nothing else. What is wrong, in words without it.
pub fn secret_file(file: &std::path::Path) -> Result<String, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.into()),
        _ => Err(format!("{} is empty", file.display())),
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(...)")
    }
}

/// Tables of a config that may have secrets in them: `Debug` prints how many there are.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct SecretTables(pub Vec<toml::Table>);

impl std::fmt::Debug for SecretTables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretTables({})", self.0.len())
    }
}
