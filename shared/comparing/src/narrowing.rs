//! Finds out in two questions in which parts of a large collection two instances differ, so that what is the same need not
//! be listed.

use protocol::api::{ErrorCode, ListPartsRequest, MAX_PARTS, PartsRequest, Summary};
use protocol::canonical::CollectionSummary;
use protocol::client::CallError;
use protocol::collection::Collection;

use crate::{CompareError, Ends};

/// A part has about so many documents, as far as [`MIN_PARTS`] and [`MAX_PARTS`] allow.
const IN_A_PART: u64 = 32;
const MIN_PARTS: u32 = 8;

/// What is left to compare of a collection.
#[derive(Debug, Clone)]
pub struct Narrowed {
    parts: u32,
    /// Those that differ.
    which: Vec<u32>,
    /// So many documents of the source are in the others: the target has the same.
    pub same: u64,
}

/// None when most of the collection would have to be listed all the same. `source` is the source's summary of all of it.
pub async fn narrow(
    ends: Ends<'_>,
    collection: &Collection,
    source: &Summary,
) -> Result<Option<Narrowed>, CompareError> {
    let documents = source.summary.count;
    // Rows without a document are in no part, and have to be told of.
    let is_listable = source.complete && source.held_total == 0;
    if !is_listable || !matches!(collection, Collection::Items(_) | Collection::Custom(_)) {
        return Ok(None);
    }
    let parts = u32::try_from(documents / IN_A_PART).unwrap_or(MAX_PARTS).clamp(MIN_PARTS, MAX_PARTS);
    let ask = |as_stored| PartsRequest { collection: collection.clone(), parts, as_stored };
    // What is stale on the target differs from what it would be sent.
    let (asked_source, asked_target) = (ask(false), ask(true));
    let answers = tokio::try_join!(ends.source.call(&asked_source), ends.target.call(&asked_target));
    let (source, target) = match answers {
        // An agent of an older version does not know what parts are.
        Err(CallError::Refused { error, .. }) if error.code == ErrorCode::BadRequest => return Ok(None),
        answers => answers?,
    };
    if !source.complete || !target.complete || source.sums.len() != target.sums.len() {
        return Ok(None);
    }
    Ok(differing(parts, &source.sums, &target.sums).filter(|narrowed| narrowed.same > documents / 2))
}

fn differing(parts: u32, source: &[CollectionSummary], target: &[CollectionSummary]) -> Option<Narrowed> {
    let mut narrowed = Narrowed { parts, which: Vec::new(), same: 0 };
    for (part, (here, there)) in (0..).zip(source.iter().zip(target)) {
        match here == there {
            true => narrowed.same += here.count,
            false => narrowed.which.push(part),
        }
    }
    (source.len() == parts as usize).then_some(narrowed)
}

impl Narrowed {
    pub(crate) fn request(&self, collection: &Collection, from_row: u64) -> ListPartsRequest {
        ListPartsRequest { collection: collection.clone(), parts: self.parts, which: self.which.clone(), from_row }
    }
}
