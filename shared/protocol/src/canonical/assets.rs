//! What a document mentions: copies of assets, which Cockpit embeds whole, and links to other documents.

use std::borrow::Cow;

use super::digest::same;
use super::splice::{Edit, apply};
use super::{CanonicalError, Document, Object, Value};

/// What counts of an asset's copy within a document. The rest (size, colours, who and when) follows from the file or is bookkeeping.
/// Sorted by bytes.
pub const COUNTED_ASSET_FIELDS: [&str; 8] = ["_data", "_hash", "_id", "altText", "description", "fp", "path", "title"];
/// What the use of an asset in one document adds to its copy: never part of the asset's own row.
const PER_USE_FIELD: &str = "_data";

/// A copy of an asset within a document.
#[derive(Debug, Clone, Copy)]
pub struct AssetCopy<'d, 'a> {
    /// The top-level field it is in.
    pub field: &'d str,
    pub id: &'d str,
    pub object: &'d Object<'a>,
}

/// A reference from a document to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentLink<'d> {
    /// The top-level field it is in.
    pub field: &'d str,
    pub model: &'d str,
    pub id: &'d str,
}

impl<'a> Document<'a> {
    /// Every copy of an asset, in the order of the text, copies within copies too.
    pub fn embedded_assets(&self) -> Vec<AssetCopy<'_, 'a>> {
        let mut copies = Vec::new();
        self.each_object(&mut |field, object| {
            if let Some(id) = asset_copy_id(object) {
                copies.push(AssetCopy { field, id, object });
            }
        });
        copies
    }

    /// Every link to another document, in the order of the text. Cockpit's own test: an object with `_model` and `_id`.
    pub fn content_links(&self) -> Vec<ContentLink<'_>> {
        let mut links = Vec::new();
        self.each_object(&mut |field, object| {
            if let (Some(model), Some(id)) = (object.text("_model"), object.text("_id")) {
                links.push(ContentLink { field, model, id });
            }
        });
        links
    }

    /// The document with every stale copy of an asset replaced by the asset's row, and all other bytes as they were.
    ///
    /// `row` gives the stored text of an asset. A copy is stale when it differs from the row in a field of
    /// [`COUNTED_ASSET_FIELDS`]; its own `_data` is kept. A copy whose asset has no row stays as it is: whether the document
    /// may go on like that is not decided here. None when nothing is stale.
    pub fn refresh_assets<'r>(
        &self,
        row: impl Fn(&str) -> Option<Cow<'r, [u8]>>,
    ) -> Result<Option<Vec<u8>>, CanonicalError> {
        let mut edits = Vec::new();
        for field in self.fields() {
            self.collect_stale(&field.value, &row, &mut edits)?;
        }
        if edits.is_empty() {
            return Ok(None);
        }
        Ok(Some(apply(self.bytes, 0, &edits)))
    }

    fn each_object<'d>(&'d self, visit: &mut impl FnMut(&'d str, &'d Object<'a>)) {
        for field in self.fields() {
            each_object_within(&field.key, &field.value, visit);
        }
    }

    fn collect_stale<'r>(
        &self,
        value: &Value<'_>,
        row: &impl Fn(&str) -> Option<Cow<'r, [u8]>>,
        edits: &mut Vec<Edit>,
    ) -> Result<(), CanonicalError> {
        let object = match value {
            Value::Object(object) => object,
            Value::List(elements) => {
                return elements.iter().try_for_each(|element| self.collect_stale(element, row, edits));
            }
            _ => return Ok(()),
        };
        if let Some(row_bytes) = asset_copy_id(object).and_then(row) {
            let asset = Document::parse(&row_bytes)?;
            if is_stale(object, &asset) {
                edits.push(Edit { span: object.span(), text: self.fresh_copy(object, &asset, row)? });
                return Ok(());
            }
        }
        object.fields().iter().try_for_each(|field| self.collect_stale(&field.value, row, edits))
    }

    /// The asset's row, with what this use of it adds.
    fn fresh_copy<'r>(
        &self,
        stale: &Object<'_>,
        asset: &Document<'_>,
        row: &impl Fn(&str) -> Option<Cow<'r, [u8]>>,
    ) -> Result<Vec<u8>, CanonicalError> {
        let Some(per_use) = stale.field(PER_USE_FIELD) else {
            return Ok(asset.bytes[asset.root.span()].to_vec());
        };
        let mut edits = Vec::new();
        self.collect_stale(&per_use.value, row, &mut edits)?;
        let span = per_use.span();
        let per_use_text = apply(&self.bytes[span.clone()], span.start, &edits);
        Ok(asset.with_field(PER_USE_FIELD, &per_use_text))
    }
}

/// [`Document::refresh_assets`] for a document that has not been read yet.
pub fn refresh_assets<'r>(
    bytes: &[u8],
    row: impl Fn(&str) -> Option<Cow<'r, [u8]>>,
) -> Result<Option<Vec<u8>>, CanonicalError> {
    Document::parse(bytes)?.refresh_assets(row)
}

pub(super) fn is_asset_copy(object: &Object<'_>) -> bool {
    asset_copy_id(object).is_some()
}

/// Cockpit's own test for a copy of an asset, with the one difference that an `_id` must be a string.
fn asset_copy_id<'d>(object: &'d Object<'_>) -> Option<&'d str> {
    let id = object.text("_id")?;
    let is_set = |key| object.get(key).is_some_and(|value| !value.is_null());
    (is_set("path") && is_set("mime") && is_set("type")).then_some(id)
}

fn is_stale(copy: &Object<'_>, asset: &Document<'_>) -> bool {
    COUNTED_ASSET_FIELDS.iter().filter(|key| **key != PER_USE_FIELD).any(|key| !same(copy.get(key), asset.get(key)))
}

fn each_object_within<'d, 'a>(field: &'d str, value: &'d Value<'a>, visit: &mut impl FnMut(&'d str, &'d Object<'a>)) {
    match value {
        Value::Object(object) => {
            visit(field, object);
            for inner in object.fields() {
                each_object_within(field, &inner.value, visit);
            }
        }
        Value::List(elements) => {
            for element in elements {
                each_object_within(field, element, visit);
            }
        }
        _ => {}
    }
}
