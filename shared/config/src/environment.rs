//! `${NAME}` in strings of the config. The variables are a parameter, so that tests do not touch the process.

use std::collections::HashMap;

/// The environment variables a config may use.
#[derive(Debug, Clone)]
pub struct Environment(HashMap<String, String>);

/// A config names a variable that is not set.
#[derive(Debug, thiserror::Error)]
#[error("{key} uses ${{{variable}}}, but the environment variable {variable} is not set")]
pub struct UnsetVariable {
    key: String,
    variable: String,
}

impl Environment {
    /// The variables of this process (those that are UTF-8).
    pub fn of_process() -> Self {
        let is_text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(is_text).collect())
    }

    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().collect())
    }

    /// Replaces `${NAME}` in every string of the table.
    pub fn replace_in(&self, table: &mut toml::Table) -> Result<(), UnsetVariable> {
        table.iter_mut().try_for_each(|(key, value)| self.replace_in_value(key, value))
    }

    fn replace_in_value(&self, key: &str, value: &mut toml::Value) -> Result<(), UnsetVariable> {
        match value {
            toml::Value::String(text) => {
                *text = self.replaced(key, text)?;
                Ok(())
            }
            toml::Value::Array(items) => items.iter_mut().try_for_each(|item| self.replace_in_value(key, item)),
            toml::Value::Table(table) => {
                table.iter_mut().try_for_each(|(inner, item)| self.replace_in_value(&format!("{key}.{inner}"), item))
            }
            _ => Ok(()),
        }
    }

    fn replaced(&self, key: &str, text: &str) -> Result<String, UnsetVariable> {
        let mut result = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((variable, behind)) = after.split_once('}') else { break };
            let unset = || UnsetVariable { key: key.into(), variable: variable.into() };
            result.push_str(before);
            result.push_str(self.0.get(variable).ok_or_else(unset)?);
            rest = behind;
        }
        result.push_str(rest);
        Ok(result)
    }
}
