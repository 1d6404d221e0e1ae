//! Asking a condition of a document.

use std::cmp::Ordering;

use regex::Regex;

use crate::canonical::{Document, Object, Value};

#[derive(Debug, Clone)]
pub(super) enum Condition {
    /// Every one of them; always, when there is none.
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    At(Path, Test),
}

/// Names of fields, from the outside in.
pub(super) type Path = Vec<String>;

/// What is asked of the values at a path.
#[derive(Debug, Clone)]
pub(super) enum Test {
    Exists,
    /// One of these.
    In(Vec<Value<'static>>),
    /// In one of these relations to the value.
    Is(&'static [Ordering], Value<'static>),
    Matches(Regex),
}

impl Condition {
    pub fn holds(&self, document: &Document<'_>) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(document)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(document)),
            Self::Not(condition) => !condition.holds(document),
            Self::At(path, test) => {
                let Some((first, rest)) = path.split_first() else { return false };
                follow(document.get(first), rest, &mut |value| test.holds(value))
            }
        }
    }
}

impl Test {
    /// None: there is no value.
    fn holds(&self, value: Option<&Value<'_>>) -> bool {
        let Some(value) = value else {
            return matches!(self, Self::In(wanted) if wanted.iter().any(Value::is_null));
        };
        self.holds_for(value)
            || matches!(value, Value::List(elements) if elements.iter().any(|element| self.holds_for(element)))
    }

    fn holds_for(&self, value: &Value<'_>) -> bool {
        match self {
            Self::Exists => true,
            Self::In(wanted) => wanted.iter().any(|wanted| are_equal(value, wanted)),
            Self::Is(relations, wanted) => relation(value, wanted).is_some_and(|found| relations.contains(&found)),
            Self::Matches(regex) => value.as_text().is_some_and(|text| regex.is_match(text)),
        }
    }
}

/// Whether `test` holds for one of the values at the end of the path. It is asked about nothing (none) where an object
/// lacks the field, and where the path leads nowhere.
fn follow(value: Option<&Value<'_>>, path: &[String], test: &mut dyn FnMut(Option<&Value<'_>>) -> bool) -> bool {
    let Some((first, rest)) = path.split_first() else { return test(value) };
    match value {
        Some(Value::Object(object)) => follow(object.get(first), rest, test),
        Some(Value::List(elements)) => {
            let mut objects = elements.iter().filter_map(Value::as_object).peekable();
            let at_index = first.parse::<usize>().ok().and_then(|index| elements.get(index));
            if at_index.is_none() && objects.peek().is_none() {
                return test(None);
            }
            // An element has a place in its array and fields of its own: the name may mean either.
            at_index.is_some_and(|element| follow(Some(element), rest, test))
                || objects.any(|object: &Object<'_>| match (object.get(first), at_index) {
                    (None, Some(_)) => false,
                    (field, _) => follow(field, rest, test),
                })
        }
        _ => test(None),
    }
}

fn are_equal(value: &Value<'_>, wanted: &Value<'_>) -> bool {
    match relation(value, wanted) {
        Some(found) => found == Ordering::Equal,
        None => value.is_same(wanted),
    }
}

/// How values of the same kind compare; none where kinds differ or have no order.
fn relation(value: &Value<'_>, wanted: &Value<'_>) -> Option<Ordering> {
    match (value, wanted) {
        (Value::Integer(one), Value::Integer(other)) => Some(one.cmp(other)),
        (Value::Float(one), Value::Float(other)) => one.partial_cmp(other),
        (Value::Integer(one), Value::Float(other)) => integer_and_float(*one, *other),
        (Value::Float(one), Value::Integer(other)) => integer_and_float(*other, *one).map(Ordering::reverse),
        (Value::Text(one), Value::Text(other)) => Some(one.cmp(other)),
        (Value::Bool(one), Value::Bool(other)) => Some(one.cmp(other)),
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        _ => None,
    }
}

/// Exact: a large integer is not made a float, which would round it.
fn integer_and_float(integer: i64, float: f64) -> Option<Ordering> {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if float >= BEYOND {
        return Some(Ordering::Less);
    }
    if float < -BEYOND {
        return Some(Ordering::Greater);
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 64 bits, as was checked")]
    let whole = float.trunc() as i64;
    Some(integer.cmp(&whole).then_with(|| 0.0_f64.total_cmp(&(float.fract() + 0.0))))
}
