//! The canonical encoding of a document and its hash. The encoding is specified in the module above; nothing else may write it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use super::assets::{COUNTED_ASSET_FIELDS, is_asset_copy};
use super::{Document, Field, Object, Value};

/// Who wrote a document and when: no part of its content.
pub const BOOKKEEPING_FIELDS: [&str; 4] = ["_created", "_cby", "_modified", "_mby"];

const VERSION_PREFIX: &[u8] = b"canon:1\0";
/// Below this magnitude every integer is a float too, so that equality of both is exact.
const EXACT_INTEGERS: f64 = 9_007_199_254_740_992.0;

/// What makes two documents of two instances the same one. Where it is not the `_id`, the `_id` is no content either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// Items, assets, folders: their `_id`.
    Id,
    /// Singletons: their `_model`.
    Model,
    /// Locales: their `i18n`.
    I18n,
    /// Models: their `name`.
    Name,
    /// Documents of add-ons: what the config says.
    Field(FieldName),
}

/// The name of a field, small enough to be copied about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FieldName {
    bytes: [u8; FieldName::LONGEST],
    length: u8,
}

impl FieldName {
    pub const LONGEST: usize = 31;

    /// Letters, digits, '-' and '_'.
    pub fn new(text: &str) -> Option<Self> {
        let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if text.is_empty() || text.len() > Self::LONGEST || !text.bytes().all(is_sound) {
            return None;
        }
        let mut bytes = [0; Self::LONGEST];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Some(Self { bytes, length: u8::try_from(text.len()).ok()? })
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).expect("only ASCII is taken")
    }
}

impl TryFrom<String> for FieldName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text).ok_or("not the name of a field: letters, digits, '-' and '_', at most 31")
    }
}

impl From<FieldName> for String {
    fn from(name: FieldName) -> Self {
        name.as_str().into()
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for FieldName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), formatter)
    }
}

impl Identity {
    /// The field that holds it.
    pub fn field(&self) -> &str {
        match self {
            Self::Id => "_id",
            Self::Model => "_model",
            Self::I18n => "i18n",
            Self::Name => "name",
            Self::Field(name) => name.as_str(),
        }
    }
}

/// The canonical hash of a document. In MessagePack 16 bytes, in JSON and on screen 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocHash(pub [u8; 16]);

/// The canonical hash `canon:1`.
pub fn hash(document: &Document<'_>, identity: Identity) -> DocHash {
    let mut encoding = Vec::with_capacity(document.bytes.len() + VERSION_PREFIX.len());
    encoding.extend_from_slice(VERSION_PREFIX);
    let counted = document.fields().iter().filter(|field| {
        let key = field.key.as_ref();
        !BOOKKEEPING_FIELDS.contains(&key) && (key != "_id" || identity == Identity::Id)
    });
    encode_fields(b'o', counted.collect(), &mut encoding);
    DocHash(first_half(Sha256::digest(&encoding).as_slice()))
}

pub(super) fn first_half(digest: &[u8]) -> [u8; 16] {
    digest[..16].try_into().expect("a SHA-256 digest has 32 bytes")
}

/// Whether two values count as the same, as in the hash.
pub fn same(one: Option<&Value<'_>>, other: Option<&Value<'_>>) -> bool {
    let encoded = |value: &Value<'_>| {
        let mut encoding = Vec::new();
        encode(value, &mut encoding);
        encoding
    };
    one.map(encoded) == other.map(encoded)
}

fn encode(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(b'n'),
        Value::Bool(false) => out.push(b'f'),
        Value::Bool(true) => out.push(b't'),
        Value::Integer(integer) => encode_integer(*integer, out),
        Value::Float(float) => encode_float(*float, out),
        Value::Text(text) => {
            out.push(b's');
            encode_text(text, out);
        }
        Value::List(elements) => encode_list(elements.len(), elements.iter(), out),
        Value::Object(object) => encode_object(object, out),
    }
}

fn encode_integer(integer: i64, out: &mut Vec<u8>) {
    out.push(b'i');
    out.extend_from_slice(&integer.to_be_bytes());
}

fn encode_float(float: f64, out: &mut Vec<u8>) {
    if float.abs() < EXACT_INTEGERS && float.fract() == 0.0 {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53: exact")]
        return encode_integer(float as i64, out);
    }
    out.push(b'd');
    out.extend_from_slice(&float.to_bits().to_be_bytes());
}

fn encode_text(text: &str, out: &mut Vec<u8>) {
    encode_count(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

fn encode_list<'v, 'a: 'v>(count: usize, elements: impl Iterator<Item = &'v Value<'a>>, out: &mut Vec<u8>) {
    out.push(b'l');
    encode_count(count, out);
    for element in elements {
        encode(element, out);
    }
}

fn encode_object(object: &Object<'_>, out: &mut Vec<u8>) {
    if is_list_like(object) {
        let elements = object.fields.iter().map(|field| &field.value);
        return encode_list(object.fields.len(), elements, out);
    }
    if is_asset_copy(object) {
        let counted = object.fields.iter().filter(|field| COUNTED_ASSET_FIELDS.contains(&field.key.as_ref()));
        return encode_fields(b'a', counted.collect(), out);
    }
    encode_fields(b'o', object.fields.iter().collect(), out);
}

fn encode_fields(tag: u8, mut fields: Vec<&Field<'_>>, out: &mut Vec<u8>) {
    fields.sort_unstable_by(|one, other| one.key.as_bytes().cmp(other.key.as_bytes()));
    out.push(tag);
    encode_count(fields.len(), out);
    for field in fields {
        encode_text(&field.key, out);
        encode(&field.value, out);
    }
}

fn encode_count(count: usize, out: &mut Vec<u8>) {
    let count = u32::try_from(count).expect("a document's text is shorter than 2^32 bytes, and so is every part of it");
    out.extend_from_slice(&count.to_be_bytes());
}

fn is_list_like(object: &Object<'_>) -> bool {
    object.fields.iter().enumerate().all(|(index, field)| is_index(&field.key, index))
}

fn is_index(key: &str, index: usize) -> bool {
    key.as_bytes().first().is_none_or(u8::is_ascii_digit) && key == index.to_string()
}

impl fmt::Display for DocHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for DocHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for DocHash {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

impl Serialize for DocHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for DocHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(de::Error::custom);
        }
        serde_bytes::ByteArray::deserialize(deserializer).map(|bytes| Self(bytes.into_array()))
    }
}
