//! What differs between two versions of a document, field by field, for people.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::canonical::{BOOKKEEPING_FIELDS, Document, Field, Identity, Value};
use serde::Serialize;
use similar::TextDiff;

/// Texts with so many characters, or with several lines, are shown as what changed in them.
const LONG_TEXT: usize = 80;
/// Two long texts that have nothing in common are not compared for ever.
const TEXT_PATIENCE: Duration = Duration::from_millis(200);

/// Code of a locale -> its name.
pub(crate) type LocaleNames = BTreeMap<String, String>;

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldChange {
    /// `title`, `seo.description`, `sections.2.headline`.
    pub field: String,
    /// The locale's name, of a value in another locale than the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// What the target holds; left out where it has no such field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<serde_json::Value>,
    /// What it would get; left out where the field goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<serde_json::Value>,
    /// Of long texts: the lines that differ, as a unified diff.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// The fields that count and differ, in the order of the new version; then those that it lacks.
pub(crate) fn field_changes(
    old: &Document<'_>,
    new: &Document<'_>,
    identity: Identity,
    locales: &LocaleNames,
) -> Vec<FieldChange> {
    let counts = |key: &str| !BOOKKEEPING_FIELDS.contains(&key) && (key != "_id" || identity == Identity::Id);
    let mut changes = Vec::new();
    let gone = old.fields().iter().filter(|field| new.get(&field.key).is_none());
    for Field { key, .. } in new.fields().iter().chain(gone).filter(|field| counts(&field.key)) {
        let (name, locale) = in_locale(key, locales, |base| new.get(base).or(old.get(base)).is_some());
        let before = changes.len();
        compare(name.to_owned(), old.get(key), new.get(key), &mut changes);
        for change in &mut changes[before..] {
            change.locale = locale.map(str::to_owned);
        }
    }
    changes
}

/// `title_de` is the German `title`, where there are both that locale and that field.
fn in_locale<'k, 'n>(
    key: &'k str,
    locales: &'n LocaleNames,
    is_field: impl Fn(&str) -> bool,
) -> (&'k str, Option<&'n str>) {
    let of_locale = |(code, name): (&'n String, &'n String)| {
        let base = key.strip_suffix(code.as_str())?.strip_suffix('_')?;
        is_field(base).then_some((base, Some(name.as_str())))
    };
    locales.iter().find_map(of_locale).unwrap_or((key, None))
}

fn compare(path: String, old: Option<&Value<'_>>, new: Option<&Value<'_>>, changes: &mut Vec<FieldChange>) {
    match (old, new) {
        (Some(old), Some(new)) if old.is_same(new) => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let gone = old.fields().iter().filter(|field| new.get(&field.key).is_none());
            for Field { key, .. } in new.fields().iter().chain(gone) {
                compare(format!("{path}.{key}"), old.get(key), new.get(key), changes);
            }
        }
        (Some(Value::List(old)), Some(Value::List(new))) => {
            for index in 0..old.len().max(new.len()) {
                compare(format!("{path}.{index}"), old.get(index), new.get(index), changes);
            }
        }
        (old, new) => changes.push(FieldChange {
            text: text_diff(old, new),
            field: path,
            locale: None,
            old: old.map(as_json),
            new: new.map(as_json),
        }),
    }
}

fn text_diff(old: Option<&Value<'_>>, new: Option<&Value<'_>>) -> Option<String> {
    let (old, new) = (old?.as_text()?, new?.as_text()?);
    let is_long = |text: &str| text.len() > LONG_TEXT || text.contains('\n');
    if !is_long(old) && !is_long(new) {
        return None;
    }
    let diff = TextDiff::configure().timeout(TEXT_PATIENCE).diff_lines(old, new);
    Some(diff.unified_diff().context_radius(1).missing_newline_hint(false).to_string())
}

fn as_json(value: &Value<'_>) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(bool) => (*bool).into(),
        Value::Integer(integer) => (*integer).into(),
        Value::Float(float) => (*float).into(),
        Value::Text(text) => text.as_ref().into(),
        Value::List(elements) => elements.iter().map(as_json).collect(),
        Value::Object(object) => {
            object.fields().iter().map(|field| (field.key.to_string(), as_json(&field.value))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn changes(old: &str, new: &str) -> Vec<FieldChange> {
        let (old, new) = (Document::parse(old.as_bytes()).unwrap(), Document::parse(new.as_bytes()).unwrap());
        let locales = LocaleNames::from([("de".to_owned(), "Deutsch".to_owned())]);
        field_changes(&old, &new, Identity::Id, &locales)
    }

    fn change(field: &str, old: Option<serde_json::Value>, new: Option<serde_json::Value>) -> FieldChange {
        FieldChange { field: field.into(), locale: None, old, new, text: None }
    }

    #[test]
    fn what_differs_is_told_by_its_path_and_what_does_not_count_is_left_out() {
        let old = r#"{"a":1,"seo":{"x":1,"y":"old"},"list":[1,2,3],"gone":null,"_modified":1,"_id":"i"}"#;
        let new = r#"{"a":1.0,"seo":{"x":1,"y":"new"},"list":[1,4],"come":true,"_modified":2,"_id":"i"}"#;
        let expected = [
            change("seo.y", Some("old".into()), Some("new".into())),
            change("list.1", Some(2.into()), Some(4.into())),
            change("list.2", Some(3.into()), None),
            change("come", None, Some(true.into())),
            change("gone", Some(serde_json::Value::Null), None),
        ];
        assert_eq!(changes(old, new), expected);
    }

    #[test]
    fn values_of_a_locale_are_named_by_it_and_long_texts_show_the_lines_that_changed() {
        let old = r#"{"title":"T","title_de":"Alt","made_de":"x","body":"one\ntwo\nthree\nfour\nfive"}"#;
        let new = r#"{"title":"T","title_de":"Neu","made_de":"y","body":"one\ntwo\n3\nfour\nfive"}"#;
        let changes = changes(old, new);
        let named: Vec<(&str, Option<&str>)> =
            changes.iter().map(|change| (change.field.as_str(), change.locale.as_deref())).collect();
        // There is no field "made", so "made_de" is a name like any other.
        assert_eq!(named, [("title", Some("Deutsch")), ("made_de", None), ("body", None)]);
        let text = changes[2].text.as_deref().unwrap();
        assert!(text.contains("-three\n+3\n") && !text.contains("five"), "{text}");
    }
}
