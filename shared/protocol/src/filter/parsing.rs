//! Reading a filter. What this version does not know is an error that names it and its place, never ignored.

use std::cmp::Ordering;

use regex::RegexBuilder;

use super::FilterError;
use super::conditions::{Condition, Path, Test};
use crate::canonical::{Document, Field, Object, Value};

/// A compiled expression may take so many bytes, and a filter may have so many of them: an agent reads it with every page.
const REGEX_BYTES: usize = 256 * 1024;
const REGEXES: usize = 16;

const KNOWN: &str = "$eq $ne $gt $gte $lt $lte $in $nin $exists $regex $and $or $nor $not";

type Read<T> = Result<T, FilterError>;

pub(super) fn read(document: &Document<'_>) -> Read<Condition> {
    Reader { regexes: 0 }.criteria(document.fields(), "")
}

struct Reader {
    regexes: usize,
}

impl Reader {
    /// `{"field": ..., "$or": [...]}`: all of it must hold. `place` is where it stands, empty at the top.
    fn criteria(&mut self, fields: &[Field<'_>], place: &str) -> Read<Condition> {
        let mut conditions = Vec::with_capacity(fields.len());
        for field in fields {
            let key = field.key.as_ref();
            let here = join(place, key);
            conditions.push(match key {
                "$and" => Condition::All(self.list_of_criteria(&field.value, &here)?),
                "$or" => Condition::Any(self.list_of_criteria(&field.value, &here)?),
                "$nor" => Condition::Not(Box::new(Condition::Any(self.list_of_criteria(&field.value, &here)?))),
                operator if operator.starts_with('$') => return Err(unknown(operator, place)),
                path => self.field(&read_path(path, &here)?, &field.value, &here)?,
            });
        }
        Ok(Condition::All(conditions))
    }

    fn list_of_criteria(&mut self, value: &Value<'_>, place: &str) -> Read<Vec<Condition>> {
        let wrong = || FilterError(format!("{place} takes a list of filters: [{{...}}, {{...}}]"));
        let Value::List(elements) = value else { return Err(wrong()) };
        if elements.is_empty() {
            return Err(wrong());
        }
        let criteria = elements.iter().enumerate().map(|(index, element)| match element {
            Value::Object(object) => self.criteria(object.fields(), &format!("{place}[{index}]")),
            _ => Err(wrong()),
        });
        criteria.collect()
    }

    /// What is asked of one field: a value it must equal, or operators.
    fn field(&mut self, path: &Path, value: &Value<'_>, place: &str) -> Read<Condition> {
        match value {
            Value::Object(object) if has_operator(object) => self.operators(path, object, place),
            literal => Ok(Condition::At(path.clone(), Test::In(vec![plain(literal, place)?]))),
        }
    }

    fn operators(&mut self, path: &Path, object: &Object<'_>, place: &str) -> Read<Condition> {
        let mut conditions = Vec::new();
        for field in object.fields() {
            let here = join(place, &field.key);
            let at = |test| Condition::At(path.clone(), test);
            let not = |condition| Condition::Not(Box::new(condition));
            conditions.push(match field.key.as_ref() {
                "$eq" => at(Test::In(vec![plain(&field.value, &here)?])),
                "$ne" => not(at(Test::In(vec![plain(&field.value, &here)?]))),
                "$in" => at(Test::In(list(&field.value, &here)?)),
                "$nin" => not(at(Test::In(list(&field.value, &here)?))),
                "$gt" => at(Test::Is(&[Ordering::Greater], ordered(&field.value, &here)?)),
                "$gte" => at(Test::Is(&[Ordering::Greater, Ordering::Equal], ordered(&field.value, &here)?)),
                "$lt" => at(Test::Is(&[Ordering::Less], ordered(&field.value, &here)?)),
                "$lte" => at(Test::Is(&[Ordering::Less, Ordering::Equal], ordered(&field.value, &here)?)),
                "$exists" => match yes_or_no(&field.value, &here)? {
                    true => at(Test::Exists),
                    false => not(at(Test::Exists)),
                },
                "$regex" => at(Test::Matches(self.regex(&field.value, object.get("$options"), &here)?)),
                "$options" if object.get("$regex").is_some() => continue,
                "$options" => return Err(FilterError(format!("{here} stands beside $regex only"))),
                "$not" => match &field.value {
                    Value::Object(denied) if has_operator(denied) => not(self.operators(path, denied, &here)?),
                    _ => {
                        let example = "{\"$not\": {\"$in\": [1, 2]}}";
                        return Err(FilterError(format!("{here} takes operators to deny: {example}")));
                    }
                },
                operator if operator.starts_with('$') => return Err(unknown(operator, place)),
                name => {
                    return Err(FilterError(format!("at {place}, {name:?} stands among operators: give either")));
                }
            });
        }
        Ok(Condition::All(conditions))
    }

    fn regex(&mut self, value: &Value<'_>, options: Option<&Value<'_>>, place: &str) -> Read<regex::Regex> {
        let Value::Text(pattern) = value else {
            return Err(FilterError(format!("{place} takes a text, a regular expression")));
        };
        self.regexes += 1;
        if self.regexes > REGEXES {
            return Err(FilterError(format!("{place}: a filter may have {REGEXES} regular expressions, not more")));
        }
        let mut builder = RegexBuilder::new(pattern);
        builder.size_limit(REGEX_BYTES);
        let options = match options {
            None => "",
            Some(options) => options.as_text().ok_or_else(|| wrong_option(place))?,
        };
        for option in options.chars() {
            match option {
                'i' => builder.case_insensitive(true),
                'm' => builder.multi_line(true),
                's' => builder.dot_matches_new_line(true),
                'x' => builder.ignore_whitespace(true),
                _ => return Err(wrong_option(place)),
            };
        }
        // Its message shows the place in the pattern over several lines.
        builder.build().map_err(|error| FilterError(format!("{place}: {pattern:?} cannot be used: {error}")))
    }
}

fn wrong_option(place: &str) -> FilterError {
    FilterError(format!("beside {place}, $options takes a text of the letters i, m, s and x"))
}

fn unknown(operator: &str, place: &str) -> FilterError {
    let at = if place.is_empty() { "at the top".to_owned() } else { format!("at {place}") };
    FilterError(format!("{operator} ({at}) is not an operator that is supported here; there are {KNOWN}"))
}

/// Where something stands, as it is shown: `$or[1].rating.$gt`.
fn join(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") }
}

fn read_path(path: &str, place: &str) -> Read<Path> {
    let names: Path = path.split('.').map(str::to_owned).collect();
    match names.iter().any(String::is_empty) {
        true => Err(FilterError(format!("{place:?} is not a path of fields: a name is empty"))),
        false => Ok(names),
    }
}

fn has_operator(object: &Object<'_>) -> bool {
    object.fields().iter().any(|field| field.key.starts_with('$'))
}

/// A value to compare with. An operator inside of it is a mistake: MongoDB would look for a field of that name.
fn plain(value: &Value<'_>, place: &str) -> Read<Value<'static>> {
    check_plain(value, place)?;
    Ok(value.clone().into_owned())
}

fn check_plain(value: &Value<'_>, place: &str) -> Read<()> {
    match value {
        Value::List(elements) => elements.iter().try_for_each(|element| check_plain(element, place)),
        Value::Object(object) => object.fields().iter().try_for_each(|field| {
            if field.key.starts_with('$') {
                return Err(FilterError(format!(
                    "{} stands inside a value at {place}, where it means nothing: give the path of the field itself, as \
                     in {{\"a.b\": {{\"$gt\": 1}}}}",
                    field.key
                )));
            }
            check_plain(&field.value, &join(place, &field.key))
        }),
        _ => Ok(()),
    }
}

fn list(value: &Value<'_>, place: &str) -> Read<Vec<Value<'static>>> {
    let Value::List(elements) = value else {
        return Err(FilterError(format!("{place} takes a list of values: [1, 2]")));
    };
    elements.iter().map(|element| plain(element, place)).collect()
}

fn ordered(value: &Value<'_>, place: &str) -> Read<Value<'static>> {
    match value {
        Value::Object(_) | Value::List(_) => {
            Err(FilterError(format!("{place} compares with a number, a text, true, false or null")))
        }
        _ => plain(value, place),
    }
}

fn yes_or_no(value: &Value<'_>, place: &str) -> Read<bool> {
    match value {
        Value::Bool(yes) => Ok(*yes),
        Value::Integer(number @ (0 | 1)) => Ok(*number == 1),
        _ => Err(FilterError(format!("{place} takes true or false"))),
    }
}
