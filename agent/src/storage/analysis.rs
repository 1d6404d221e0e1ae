//! What the index keeps of a document, computed from the bytes in its row.

use std::borrow::Cow;
use std::cell::RefCell;

use protocol::api::MAX_DOCUMENT_BYTES;
use protocol::canonical::{self, Document, Identity};
use rusqlite::types::ValueRef;
use xxhash_rust::xxh3::xxh3_64;

use super::asset_rows::AssetView;
use super::fault::Answer;
use super::index::{Embeds, IndexRow, Known};

/// Whether two texts are the same bytes, as far as the index needs to know.
pub(crate) fn raw_hash(bytes: &[u8]) -> i64 {
    xxh3_64(bytes).cast_signed()
}

/// The bytes of a document column. None when it holds no text.
pub(crate) fn bytes_of(value: ValueRef<'_>) -> Option<&[u8]> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes),
        _ => None,
    }
}

/// `assets` is none where copies of assets are not looked for.
pub(crate) fn analyse(row: i64, bytes: &[u8], identity: Identity, assets: Option<&AssetView<'_>>) -> Answer<IndexRow> {
    let known = if bytes.len() > MAX_DOCUMENT_BYTES {
        Known::TooLarge
    } else {
        match Document::parse(bytes) {
            Ok(document) => known(&document, identity, assets)?,
            Err(error) => Known::Malformed(error.to_string()),
        }
    };
    Ok(IndexRow { row, raw: raw_hash(bytes), size: size(bytes), known, mark: None, look: 0 })
}

pub(crate) fn size(bytes: &[u8]) -> u32 {
    bytes.len().try_into().unwrap_or(u32::MAX)
}

fn known(document: &Document<'_>, identity: Identity, assets: Option<&AssetView<'_>>) -> Answer<Known> {
    let Some(name) = document.text(identity.field()).filter(|name| !name.is_empty()) else {
        return Ok(Known::Malformed(format!("it has no {}", identity.field())));
    };
    Ok(Known::Document {
        identity: name.into(),
        hash: canonical::hash(document, identity),
        embeds: embeds(document, identity, assets)?,
    })
}

/// What its copies of assets are, compared with the assets' own rows.
pub(crate) fn embeds(
    document: &Document<'_>,
    identity: Identity,
    assets: Option<&AssetView<'_>>,
) -> Answer<Option<Embeds>> {
    let Some(assets) = assets else { return Ok(None) };
    if document.embedded_assets().is_empty() {
        return Ok(None);
    }
    let refreshed = match refreshed(document, assets)? {
        // A row that was refreshed is a document still: its copies are.
        Some(bytes) => Document::parse(&bytes).ok().map(|document| canonical::hash(&document, identity)),
        None => None,
    };
    Ok(Some(Embeds { assets: assets.state(), refreshed }))
}

/// The document with its stale copies of assets replaced; none when there are none.
pub(crate) fn refreshed(document: &Document<'_>, assets: &AssetView<'_>) -> Answer<Option<Vec<u8>>> {
    let failure = RefCell::new(None);
    let row = |id: &str| match assets.row(id) {
        Ok(bytes) => bytes.map(|bytes| Cow::Owned(bytes.to_vec())),
        Err(error) => {
            failure.replace(Some(error));
            None
        }
    };
    let result = document.refresh_assets(row);
    if let Some(error) = failure.into_inner() {
        return Err(error);
    }
    // An asset row that is no document was not found in the first place.
    Ok(result.unwrap_or(None))
}
