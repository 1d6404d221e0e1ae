//! The way between PHP values and JSON, as `json_decode($text, true)` and `json_encode` go it.

use serde_json::{Map, Number, Value};

use super::{PhpArray, PhpError, PhpKey, PhpValue};

impl PhpValue {
    /// An array that is a list becomes an array, any other an object. Floats stay floats.
    pub fn to_json(&self) -> Result<Value, PhpError> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Integer(integer) => Value::from(*integer),
            Self::Float(float) => {
                Value::Number(Number::from_f64(*float).ok_or(PhpError::NotWritable("a float that is not finite"))?)
            }
            Self::Text(text) => Value::String(text.clone()),
            Self::Array(array) => array_to_json(array)?,
        })
    }

    /// Objects and arrays become arrays; integers beyond 64 bits become floats.
    pub fn from_json(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => match number.as_i64() {
                Some(integer) => Self::Integer(integer),
                None => Self::Float(number.as_f64().expect("serde_json keeps numbers as i64, u64 or f64")),
            },
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(elements) => {
                let entries =
                    (0..).zip(elements).map(|(index, element)| (PhpKey::Integer(index), Self::from_json(element)));
                Self::Array(entries.collect())
            }
            Value::Object(fields) => {
                let entries = fields.iter().map(|(key, value)| (PhpKey::from_text(key), Self::from_json(value)));
                Self::Array(entries.collect())
            }
        }
    }
}

fn array_to_json(array: &PhpArray) -> Result<Value, PhpError> {
    if array.is_list() {
        return array.entries().iter().map(|(_, value)| value.to_json()).collect();
    }
    let mut fields = Map::new();
    for (key, value) in array.entries() {
        let key = match key {
            PhpKey::Integer(integer) => integer.to_string(),
            PhpKey::Text(text) => text.clone(),
        };
        fields.insert(key, value.to_json()?);
    }
    Ok(Value::Object(fields))
}
