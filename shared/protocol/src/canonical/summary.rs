//! Sums of hashes: whether two collections hold the same documents, whatever their order, without listing them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::digest::{DocHash, first_half};

/// How many documents a collection, or a part of it, holds, and the sum of what they are.
///
/// For each document the first 128 bits, big endian, of SHA-256 over the length of its identity (8 bytes, big endian), its
/// identity and its hash are added, modulo 2^128. A difference can only be hidden by someone who looks for one: good against
/// errors, not against forgery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CollectionSummary {
    pub count: u64,
    #[serde(serialize_with = "write_sum", deserialize_with = "read_sum")]
    pub sum: u128,
}

impl CollectionSummary {
    pub fn add(&mut self, identity: &str, hash: DocHash) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(share(identity, hash));
    }

    /// Undoes an `add` of the same document.
    pub fn remove(&mut self, identity: &str, hash: DocHash) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(share(identity, hash));
    }

    /// Adds what another part of the collection holds.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.wrapping_add(other.count);
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

fn share(identity: &str, hash: DocHash) -> u128 {
    let mut digest = Sha256::new();
    digest.update((identity.len() as u64).to_be_bytes());
    digest.update(identity.as_bytes());
    digest.update(hash.0);
    u128::from_be_bytes(first_half(digest.finalize().as_slice()))
}

/// Like a hash: 16 bytes in MessagePack, 32 hexadecimal digits in JSON, where most readers have no 128-bit numbers.
fn write_sum<S: Serializer>(sum: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    DocHash(sum.to_be_bytes()).serialize(serializer)
}

fn read_sum<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    Ok(u128::from_be_bytes(DocHash::deserialize(deserializer)?.0))
}
