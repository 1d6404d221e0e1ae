//! Filters in the style of MongoDB: which documents are meant, said in JSON.
//!
//! Owns: reading a filter, saying in words what is wrong with it, and asking it of a document. It travels as its JSON
//! text, which whoever receives it reads again. It must not know where documents come from.
//!
//! A document is asked as it is stored. What holds and what does not is as in MongoDB:
//!
//! - `{"rating": 5}` and `$eq $gt $gte $lt $lte $in $regex` compare. Values of different kinds are never less, equal or
//!   greater: a number compares with numbers only, a text with texts (by their bytes). A missing field matches none of them,
//!   except that null also means missing, for `{"image": null}`.
//! - `$ne $nin $not $nor` are the opposite of what they deny, so they match where the field is missing.
//! - A path (`seo.title`, `sections.headline`, `sections.0.headline`) goes through arrays: the condition holds if it does for
//!   one of the elements. So it does for an array itself: `{"tags": "news"}`.
//!
//! Two values are equal as in the hash of documents ([`Value::is_same`]): `1` is `1.0`, the order of fields is no matter.

mod conditions;
mod parsing;

use serde::{Deserialize, Serialize};

use crate::canonical::Document;
use conditions::Condition;

/// A filter's text may have so many bytes: it travels with every page that is asked for.
pub const FILTER_BYTES: usize = 64 * 1024;

/// A filter that was read and found sound.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Filter {
    text: String,
    condition: Condition,
}

/// What is wrong with a filter, with the place in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("filter: {0}")]
pub struct FilterError(String);

impl Filter {
    /// Reads a filter from JSON: `{"_state": 1, "_modified": {"$gte": 1700000000}}`.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        if text.len() > FILTER_BYTES {
            return Err(FilterError(format!(
                "{} bytes are more than the {FILTER_BYTES} a filter may have",
                text.len()
            )));
        }
        let document = Document::parse(text.as_bytes())
            .map_err(|error| FilterError(format!("{text:.60} is not the JSON of an object ({error})")))?;
        Ok(Self { condition: parsing::read(&document)?, text: text.to_owned() })
    }

    /// What all of these match; none when there are none.
    pub fn all(filters: &[Self]) -> Result<Option<Self>, FilterError> {
        Ok(match filters {
            [] => None,
            [one] => Some(one.clone()),
            several => {
                let texts: Vec<&str> = several.iter().map(Self::text).collect();
                Some(Self::parse(&format!("{{\"$and\":[{}]}}", texts.join(",")))?)
            }
        })
    }

    /// Whether a document is meant.
    pub fn matches(&self, document: &Document<'_>) -> bool {
        self.condition.holds(document)
    }

    /// Its JSON.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The same text is the same filter.
impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Filter {}

impl std::str::FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Filter {
    type Error = FilterError;

    fn try_from(text: String) -> Result<Self, FilterError> {
        Self::parse(&text)
    }
}

impl From<Filter> for String {
    fn from(filter: Filter) -> Self {
        filter.text
    }
}
