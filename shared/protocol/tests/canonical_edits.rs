//! Reading, editing and summing documents.
#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::borrow::Cow;
use std::collections::BTreeMap;

use cockpit_sync_protocol::canonical::{
    CanonicalError, CollectionSummary, DocHash, Document, Identity, hash, refresh_assets, replace_identity_id,
    splice_modified,
};
use proptest::prelude::*;
use serde_json::value::RawValue;

#[path = "canonical/documents.rs"]
mod documents;

fn modified(text: &str, to: i64) -> String {
    String::from_utf8(splice_modified(text.as_bytes(), to).unwrap()).unwrap()
}

fn with_id(text: &str, id: &str) -> String {
    String::from_utf8(replace_identity_id(text.as_bytes(), id).unwrap()).unwrap()
}

#[test]
fn modified_is_replaced_in_its_place() {
    assert_eq!(modified(r#"{"a":1.0,"_modified": 5 ,"_id":"x"}"#, 77), r#"{"a":1.0,"_modified": 77 ,"_id":"x"}"#);
    assert_eq!(modified(r#"{"_modified":null}"#, -1), r#"{"_modified":-1}"#);
    assert_eq!(modified(r#"{"_modified":{"x":[1]},"b":2}"#, 3), r#"{"_modified":3,"b":2}"#);
    assert_eq!(modified(r#"{"_mod\u0069fied":1}"#, 3), r#"{"_mod\u0069fied":3}"#);
}

#[test]
fn a_missing_modified_is_added_at_the_end() {
    assert_eq!(modified(r#"{"a":1}"#, 7), r#"{"a":1,"_modified":7}"#);
    assert_eq!(modified("{}", 7), r#"{"_modified":7}"#);
    assert_eq!(modified("\n{ } ", 7), "\n{ \"_modified\":7} ");
}

#[test]
fn only_the_modified_of_the_document_itself_is_set() {
    let text = r#"{"a":{"_modified":1},"b":[{"_modified":2}],"c":"\"_modified\":3}"}"#;
    assert_eq!(modified(text, 9), format!("{},\"_modified\":9}}", text.strip_suffix('}').unwrap()));
}

#[test]
fn every_occurrence_is_set_since_readers_differ_on_which_one_counts() {
    assert_eq!(modified(r#"{"_modified":1,"a":2,"_modified":3}"#, 9), r#"{"_modified":9,"a":2,"_modified":9}"#);
    assert_eq!(with_id(r#"{"_id":"a","_id":1,"_id":[]}"#, "b"), r#"{"_id":"b","_id":"b","_id":"b"}"#);
}

#[test]
fn an_id_is_written_as_php_would() {
    assert_eq!(with_id(r#"{"_id":"a","b":1}"#, "6b02"), r#"{"_id":"6b02","b":1}"#);
    let id = "a/\"\\\u{1}\n\u{2028}é😀";
    let written = with_id(r#"{"b":{"_id":"a"}}"#, id);
    assert_eq!(written, r#"{"b":{"_id":"a"},"_id":"a\/\"\\\u0001\n\u2028é😀"}"#);
    assert_eq!(Document::parse(written.as_bytes()).unwrap().id(), Some(id));
}

#[test]
fn errors_say_where() {
    let position = |text: &[u8]| match Document::parse(text).unwrap_err() {
        CanonicalError::Invalid { position, .. } | CanonicalError::TooDeep { position } => position,
        other => panic!("{other}"),
    };
    assert_eq!(position(b"{\"a\":01}"), 5);
    assert_eq!(position(b"{\"a\":\"\xff\"}"), 6);
    assert_eq!(position(b"{\"a\":\"x\\q\"}"), 7);
    assert_eq!(position(b"{\"a\":1e400}"), 5);
    assert_eq!(position(b"{\"a\":1"), 6);
    assert_eq!(position("[".repeat(600).as_bytes()), 511);
    assert!(matches!(Document::parse(b"[1]"), Err(CanonicalError::NotAnObject)));
    assert!(matches!(Document::parse(b" null "), Err(CanonicalError::NotAnObject)));
}

#[test]
fn deep_nesting_is_an_error_and_not_a_crash() {
    let text = format!("{{\"a\":{}", "[".repeat(5_000_000));
    assert!(matches!(Document::parse(text.as_bytes()), Err(CanonicalError::TooDeep { .. })));
}

const ROW: &str = r#"{"path":"\/new.png","title":"T","mime":"image\/png","type":"image","size":9.0,"_hash":"h2","description":"","altText":"Ä","fp":{"x":0.5,"y":1},"_modified":5,"_id":"a1"}"#;

fn rows(id: &str) -> Option<Cow<'static, [u8]>> {
    (id == "a1").then_some(Cow::Borrowed(ROW.as_bytes()))
}

fn refreshed(text: &str) -> Option<String> {
    refresh_assets(text.as_bytes(), rows).unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn a_stale_copy_becomes_the_row_and_every_other_byte_stays() {
    let stale = r#"{"_id":"a1","path":"\/old.png","mime":"image\/png","type":"image","_hash":"h1"}"#;
    let text = format!(r#"{{ "x":1.0,"deep":[[{{"k":1e2,"img":{stale} }}],{stale}], "s":"a/b" }}"#);
    assert_eq!(refreshed(&text).unwrap(), text.replace(stale, ROW));
}

#[test]
fn a_copy_keeps_its_own_data() {
    let stale = r#"{"img":{"_data":{"caption":"a/b", "n":1.0},"_id":"a1","path":"x","mime":"m","type":"t"}}"#;
    let fresh = refreshed(stale).unwrap();
    let row = ROW.strip_suffix('}').unwrap();
    assert_eq!(fresh, format!(r#"{{"img":{row},"_data":{{"caption":"a/b", "n":1.0}}}}}}"#));
    assert_eq!(refreshed(&fresh), None);
}

#[test]
fn a_stale_copy_within_the_data_of_a_stale_copy_is_refreshed_too() {
    let inner = r#"{"_id":"a1","path":"x","mime":"m","type":"t"}"#;
    let fresh = refreshed(&format!(
        r#"{{"a":0,"img":{{"_id":"a1","path":"y","mime":"m","type":"t","_data":{{"i": {inner}}}}}}}"#
    ));
    let row = ROW.strip_suffix('}').unwrap();
    assert_eq!(fresh.unwrap(), format!(r#"{{"a":0,"img":{row},"_data":{{"i": {ROW}}}}}}}"#));
}

#[test]
fn what_does_not_count_makes_no_copy_stale() {
    let copy = r#"{"_id":"a1","altText":"\u00c4","fp":{"y":1.0,"x":0.5},"path":"/new.png","title":"T","mime":"?","type":"?","_hash":"h2","description":"","size":1}"#;
    assert_eq!(refreshed(&format!(r#"{{"img":{copy}}}"#)), None);
    assert!(refreshed(&format!(r#"{{"img":{}}}"#, copy.replace(r#""description":"","#, ""))).is_some());
    assert!(
        refreshed(&format!(r#"{{"img":{}}}"#, copy.replace(r#""description":"""#, r#""description":null"#))).is_some()
    );
}

#[test]
fn a_copy_without_a_row_and_an_asset_itself_stay() {
    assert_eq!(refreshed(r#"{"img":{"_id":"gone","path":"x","mime":"m","type":"t"}}"#), None);
    assert_eq!(refreshed(r#"{"_id":"a1","path":"x","mime":"m","type":"t"}"#), None);
}

#[test]
fn copies_and_links_are_found_wherever_they_are() {
    let text = format!(
        r#"{{"_id":"d","_model":"top","a":{{"_model":"m","_id":"1"}},"b":[{{"c":{ROW}}},{{"_id":"2","_model":"n","x":1}},{{"_id":3,"_model":"n"}}],"n":{{"_id":"x","path":"","mime":null,"type":""}}}}"#
    );
    let document = Document::parse(text.as_bytes()).unwrap();
    let copies: Vec<_> = document.embedded_assets().iter().map(|copy| (copy.field, copy.id)).collect();
    assert_eq!(copies, [("b", "a1")]);
    assert_eq!(document.embedded_assets()[0].object.text("path"), Some("/new.png"));
    let links: Vec<_> = document.content_links().iter().map(|link| (link.field, link.model, link.id)).collect();
    assert_eq!(links, [("a", "m", "1"), ("b", "n", "2")]);
    assert_eq!(document.identity(Identity::Model), Some("top"));
}

#[test]
fn hashes_and_summaries_travel() {
    let hash = DocHash([7; 16]);
    let mut summary = CollectionSummary { count: 3, sum: u128::MAX - 1 };
    summary.add("a", hash);
    assert_eq!(rmp_serde::from_slice::<DocHash>(&rmp_serde::to_vec_named(&hash).unwrap()).unwrap(), hash);
    assert_eq!(rmp_serde::to_vec_named(&hash).unwrap().len(), 18);
    let bytes = rmp_serde::to_vec_named(&summary).unwrap();
    assert_eq!(rmp_serde::from_slice::<CollectionSummary>(&bytes).unwrap(), summary);
    let json = serde_json::to_string(&(hash, summary)).unwrap();
    assert!(json.starts_with("[\"07070707070707070707070707070707\",{\"count\":4,\"sum\":\""));
    assert_eq!(serde_json::from_str::<(DocHash, CollectionSummary)>(&json).unwrap(), (hash, summary));
    assert!(serde_json::from_str::<DocHash>("\"07\"").is_err());
    assert!(rmp_serde::from_slice::<DocHash>(&[0xc4, 2, 1, 1]).is_err());
}

#[test]
fn a_summary_tells_apart_what_has_which_hash() {
    let summary = |documents: &[(&str, u8)]| {
        let mut summary = CollectionSummary::default();
        documents.iter().for_each(|(id, hash)| summary.add(id, DocHash([*hash; 16])));
        summary
    };
    assert_eq!(summary(&[("a", 1), ("b", 2)]), summary(&[("b", 2), ("a", 1)]));
    assert_ne!(summary(&[("a", 1), ("b", 2)]), summary(&[("a", 2), ("b", 1)]));
    assert_ne!(summary(&[("a", 1), ("a", 1)]), summary(&[]));
    let mut rest = summary(&[("a", 1), ("b", 2)]);
    rest.remove("a", DocHash([1; 16]));
    assert_eq!(rest, summary(&[("b", 2)]));
    rest.merge(&summary(&[("a", 1)]));
    assert_eq!(rest, summary(&[("a", 1), ("b", 2)]));
}

/// What `canon:1` keeps of a value, by other means than the encoding: equal exactly when the hashes have to be.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kept {
    Null,
    Bool(bool),
    Integer(i64),
    Float(u64),
    Text(String),
    List(Vec<Kept>),
    Fields(&'static str, BTreeMap<String, Kept>),
}

fn kept(value: &serde_json::Value, is_top: bool) -> Kept {
    match value {
        serde_json::Value::Null => Kept::Null,
        serde_json::Value::Bool(value) => Kept::Bool(*value),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64().unwrap()) {
            (Some(integer), _) => Kept::Integer(integer),
            #[expect(clippy::cast_possible_truncation, reason = "whole and small")]
            (None, float) if float.trunc() == float && float.abs() < 9e15 => Kept::Integer(float as i64),
            (None, float) => Kept::Float(float.to_bits()),
        },
        serde_json::Value::String(text) => Kept::Text(text.clone()),
        serde_json::Value::Array(elements) => Kept::List(elements.iter().map(|element| kept(element, false)).collect()),
        serde_json::Value::Object(fields) => {
            if !is_top && fields.keys().enumerate().all(|(index, key)| *key == index.to_string()) {
                return Kept::List(fields.values().map(|element| kept(element, false)).collect());
            }
            let is_set = |key| fields.get(key).is_some_and(|value: &serde_json::Value| !value.is_null());
            let is_copy = !is_top
                && fields.get("_id").is_some_and(serde_json::Value::is_string)
                && is_set("path")
                && is_set("mime")
                && is_set("type");
            let left_out: &[&str] = match (is_top, is_copy) {
                (true, _) => &["_modified", "_mby", "_created", "_cby"],
                (_, true) => &["mime", "type", "_modified", "_cby", "0", "1", "2", "00", "", "size"],
                (_, false) => &[],
            };
            let counted = fields.iter().filter(|(key, _)| !left_out.contains(&key.as_str()));
            let counted = counted.map(|(key, value)| (key.clone(), kept(value, false))).collect();
            Kept::Fields(if is_copy { "copy" } else { "object" }, counted)
        }
    }
}

fn tiny_document() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec!["null", "0", "0.0", "1", "1.5", "\"\"", "\"0\"", "\"a\"", "true", "[]", "{}"]);
    let leaf = leaf.prop_map(str::to_owned);
    let key = prop::sample::select(vec!["_id", "path", "mime", "type", "_hash", "size", "0", "1", "", "_modified"]);
    let value = leaf.prop_recursive(3, 12, 5, move |inner| {
        let fields = prop::collection::vec((key.clone(), inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..3).prop_map(|elements| format!("[{}]", elements.join(","))),
            fields.prop_map(|fields| {
                let fields: Vec<_> = fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    });
    (value.clone(), value).prop_map(|(a, modified)| format!("{{\"a\":{a},\"_modified\":{modified}}}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn hashes_are_equal_exactly_when_what_counts_is_equal(one in tiny_document(), other in tiny_document()) {
        let kept_of = |text: &str| kept(&serde_json::from_str(text).unwrap(), true);
        let hash_of = |text: &str| hash(&Document::parse(text.as_bytes()).unwrap(), Identity::Id);
        prop_assert_eq!(kept_of(&one) == kept_of(&other), hash_of(&one) == hash_of(&other));
    }

    #[test]
    fn setting_modified_leaves_every_other_field_byte_for_byte(
        node in documents::document_with_word_keys(),
        mut style in documents::any_style(),
        to in any::<i64>(),
    ) {
        let before = documents::write(&node, &mut style);
        let after = modified(&before, to);
        let mut expected: BTreeMap<String, &RawValue> = serde_json::from_str(&before).unwrap();
        let number = RawValue::from_string(to.to_string()).unwrap();
        expected.insert("_modified".into(), &number);
        let found: BTreeMap<String, &RawValue> = serde_json::from_str(&after).unwrap();
        let texts = |fields: BTreeMap<String, &RawValue>| -> Vec<(String, String)> {
            fields.into_iter().map(|(key, value)| (key, value.get().to_owned())).collect()
        };
        prop_assert_eq!(texts(found), texts(expected));
        prop_assert_eq!(modified(&after, to), after.clone());
        let hash_of = |text: &str| hash(&Document::parse(text.as_bytes()).unwrap(), Identity::Id);
        prop_assert_eq!(hash_of(&before), hash_of(&after));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_as_by_another_reader(
        node in documents::any_document(),
        mut style in documents::any_style(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut text = documents::write(&node, &mut style).into_bytes();
        for (place, byte) in damage {
            let place = place.index(text.len());
            text[place] = byte;
        }
        let other = serde_json::from_slice::<serde_json::Value>(&text).is_ok_and(|value| value.is_object());
        prop_assert_eq!(Document::parse(&text).is_ok(), other, "{}", String::from_utf8_lossy(&text));
    }
}
