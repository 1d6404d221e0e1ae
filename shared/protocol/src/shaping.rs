//! How documents are changed on their way: transforms, masks, and what becomes of what the target has.
//!
//! It travels with the run, so that every worker does the same. Commands travel by name only: what is executed stands in
//! the own config of the process that executes it, never in Redis.

use serde::{Deserialize, Serialize};

use crate::collection::Collection;

/// What happens to the documents of one collection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shaping {
    /// In this order.
    pub steps: Vec<Step>,
    /// What happens before to the copies of assets within the documents: what happens to assets themselves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<Step>,
    pub merge: Merge,
}

impl Shaping {
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// One change of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The entry of the config it comes from: "transform.content.posts".
    pub entry: String,
    /// Only of the document with this identity: one of the singletons, say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<String>,
    pub change: Change,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A filter in jq's language.
    Jq(String),
    Mask(Mask),
    /// A command of the worker's own config, and what it must be there ([`fingerprint`]).
    Command {
        name: String,
        fingerprint: String,
    },
}

/// Hides or replaces one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mask {
    /// Keys with dots between them; `*` stands for any text within a key, `**` for everything below. Lists are looked into.
    pub field: String,
    pub with: MaskWith,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskWith {
    /// The field is taken away.
    Drop,
    Null,
    /// Texts and numbers become 16 digits that are the same for the same value.
    Hash,
    /// Texts become an address that nobody has, the same for the same text.
    FakeEmail,
    /// In URLs of texts.
    ReplaceHost {
        from: String,
        to: String,
    },
}

/// What becomes of a document that the target has already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Merge {
    /// It becomes the source's.
    #[default]
    Replace,
    /// It gets the keys it lacks, at every level, and keeps the values it has.
    MissingKeys,
}

/// The shaping of one collection, as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shaped {
    pub collection: Collection,
    pub shaping: Shaping,
}

/// Tells apart commands of the same name in the configs of two processes.
pub fn fingerprint(command: &[String]) -> String {
    use sha2::{Digest, Sha256};
    let mut digest = Sha256::new();
    for argument in command {
        digest.update((argument.len() as u64).to_be_bytes());
        digest.update(argument);
    }
    hex::encode(&digest.finalize()[..8])
}

/// Whether a text matches a pattern in which `*` stands for any text, also none.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(end) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(end)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [("*", ""), ("a*", "a"), ("a*", "ab/c"), ("*b", "aab"), ("a*c*e", "abcde"), ("x", "x")] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a*", "ba"), ("a*c", "abcd"), ("", "a"), ("x", "y")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn arguments_that_are_cut_elsewhere_are_another_command() {
        let of = |arguments: &[&str]| fingerprint(&arguments.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
        assert_ne!(of(&["php", "a b"]), of(&["php", "a", "b"]));
        assert_eq!(of(&["php", "a"]), of(&["php", "a"]));
    }

    #[test]
    fn a_shaping_comes_back_from_what_travels() {
        let shaping = Shaping {
            steps: vec![Step {
                entry: "transform.content".into(),
                only: None,
                change: Change::Mask(Mask {
                    field: "a.*".into(),
                    with: MaskWith::ReplaceHost { from: "a".into(), to: "b".into() },
                }),
            }],
            copies: Vec::new(),
            merge: Merge::MissingKeys,
        };
        let bytes = rmp_serde::to_vec_named(&shaping).unwrap();
        assert_eq!(rmp_serde::from_slice::<Shaping>(&bytes).unwrap(), shaping);
    }
}
