//! `canon:1`: what two documents must share to count as the same content, and byte-exact edits of a document.
//!
//! Owns: reading the JSON text of one document as PHP's `json_decode($text, true)` reads it, its canonical hash,
//! sums of hashes over a collection, and the few edits a sync makes in a document (`_modified`, a singleton's `_id`,
//! stale copies of assets). It must not know where documents come from, nor how they travel.
//!
//! # The hash
//!
//! The first 128 bits of SHA-256 over the encoding below. Everything in it can be computed in PHP from
//! `json_decode($text, true)`: `tests/golden/make.php` does, in a few lines.
//!
//! | value | bytes |
//! |---|---|
//! | the document | `canon:1` and a zero byte, then the top-level object, always as an object |
//! | null, false, true | `n`, `f`, `t` |
//! | integer | `i`, then 8 bytes, big endian, two's complement |
//! | float | `d`, then the 8 bytes of the IEEE 754 double, big endian |
//! | string | `s`, 4 bytes length in bytes, big endian, then its UTF-8 |
//! | array | `l`, 4 bytes number of elements, then the elements in order |
//! | object | `o`, 4 bytes number of fields, then for each field, sorted by the bytes of its key: 4 bytes length of the key, the key, the value |
//! | copy of an asset | `a`, then like an object, but only the fields in [`COUNTED_ASSET_FIELDS`] |
//!
//! - An integer outside 64 bits is a float, as in PHP. A float without fraction below 2^53 in magnitude is that integer, so
//!   `1.0` is `1` and `-0.0` is `0`.
//! - An object without fields, and one whose keys are `"0"` to `"n-1"` in this order, is an array: PHP cannot tell them apart.
//! - Of a key that occurs twice the last value counts, at the place of the first.
//! - null and missing differ. Strings are not normalised.
//! - Left out at the top level: [`BOOKKEEPING_FIELDS`], and the `_id` where something else is the identity ([`Identity`]).
//! - A copy of an asset is any object below the top level with a string `_id` and with `path`, `mime` and `type` that are not null.

mod assets;
mod digest;
mod reader;
mod splice;
mod summary;

pub use assets::{AssetCopy, COUNTED_ASSET_FIELDS, ContentLink, refresh_assets};
pub use digest::{BOOKKEEPING_FIELDS, DocHash, FieldName, Identity, hash, same};
pub use reader::{CanonicalError, DEPTH_LIMIT};
pub use splice::{php_json_string, replace_identity_id, splice_modified};
pub use summary::CollectionSummary;

use std::borrow::Cow;
use std::ops::Range;

/// One document, read from its stored text, which it borrows.
#[derive(Debug, Clone)]
pub struct Document<'a> {
    bytes: &'a [u8],
    root: Object<'a>,
    /// Earlier occurrences of top-level keys that occur again: they do not count, but an edit must not miss them.
    overwritten: Vec<Field<'a>>,
}

/// A JSON value as PHP sees it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    /// Finite. Also every integer that does not fit in 64 bits.
    Float(f64),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    Object(Object<'a>),
}

/// The fields of a JSON object in the order of the text, each key once.
#[derive(Debug, Clone, PartialEq)]
pub struct Object<'a> {
    fields: Vec<Field<'a>>,
    start: u32,
    end: u32,
}

/// One field of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Field<'a> {
    pub key: Cow<'a, str>,
    pub value: Value<'a>,
    start: u32,
    end: u32,
}

impl<'a> Document<'a> {
    /// Reads a document. Its text must be one JSON object that PHP would read too.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CanonicalError> {
        let (root, overwritten) = reader::read_object(bytes)?;
        Ok(Self { bytes, root, overwritten })
    }

    /// The text it was read from.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its `_id`, if that is a string.
    pub fn id(&self) -> Option<&str> {
        self.text("_id")
    }

    /// What it is recognised by on the other side, if that is a string.
    pub fn identity(&self, identity: Identity) -> Option<&str> {
        self.text(identity.field())
    }

    /// A top-level field that is a string.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.root.text(key)
    }

    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.root.get(key)
    }

    /// The top-level fields in the order of the text.
    pub fn fields(&self) -> &[Field<'a>] {
        self.root.fields()
    }
}

impl<'a> Object<'a> {
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        Some(&self.field(key)?.value)
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_text()
    }

    pub fn fields(&self) -> &[Field<'a>] {
        &self.fields
    }

    fn field(&self, key: &str) -> Option<&Field<'a>> {
        self.fields.iter().find(|field| field.key == key)
    }

    /// Where it stands in the text of its document, braces included.
    fn span(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Field<'_> {
    fn into_owned(self) -> Field<'static> {
        let key = Cow::Owned(self.key.into_owned());
        Field { key, value: self.value.into_owned(), start: self.start, end: self.end }
    }

    /// Where its value stands in the text of its document.
    fn span(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl<'a> Value<'a> {
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_object(&self) -> Option<&Object<'a>> {
        match self {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Whether two values count as the same, as in the hash.
    pub fn is_same(&self, other: &Value<'_>) -> bool {
        digest::same(Some(self), Some(other))
    }

    /// The same value, borrowing nothing.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(bool) => Value::Bool(bool),
            Value::Integer(integer) => Value::Integer(integer),
            Value::Float(float) => Value::Float(float),
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::List(elements) => Value::List(elements.into_iter().map(Value::into_owned).collect()),
            Value::Object(object) => Value::Object(Object {
                fields: object.fields.into_iter().map(Field::into_owned).collect(),
                start: object.start,
                end: object.end,
            }),
        }
    }
}
