//! Edits of a document's text that leave every other byte as it was.

use std::ops::Range;

use super::{CanonicalError, Document};

/// Puts `text` in the place of what stands at `span`.
pub(super) struct Edit {
    pub span: Range<usize>,
    pub text: Vec<u8>,
}

/// The text with its top-level `_modified` set to `modified`: in its place, else at the end.
pub fn splice_modified(bytes: &[u8], modified: i64) -> Result<Vec<u8>, CanonicalError> {
    Ok(Document::parse(bytes)?.with_modified(modified))
}

/// The text with its top-level `_id` set to `id`: in its place, else at the end. For documents whose identity is something else.
pub fn replace_identity_id(bytes: &[u8], id: &str) -> Result<Vec<u8>, CanonicalError> {
    Ok(Document::parse(bytes)?.with_id(id))
}

impl Document<'_> {
    /// [`splice_modified`] for a document that has been read already.
    pub fn with_modified(&self, modified: i64) -> Vec<u8> {
        self.with_field("_modified", modified.to_string().as_bytes())
    }

    /// [`replace_identity_id`] for a document that has been read already.
    pub fn with_id(&self, id: &str) -> Vec<u8> {
        self.with_field("_id", php_json_string(id).as_bytes())
    }

    /// Sets one top-level field to a value given as JSON. Where the key occurs more than once, each occurrence is set:
    /// PHP reads the last one, SQLite's `json_extract` the first.
    pub(super) fn with_field(&self, key: &str, json: &[u8]) -> Vec<u8> {
        let occurrences = self.fields().iter().chain(&self.overwritten).filter(|field| field.key == key);
        let mut edits: Vec<Edit> = occurrences.map(|field| Edit { span: field.span(), text: json.to_vec() }).collect();
        edits.sort_by_key(|edit| edit.span.start);
        if edits.is_empty() {
            edits.push(self.insertion(key, json));
        }
        apply(self.bytes, 0, &edits)
    }

    fn insertion(&self, key: &str, json: &[u8]) -> Edit {
        let end = self.root.span().end - 1;
        let comma = if self.fields().is_empty() { "" } else { "," };
        let mut text = format!("{comma}{}:", php_json_string(key)).into_bytes();
        text.extend_from_slice(json);
        Edit { span: end..end, text }
    }
}

/// Applies edits, sorted and without overlap. Their spans count from `offset` before the start of `bytes`.
pub(super) fn apply(bytes: &[u8], offset: usize, edits: &[Edit]) -> Vec<u8> {
    let added: usize = edits.iter().map(|edit| edit.text.len()).sum();
    let mut result = Vec::with_capacity(bytes.len() + added);
    let mut copied = 0;
    for edit in edits {
        result.extend_from_slice(&bytes[copied..edit.span.start - offset]);
        result.extend_from_slice(&edit.text);
        copied = edit.span.end - offset;
    }
    result.extend_from_slice(&bytes[copied..]);
    result
}

/// As Cockpit stores strings: `json_encode` with JSON_UNESCAPED_UNICODE.
pub fn php_json_string(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '/' => json.push_str("\\/"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}' => json.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => json.push(character),
        }
    }
    json.push('"');
    json
}
