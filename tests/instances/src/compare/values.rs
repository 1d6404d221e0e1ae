//! When two JSON values mean the same to Cockpit, and where they part if they do not.

use serde_json::{Map, Number, Value};

const FLOATS_ARE_EXACT_TO: f64 = 9_007_199_254_740_992.0;
const SHOWN: usize = 80;

/// The first place at which the values differ and how, or nothing. PHP tells neither 10 from 10.0 nor {} from [].
pub fn first_difference(a: &Value, b: &Value) -> Option<String> {
    walk(a, b, &mut String::new())
}

fn walk(a: &Value, b: &Value, path: &mut String) -> Option<String> {
    let same = match (a, b) {
        (Value::Number(left), Value::Number(right)) => numbers_are_equal(left, right),
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            return left
                .iter()
                .zip(right)
                .enumerate()
                .find_map(|(index, (x, y))| descend(x, y, path, &index.to_string()));
        }
        (Value::Object(left), Value::Object(right)) => return walk_objects(left, right, path),
        (Value::Object(members), Value::Array(values)) | (Value::Array(values), Value::Object(members)) => {
            is_list(members) && members.len() == values.len() && {
                let pairs = members.values().zip(values).enumerate();
                for (index, (x, y)) in pairs {
                    let (x, y) = if a.is_object() { (x, y) } else { (y, x) };
                    if let Some(difference) = descend(x, y, path, &index.to_string()) {
                        return Some(difference);
                    }
                }
                true
            }
        }
        _ => a == b,
    };
    if same { None } else { Some(format!("{}: {} != {}", shown_path(path), shown(a), shown(b))) }
}

fn walk_objects(a: &Map<String, Value>, b: &Map<String, Value>, path: &mut String) -> Option<String> {
    for (key, left) in a {
        let Some(right) = b.get(key) else {
            return Some(format!("{}: key `{key}` only in a", shown_path(path)));
        };
        if let Some(difference) = descend(left, right, path, key) {
            return Some(difference);
        }
    }
    let extra = b.keys().find(|key| !a.contains_key(*key))?;
    Some(format!("{}: key `{extra}` only in b", shown_path(path)))
}

fn descend(a: &Value, b: &Value, path: &mut String, step: &str) -> Option<String> {
    let length = path.len();
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(step);
    let difference = walk(a, b, path);
    path.truncate(length);
    difference
}

/// Keys 0..n-1 in order: what PHP reads as a list, the empty object among them.
fn is_list(members: &Map<String, Value>) -> bool {
    members.keys().enumerate().all(|(index, key)| *key == index.to_string())
}

fn numbers_are_equal(a: &Number, b: &Number) -> bool {
    if a == b {
        return true;
    }
    if a.is_f64() == b.is_f64() {
        // Two integers that are not the same, or two floats: -0.0 is 0.0.
        return a.is_f64() && a.as_f64() == b.as_f64();
    }
    let (float, integer) = if a.is_f64() { (a, b) } else { (b, a) };
    let Some(float) = float.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < FLOATS_ARE_EXACT_TO) else {
        return false;
    };
    integer.to_string() == format!("{}", float + 0.0)
}

fn shown_path(path: &str) -> &str {
    if path.is_empty() { "(top)" } else { path }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::first_difference;
    use crate::edit::parse;

    fn differ(a: &str, b: &str) -> bool {
        let read = |text: &str| parse(text).expect("the test's own JSON");
        let forth = first_difference(&read(a), &read(b));
        let back = first_difference(&read(b), &read(a));
        assert_eq!(forth.is_some(), back.is_some(), "{a} {b}");
        forth.is_some()
    }

    #[test]
    fn what_php_cannot_tell_apart_is_equal() {
        let pairs = [
            ("10", "10.0"),
            ("-0.0", "0"),
            ("1e20", "100000000000000000000"),
            ("1.0e+20", "1E20"),
            ("{}", "[]"),
            (r#"{"0":"a","1":{}}"#, r#"["a",[]]"#),
            (r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#),
            (r#""\u00e9\/""#, "\"é/\""),
        ];
        for (a, b) in pairs {
            assert!(!differ(a, b), "{a} {b}");
        }
    }

    #[test]
    fn what_php_can_tell_apart_differs() {
        let pairs = [
            ("9007199254740993", "9007199254740992"),
            ("9007199254740993", "9007199254740992.0"),
            ("10", "10.5"),
            ("10", "\"10\""),
            ("null", "[]"),
            (r#"{"a":null}"#, "{}"),
            (r#"{"1":"a"}"#, r#"["a"]"#),
            (r#"{"1":"b","0":"a"}"#, r#"["a","b"]"#),
            ("[1,2]", "[2,1]"),
            ("[1]", "[1,2]"),
            (r#""e\u0301""#, "\"é\""),
        ];
        for (a, b) in pairs {
            assert!(differ(a, b), "{a} {b}");
        }
    }
}
