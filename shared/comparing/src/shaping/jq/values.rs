//! Between documents as PHP reads them, values of jq, and the text Cockpit would store.

use jaq_json::{Map, Num, Val};
use protocol::api::MAX_DOCUMENT_BYTES;
use protocol::canonical::{DEPTH_LIMIT, Document, Field, Value, php_json_string};

/// A document as jq sees it. Integers stay integers.
pub fn to_jq(document: &Document<'_>) -> Val {
    object(document.fields())
}

fn object(fields: &[Field<'_>]) -> Val {
    Val::obj(fields.iter().map(|field| (text(&field.key), value(&field.value))).collect::<Map>())
}

fn value(of: &Value<'_>) -> Val {
    match of {
        Value::Null => Val::Null,
        Value::Bool(truth) => Val::Bool(*truth),
        Value::Integer(integer) => Val::Num(Num::from_integral(*integer)),
        Value::Float(float) => Val::Num(Num::Float(*float)),
        Value::Text(characters) => text(characters),
        Value::List(elements) => elements.iter().map(value).collect(),
        Value::Object(inner) => object(inner.fields()),
    }
}

pub fn text(characters: &str) -> Val {
    Val::utf8_str(characters.to_owned())
}

pub fn as_text(of: &Val) -> Option<&str> {
    match of {
        Val::TStr(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// Puts the keys of objects back into the order they had: jq moves the last one to the place of one that is deleted.
pub fn keep_order(before: &Val, after: &mut Val) {
    match (before, after) {
        (Val::Obj(before), Val::Obj(after)) if !std::sync::Arc::ptr_eq(before, after) => {
            let fields = std::sync::Arc::make_mut(after);
            let place = |key: &Val| before.get_index_of(key).unwrap_or(usize::MAX);
            fields.sort_by(|one, _, other, _| place(one).cmp(&place(other)));
            for (key, value) in fields.iter_mut() {
                if let Some(was) = before.get(key) {
                    keep_order(was, value);
                }
            }
        }
        (Val::Arr(before), Val::Arr(after)) if !std::sync::Arc::ptr_eq(before, after) => {
            for (was, value) in before.iter().zip(std::sync::Arc::make_mut(after)) {
                keep_order(was, value);
            }
        }
        _ => {}
    }
}

/// What is no document, in words.
type Unwritable = &'static str;

/// The text of PHP's `json_encode` with JSON_UNESCAPED_UNICODE, as Cockpit stores it.
pub fn to_php_json(document: &Val) -> Result<Vec<u8>, Unwritable> {
    let mut json = Vec::with_capacity(1024);
    write(document, 0, &mut json)?;
    Ok(json)
}

fn write(of: &Val, depth: usize, json: &mut Vec<u8>) -> Result<(), Unwritable> {
    if json.len() > MAX_DOCUMENT_BYTES {
        return Err("the result is larger than 16 MiB");
    }
    match of {
        Val::Null => json.extend_from_slice(b"null"),
        Val::Bool(truth) => json.extend_from_slice(if *truth { b"true" } else { b"false" }),
        Val::Num(number) => json.extend_from_slice(php_number(number)?.as_bytes()),
        Val::TStr(_) => write_text(of, json)?,
        Val::BStr(_) => return Err("the result holds bytes that are no text"),
        Val::Arr(elements) => {
            let depth = enter(depth)?;
            write_all(b"[]", elements.iter(), json, |element, json| write(element, depth, json))?;
        }
        Val::Obj(fields) => {
            let depth = enter(depth)?;
            write_all(b"{}", fields.iter(), json, |(key, value), json| {
                write_text(key, json)?;
                json.push(b':');
                write(value, depth, json)
            })?;
        }
    }
    Ok(())
}

fn enter(depth: usize) -> Result<usize, Unwritable> {
    if depth >= DEPTH_LIMIT { Err("the result is nested deeper than 511 levels") } else { Ok(depth + 1) }
}

fn write_all<T>(
    brackets: &[u8; 2],
    of: impl Iterator<Item = T>,
    json: &mut Vec<u8>,
    mut write_one: impl FnMut(T, &mut Vec<u8>) -> Result<(), Unwritable>,
) -> Result<(), Unwritable> {
    json.push(brackets[0]);
    for (place, one) in of.enumerate() {
        if place > 0 {
            json.push(b',');
        }
        write_one(one, json)?;
    }
    json.push(brackets[1]);
    Ok(())
}

fn write_text(of: &Val, json: &mut Vec<u8>) -> Result<(), Unwritable> {
    let characters = as_text(of).ok_or("the result holds a text that is not UTF-8, or a key that is no text")?;
    json.extend_from_slice(php_json_string(characters).as_bytes());
    Ok(())
}

/// Integers that fit stay integers; the others are floats to PHP, too.
fn php_number(number: &Num) -> Result<String, Unwritable> {
    let float = match number {
        Num::Int(integer) => return Ok(integer.to_string()),
        Num::BigInt(integer) => match i64::try_from(&**integer) {
            Ok(integer) => return Ok(integer.to_string()),
            Err(_) => integer.to_string().parse(),
        },
        Num::Float(float) => Ok(*float),
        Num::Dec(literal) => literal.parse(),
    };
    match float {
        Ok(float) if f64::is_finite(float) => Ok(php_float(float)),
        _ => Err("the result holds a number that JSON has not"),
    }
}

/// From here on a float that is written without exponent would come back as an integer, and perhaps another one.
const EXACT_INTEGERS: f64 = 9_007_199_254_740_992.0;

/// The shortest digits that read back as the same number, as PHP writes them; but what is a float stays one.
fn php_float(float: f64) -> String {
    let scientific = format!("{float:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("`{:e}` always writes an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes the exponent as an integer");
    if exponent >= -4 && float.abs() < EXACT_INTEGERS {
        return format!("{float}");
    }
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent < 0 { "" } else { "+" };
    format!("{mantissa}{point}e{sign}{exponent}")
}
