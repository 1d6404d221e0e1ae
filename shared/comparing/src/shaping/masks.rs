//! Ready-made changes of single fields. The same value always becomes the same: a second run finds nothing to write.

use std::sync::Arc;

use jaq_json::{Map, Val};
use protocol::shaping::{Mask, MaskWith, matches};
use sha2::{Digest, Sha256};

use super::jq::{as_text, text};

/// Stands for everything below.
const ANY_DEPTH: &str = "**";

/// A mask with its path taken apart.
pub struct Masking {
    path: Vec<String>,
    with: MaskWith,
}

impl Masking {
    /// In words, what is wrong with it.
    pub fn new(mask: &Mask) -> Result<Self, String> {
        let path: Vec<String> = mask.field.split('.').map(str::to_owned).collect();
        let (end, before) = path.split_last().expect("split gives one part at least");
        if path.iter().any(String::is_empty) || before.iter().any(|key| key == ANY_DEPTH) {
            return Err(format!(
                "field = {:?}: keys with dots between them are wanted, `*` for any text within a key, `**` at the end",
                mask.field
            ));
        }
        if end == ANY_DEPTH && matches!(mask.with, MaskWith::Drop | MaskWith::Null) {
            return Err("`**` takes hash, fake-email and replace-host: name what is to be dropped".into());
        }
        if let MaskWith::ReplaceHost { from, .. } = &mask.with
            && from.is_empty()
        {
            return Err("replace-host needs `from` and `to`".into());
        }
        Ok(Self { path, with: mask.with.clone() })
    }

    pub fn apply(&self, document: &mut Val) {
        self.follow(&self.path, document);
    }

    fn follow(&self, path: &[String], value: &mut Val) {
        match (value, path) {
            (Val::Arr(elements), _) => {
                Arc::make_mut(elements).iter_mut().for_each(|element| self.follow(path, element));
            }
            (value, [key]) if key == ANY_DEPTH => self.hide(value),
            (Val::Obj(fields), [key]) if self.with == MaskWith::Drop => {
                Arc::make_mut(fields).retain(|name, _| !is_called(name, key));
            }
            (Val::Obj(fields), [key, rest @ ..]) => {
                let fields: &mut Map = Arc::make_mut(fields);
                for (_, value) in fields.iter_mut().filter(|(name, _)| is_called(name, key)) {
                    if rest.is_empty() { self.hide(value) } else { self.follow(rest, value) }
                }
            }
            _ => {}
        }
    }

    /// Everything below, at whatever depth.
    fn hide(&self, value: &mut Val) {
        if self.with == MaskWith::Null {
            *value = Val::Null;
            return;
        }
        match value {
            Val::Arr(elements) => Arc::make_mut(elements).iter_mut().for_each(|element| self.hide(element)),
            Val::Obj(fields) => {
                let fields: &mut Map = Arc::make_mut(fields);
                // What documents are recognised by, at any level, is a reference.
                let is_content = |name: &Val| !as_text(name).is_some_and(|name| REFERENCES.contains(&name));
                fields.iter_mut().filter(|(name, _)| is_content(name)).for_each(|(_, value)| self.hide(value));
            }
            Val::TStr(_) | Val::Num(_) => {
                if let Some(hidden) = self.hidden(value) {
                    *value = hidden;
                }
            }
            Val::Null | Val::Bool(_) | Val::BStr(_) => {}
        }
    }

    fn hidden(&self, value: &Val) -> Option<Val> {
        let shown = value.to_string();
        let content = as_text(value);
        if content.is_some_and(str::is_empty) {
            return None;
        }
        match &self.with {
            MaskWith::Drop | MaskWith::Null => None,
            MaskWith::Hash => Some(text(&digest(content.unwrap_or(&shown)))),
            MaskWith::FakeEmail => content.map(|address| text(&format!("{}@example.com", digest(address)))),
            MaskWith::ReplaceHost { from, to } => replace_host(content?, from, to).map(|replaced| text(&replaced)),
        }
    }
}

/// Below a masked field, too, these keep what they say: Cockpit finds other documents by them.
const REFERENCES: [&str; 2] = ["_id", "_model"];

fn is_called(name: &Val, pattern: &str) -> bool {
    as_text(name).is_some_and(|name| matches(pattern, name))
}

fn digest(of: &str) -> String {
    hex::encode(&Sha256::digest(of)[..8])
}

/// None when the host is not in it. A host stands behind `//` and ends where a name cannot go on.
fn replace_host(content: &str, from: &str, to: &str) -> Option<String> {
    let mut replaced = String::new();
    let mut copied = 0;
    for (at, _) in content.match_indices(from) {
        let end = at + from.len();
        let goes_on = |rest: &str| {
            let mut next = rest.chars();
            match next.next() {
                Some('.') => next.next().is_some_and(char::is_alphanumeric),
                Some(character) => character.is_alphanumeric() || "-_".contains(character),
                None => false,
            }
        };
        if at >= copied && content[..at].ends_with("//") && !goes_on(&content[end..]) {
            replaced.push_str(&content[copied..at]);
            replaced.push_str(to);
            copied = end;
        }
    }
    if copied == 0 {
        return None;
    }
    replaced.push_str(&content[copied..]);
    Some(replaced)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use protocol::canonical::Document;

    use super::super::jq::{to_jq, to_php_json};
    use super::*;

    fn masked(field: &str, with: MaskWith, document: &str) -> String {
        let mut value = to_jq(&Document::parse(document.as_bytes()).unwrap());
        Masking::new(&Mask { field: field.into(), with }).unwrap().apply(&mut value);
        String::from_utf8(to_php_json(&value).unwrap()).unwrap()
    }

    #[test]
    fn what_is_dropped_is_gone_in_every_element_of_a_list() {
        let document = r#"{"a":[{"x":1,"y":2},{"x":3}],"x":4,"_id":"1"}"#;
        assert_eq!(masked("a.x", MaskWith::Drop, document), r#"{"a":[{"y":2},{}],"x":4,"_id":"1"}"#);
        assert_eq!(masked("x", MaskWith::Null, document), document.replace(r#""x":4"#, r#""x":null"#));
    }

    #[test]
    fn a_star_takes_the_versions_in_other_languages_along() {
        let document = r#"{"title":"a","title_de":"b","text":"c","_id":"1"}"#;
        assert_eq!(masked("title*", MaskWith::Drop, document), r#"{"text":"c","_id":"1"}"#);
    }

    #[test]
    fn hashes_and_addresses_are_the_same_for_the_same_text() {
        let document = r#"{"a":"x@y.org","b":"x@y.org","c":"z@y.org","n":5,"e":"","_id":"1"}"#;
        let hidden = masked("*", MaskWith::FakeEmail, document);
        let hidden: serde_json::Value = serde_json::from_str(&hidden).unwrap();
        assert_eq!(hidden["a"], hidden["b"]);
        assert_ne!(hidden["a"], hidden["c"]);
        assert!(hidden["a"].as_str().unwrap().ends_with("@example.com"), "{hidden}");
        assert_eq!((&hidden["n"], &hidden["e"]), (&5.into(), &"".into()));
        assert_ne!(masked("n", MaskWith::Hash, document), document);
    }

    #[test]
    fn references_below_a_masked_field_stay() {
        let document = r#"{"author":{"_model":"authors","_id":"7","name":"N"},"_id":"1"}"#;
        let hidden = masked("**", MaskWith::Hash, document);
        assert!(hidden.contains(r#""_model":"authors","_id":"7""#) && !hidden.contains("\"N\""), "{hidden}");
        assert!(hidden.ends_with(r#","_id":"1"}"#), "{hidden}");
    }

    #[test]
    fn a_host_is_replaced_in_urls_and_nowhere_else() {
        let with = || MaskWith::ReplaceHost { from: "www.a.org".into(), to: "stage.a.org".into() };
        let document =
            r#"{"t":"see https:\/\/www.a.org\/x, \/\/www.a.org. https:\/\/www.a.org.evil.com www.a.org","_id":"1"}"#;
        assert_eq!(
            masked("**", with(), document),
            r#"{"t":"see https:\/\/stage.a.org\/x, \/\/stage.a.org. https:\/\/www.a.org.evil.com www.a.org","_id":"1"}"#
        );
    }

    #[test]
    fn a_mask_that_makes_no_sense_is_refused() {
        for (field, with) in
            [("", MaskWith::Hash), ("a..b", MaskWith::Hash), ("**.a", MaskWith::Hash), ("**", MaskWith::Drop)]
        {
            assert!(Masking::new(&Mask { field: field.into(), with }).is_err(), "{field}");
        }
    }
}
