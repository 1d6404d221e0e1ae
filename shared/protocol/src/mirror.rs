//! What a mirror may delete, and which run an undo undoes: said by the command that asked for it, signed with the
//! target's key, kept with the run.
//!
//! Workers carry it and cannot change it; whoever can write to Redis alone cannot make one. The target's agent checks it.

use serde::{Deserialize, Serialize};

use crate::collection::Collection;
use crate::selection::Selected;

/// Unless asked otherwise a mirror deletes so many of every hundred documents of a collection ...
const USUAL_PERCENT: u64 = 20;
/// ... or so many, whichever is more.
const USUAL_DOCUMENTS: u64 = 100;

/// The most that may be deleted: a number of documents, or a share of those that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxDelete {
    Documents(u64),
    Percent(u8),
}

impl MaxDelete {
    /// How many of so many documents.
    pub fn of(self, there: u64) -> u64 {
        match self {
            Self::Documents(count) => count,
            Self::Percent(percent) => share(there, u64::from(percent)),
        }
    }

    /// How many of so many documents where nothing else was asked.
    pub fn usually_of(there: u64) -> u64 {
        share(there, USUAL_PERCENT).max(USUAL_DOCUMENTS)
    }
}

fn share(there: u64, percent: u64) -> u64 {
    (u128::from(there) * u128::from(percent) / 100).try_into().unwrap_or(u64::MAX)
}

/// It is neither a number nor a share.
#[derive(Debug, thiserror::Error)]
#[error("give a number of documents (100) or a share (10%)")]
pub struct NoMaxDelete;

impl std::str::FromStr for MaxDelete {
    type Err = NoMaxDelete;

    fn from_str(text: &str) -> Result<Self, NoMaxDelete> {
        match text.strip_suffix('%') {
            None => text.parse().map(Self::Documents).map_err(|_| NoMaxDelete),
            Some(number) => match number.trim().parse() {
                Ok(percent @ 0..=100) => Ok(Self::Percent(percent)),
                _ => Err(NoMaxDelete),
            },
        }
    }
}

impl std::fmt::Display for MaxDelete {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Documents(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// What somebody lets one run delete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MirrorOrder {
    pub run: String,
    /// Instance ids.
    pub source: String,
    pub target: String,
    /// Nothing else is deleted: these collections, narrowed as the run is.
    pub scope: Vec<Selected>,
    /// Of each collection; none: as usual.
    pub max_delete: Option<MaxDelete>,
    /// The source may be empty, or much smaller than at the last sync.
    pub allow_shrunk: bool,
}

/// What somebody lets one run undo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoOrder {
    pub run: String,
    /// Instance id.
    pub target: String,
    /// The run that is undone.
    pub undoes: String,
}

/// So long a command's approval is good for, milliseconds. An agent refuses a run that it closed for as long, so no
/// approval serves twice.
pub const APPROVED_FOR_MS: i64 = 7 * 24 * 3600 * 1000;

/// An order as it travels: the very bytes that were signed. The default is approved by nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedOrder {
    /// When, Unix seconds by the agent's clock.
    #[serde(default)]
    pub made: i64,
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
    /// HMAC-SHA256 over both under a key of the target, hex.
    pub approval: String,
}

impl MirrorOrder {
    pub fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("an order has no map with keys that are not strings")
    }
}

impl UndoOrder {
    pub fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("an order is strings")
    }
}

impl SignedOrder {
    /// What it says. Whether it is genuine is [`crate::sign::is_approved`]'s to tell.
    pub fn order(&self) -> Result<MirrorOrder, rmp_serde::decode::Error> {
        crate::msgpack::read(&self.bytes)
    }

    /// The same, of an undo.
    pub fn undo_order(&self) -> Result<UndoOrder, rmp_serde::decode::Error> {
        crate::msgpack::read(&self.bytes)
    }
}

/// Models and locales are never deleted; nor is anything of add-ons, of which nobody knows what lies below what.
pub fn is_mirrored(collection: &Collection) -> bool {
    match collection {
        Collection::Models | Collection::Locales | Collection::Custom(_) => false,
        Collection::Folders | Collection::Assets | Collection::Singletons | Collection::Items(_) => true,
    }
}

/// The name under which a run looks for what it may delete: its first look at a collection comes later, when it syncs it.
pub fn look_of(run: &str) -> String {
    format!("{run} mirror")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_limit_is_a_number_or_a_share() {
        assert_eq!("0".parse::<MaxDelete>().unwrap(), MaxDelete::Documents(0));
        assert_eq!("10%".parse::<MaxDelete>().unwrap().of(55), 5);
        assert_eq!("100 %".parse::<MaxDelete>().unwrap().of(u64::MAX), u64::MAX);
        for wrong in ["", "%", "-1", "101%", "1.5%", "ten"] {
            assert!(wrong.parse::<MaxDelete>().is_err(), "{wrong:?}");
        }
        assert_eq!((MaxDelete::usually_of(10), MaxDelete::usually_of(1000)), (100, 200));
    }
}
