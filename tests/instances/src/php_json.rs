//! JSON text exactly as Cockpit stores it: PHP's json_encode with JSON_UNESCAPED_UNICODE.

use serde_json::{Number, Value};

/// `/` becomes `\/`, U+2028 and U+2029 are escaped, other non-ASCII is raw, whole floats lose their type.
pub fn to_php_json(value: &Value) -> String {
    let mut text = String::with_capacity(512);
    write_value(&mut text, value);
    text
}

fn write_value(text: &mut String, value: &Value) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::Number(number) => write_number(text, number),
        Value::String(string) => write_string(text, string),
        Value::Array(values) => {
            text.push('[');
            for (index, element) in values.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_value(text, element);
            }
            text.push(']');
        }
        Value::Object(members) => {
            text.push('{');
            for (index, (key, member)) in members.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_string(text, key);
                text.push(':');
                write_value(text, member);
            }
            text.push('}');
        }
    }
}

fn write_string(text: &mut String, string: &str) {
    text.push('"');
    let mut plain_from = 0;
    for (at, character) in string.char_indices() {
        let escaped = match character {
            '"' => "\\\"",
            '\\' => "\\\\",
            '/' => "\\/",
            '\u{8}' => "\\b",
            '\u{c}' => "\\f",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\u{2028}' => "\\u2028",
            '\u{2029}' => "\\u2029",
            '\0'..='\u{1f}' => "",
            _ => continue,
        };
        text.push_str(&string[plain_from..at]);
        if escaped.is_empty() {
            text.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            text.push_str(escaped);
        }
        plain_from = at + character.len_utf8();
    }
    text.push_str(&string[plain_from..]);
    text.push('"');
}

fn write_number(text: &mut String, number: &Number) {
    match number.as_f64().filter(|_| number.is_f64()) {
        Some(float) => text.push_str(&php_float(float)),
        None => text.push_str(&number.to_string()),
    }
}

/// The shortest digits that read back as the same number; an exponent outside of 1e-4 .. 1e17.
fn php_float(float: f64) -> String {
    let scientific = format!("{float:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("`{:e}` always writes an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes the exponent as an integer");
    if (-4..=16).contains(&exponent) {
        return format!("{float}");
    }
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent < 0 { "" } else { "+" };
    format!("{mantissa}{point}e{sign}{exponent}")
}

#[cfg(test)]
mod tests {
    use super::{php_float, to_php_json};
    use serde_json::json;

    #[test]
    fn floats_look_as_php_writes_them() {
        // Left: the number; right: what `json_encode` of PHP 8.2 printed.
        let written_by_php = [
            (1e14, "100000000000000"),
            (1e16, "10000000000000000"),
            (1e17, "1.0e+17"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (1e20, "1.0e+20"),
            (1.25e20, "1.25e+20"),
            (1e-4, "0.0001"),
            (1e-5, "1.0e-5"),
            (2.5e-7, "2.5e-7"),
            (0.1, "0.1"),
            (-0.0, "-0"),
            (10.0, "10"),
            (1e300, "1.0e+300"),
        ];
        for (float, text) in written_by_php {
            assert_eq!(php_float(float), text);
        }
    }

    #[test]
    fn text_looks_as_php_writes_it() {
        let text = to_php_json(
            &json!({"a/b": "\u{2028}/é\u{7f}\u{8}\u{c}\u{1}\"\\🚀", "n": 9_007_199_254_740_993_i64, "e": {}}),
        );
        assert_eq!(text, "{\"a\\/b\":\"\\u2028\\/é\u{7f}\\b\\f\\u0001\\\"\\\\🚀\",\"n\":9007199254740993,\"e\":{}}");
    }
}
