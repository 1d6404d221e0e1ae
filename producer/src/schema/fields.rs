//! Two definitions of one model, field by field.

use serde_json::Value;

/// What changes, and which items that is about.
#[derive(Debug, PartialEq)]
pub(super) struct FieldChange {
    pub field: Option<String>,
    pub change: &'static str,
    pub breaking: bool,
    pub message: String,
    pub touches: Touches,
}

/// Which items of the target a change is about.
#[derive(Debug, PartialEq)]
pub(super) enum Touches {
    Everything,
    /// Those that hold something in one of these fields.
    WithValue(Vec<String>),
    /// Those that hold nothing in it.
    WithoutValue(String),
}

/// What `new` changes in `old`. `locales` are the codes of the target's.
pub(super) fn compare(old: &Value, new: &Value, locales: &[String]) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    let (before, after) = (text(old, "type", "collection"), text(new, "type", "collection"));
    if before != after {
        changes.push(FieldChange {
            field: None,
            change: "kind_changed",
            breaking: true,
            message: format!("is a {before} and becomes a {after}"),
            touches: Touches::Everything,
        });
    }
    compare_fields("", &old["fields"], &new["fields"], locales, &mut changes);
    changes
}

fn compare_fields(within: &str, old: &Value, new: &Value, locales: &[String], changes: &mut Vec<FieldChange>) {
    for field in fields(new) {
        let path = format!("{within}{}", name(field));
        match fields(old).find(|before| name(before) == name(field)) {
            Some(before) => compare_field(&path, before, field, locales, changes),
            None if flag(field, "required") => changes.push(FieldChange {
                touches: Touches::WithoutValue(path.clone()),
                ..change(&path, "field_added", true, "a required field is added".into())
            }),
            None => changes.push(change(&path, "field_added", false, "a field is added".into())),
        }
    }
    for before in fields(old).filter(|before| !fields(new).any(|field| name(field) == name(before))) {
        let path = format!("{within}{}", name(before));
        changes.push(FieldChange {
            touches: Touches::WithValue(in_all_locales(&path, before, locales)),
            ..change(&path, "field_removed", true, "the field is removed".into())
        });
    }
}

fn compare_field(path: &str, old: &Value, new: &Value, locales: &[String], changes: &mut Vec<FieldChange>) {
    let with_value = || Touches::WithValue(in_all_locales(path, old, locales));
    let (before, after) = (text(old, "type", "text"), text(new, "type", "text"));
    if before != after {
        let message = format!("its type changes from {before} to {after}");
        changes.push(FieldChange { touches: with_value(), ..change(path, "type_changed", true, message) });
    }
    match (flag(old, "multiple"), flag(new, "multiple")) {
        (false, true) | (true, false) => {
            let becomes = if flag(new, "multiple") { "one value becomes a list" } else { "a list becomes one value" };
            changes
                .push(FieldChange { touches: with_value(), ..change(path, "multiple_changed", true, becomes.into()) });
        }
        _ => {}
    }
    match (flag(old, "required"), flag(new, "required")) {
        (false, true) => changes.push(FieldChange {
            touches: Touches::WithoutValue(path.into()),
            ..change(path, "required", true, "it becomes required; counted are items without a value".into())
        }),
        (true, false) => changes.push(change(path, "optional", false, "it is not required any more".into())),
        _ => {}
    }
    match (flag(old, "i18n"), flag(new, "i18n")) {
        (false, true) => changes.push(change(path, "localised", false, "it gets a value per locale".into())),
        (true, false) => changes.push(FieldChange {
            touches: Touches::WithValue(locales.iter().map(|code| format!("{path}_{code}")).collect()),
            ..change(path, "not_localised", true, "its values in other locales are not used any more".into())
        }),
        _ => {}
    }
    let within = (&old["opts"]["fields"], &new["opts"]["fields"]);
    if before == after && (within.0.is_array() || within.1.is_array()) {
        compare_fields(&format!("{path}."), within.0, within.1, locales, changes);
    }
}

fn change(path: &str, change: &'static str, breaking: bool, message: String) -> FieldChange {
    let touches = Touches::WithValue(vec![path.to_owned()]);
    FieldChange { field: Some(path.to_owned()), change, breaking, message, touches }
}

fn in_all_locales(path: &str, field: &Value, locales: &[String]) -> Vec<String> {
    let mut paths = vec![path.to_owned()];
    if flag(field, "i18n") {
        paths.extend(locales.iter().map(|code| format!("{path}_{code}")));
    }
    paths
}

/// PHP writes a list as an array, or as an object with numbers for keys.
fn fields(fields: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match fields {
        Value::Array(fields) => Box::new(fields.iter()),
        Value::Object(fields) => Box::new(fields.values()),
        _ => Box::new(std::iter::empty()),
    }
}

fn name(field: &Value) -> &str {
    text(field, "name", "")
}

fn text<'v>(value: &'v Value, key: &str, usual: &'v str) -> &'v str {
    value[key].as_str().unwrap_or(usual)
}

fn flag(field: &Value, key: &str) -> bool {
    match &field[key] {
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_change_is_named_and_what_breaks_values_is_told_from_what_does_not() {
        let old = json!({"type": "collection", "fields": [
            {"name": "title", "type": "text", "i18n": true, "required": false},
            {"name": "gone", "type": "text", "i18n": true},
            {"name": "rating", "type": "number", "required": true},
            {"name": "tags", "type": "tags", "multiple": false},
            {"name": "seo", "type": "set", "opts": {"fields": [{"name": "title", "type": "text"}]}},
        ]});
        let new = json!({"type": "tree", "fields": [
            {"name": "title", "type": "text", "i18n": false, "required": true},
            {"name": "rating", "type": "text"},
            {"name": "tags", "type": "tags", "multiple": true, "i18n": true},
            {"name": "seo", "type": "set", "opts": {"fields": [{"name": "title", "type": "code"}, {"name": "more"}]}},
            {"name": "must", "type": "text", "required": true},
        ]});
        let changes = compare(&old, &new, &["de".to_owned()]);
        let told: Vec<(&str, &str, bool)> = changes
            .iter()
            .map(|change| (change.field.as_deref().unwrap_or_default(), change.change, change.breaking))
            .collect();
        let expected = [
            ("", "kind_changed", true),
            ("title", "required", true),
            ("title", "not_localised", true),
            ("rating", "type_changed", true),
            ("rating", "optional", false),
            ("tags", "multiple_changed", true),
            ("tags", "localised", false),
            ("seo.title", "type_changed", true),
            ("seo.more", "field_added", false),
            ("must", "field_added", true),
            ("gone", "field_removed", true),
        ];
        assert_eq!(told, expected);
        assert_eq!(changes[10].touches, Touches::WithValue(vec!["gone".into(), "gone_de".into()]));
        assert_eq!(changes[2].touches, Touches::WithValue(vec!["title_de".into()]));
        assert!(compare(&old, &old, &[]).is_empty());
    }
}
