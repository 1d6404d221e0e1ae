//! A collection cut into parts by the hash of the identity: what each part sums up to, and what is in some of them.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{Call, Listing, Serves};
use crate::canonical::CollectionSummary;
use crate::collection::Collection;

/// A collection is cut into at most so many parts: their sums fit one answer.
pub const MAX_PARTS: u32 = 16_384;

/// In which of so many parts a document is.
pub fn part_of(identity: &str, parts: u32) -> u32 {
    u32::try_from(xxh3_64(identity.as_bytes()) % u64::from(parts.max(1))).expect("less than a 32-bit number")
}

/// What does each part sum up to? Where two sides' sums are equal, so are the documents.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PartsRequest {
    pub collection: Collection,
    pub parts: u32,
    /// Of documents as they are stored, stale copies of assets included; else as they would be sent.
    pub as_stored: bool,
}

impl Call for PartsRequest {
    const PATH: &'static str = "parts";
    type Answer = Parts;

    fn serves(&self) -> Serves {
        Serves::Everybody
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Parts {
    /// False when the file or table of a known model is missing: an unproven listing.
    pub complete: bool,
    pub sums: Vec<CollectionSummary>,
}

/// Ids and hashes of what is in some parts. A page; ask again from `next_row` until it is none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListPartsRequest {
    pub collection: Collection,
    pub parts: u32,
    pub which: Vec<u32>,
    /// Inclusive.
    pub from_row: u64,
}

impl Call for ListPartsRequest {
    const PATH: &'static str = "parts/list";
    type Answer = Listing;

    fn serves(&self) -> Serves {
        Serves::Everybody
    }
}

#[cfg(test)]
mod tests {
    use super::part_of;

    #[test]
    fn both_sides_cut_alike_whatever_their_version() {
        let parts: Vec<u32> = ["", "a", "64f0c2a91b7d5e0012345678", "späte"].map(|id| part_of(id, 1024)).into();
        assert_eq!(parts, [194, 543, 317, 46]);
        assert_eq!(part_of("a", 1), 0);
    }
}
