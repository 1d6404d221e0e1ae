//! Adds what a document lacks, at every level, and changes nothing that it has.

use std::sync::Arc;

use jaq_json::Val;

/// Adds to `target` the keys of `source` that it lacks. Lists are values: one that is there stays as it is, except that
/// PHP writes an object that has no keys as an empty list.
pub fn add_missing_keys(target: &mut Val, source: &Val) {
    let Val::Obj(wanted) = source else { return };
    match target {
        Val::Arr(elements) if elements.is_empty() => *target = source.clone(),
        Val::Obj(fields) => {
            let fields = Arc::make_mut(fields);
            for (key, value) in wanted.iter() {
                match fields.get_mut(key) {
                    Some(there) => add_missing_keys(there, value),
                    None => {
                        fields.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use protocol::canonical::Document;

    use super::super::jq::{to_jq, to_php_json};
    use super::*;

    fn merged(target: &str, source: &str) -> String {
        let mut value = to_jq(&Document::parse(target.as_bytes()).unwrap());
        add_missing_keys(&mut value, &to_jq(&Document::parse(source.as_bytes()).unwrap()));
        String::from_utf8(to_php_json(&value).unwrap()).unwrap()
    }

    #[test]
    fn keys_are_added_at_every_level_and_none_is_changed() {
        assert_eq!(
            merged(
                r#"{"keys":{"a":{"en":"A","de":""},"l":[1]},"n":null,"_id":"1"}"#,
                r#"{"keys":{"a":{"en":"other","de":"X","fr":"F"},"b":{"en":"B"},"l":[1,2]},"n":1,"m":2,"_id":"1"}"#
            ),
            r#"{"keys":{"a":{"en":"A","de":"","fr":"F"},"l":[1],"b":{"en":"B"}},"n":null,"_id":"1","m":2}"#
        );
    }

    #[test]
    fn an_empty_list_is_an_object_without_keys() {
        assert_eq!(merged(r#"{"keys":[],"_id":"1"}"#, r#"{"keys":{"a":1}}"#), r#"{"keys":{"a":1},"_id":"1"}"#);
        assert_eq!(merged(r#"{"keys":[],"_id":"1"}"#, r#"{"keys":[1]}"#), r#"{"keys":[],"_id":"1"}"#);
    }
}
