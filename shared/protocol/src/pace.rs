//! How fast a run may be, where somebody said so.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Nothing of it is set unless asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pace {
    /// After each batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Duration>,
    /// Of everything that is written to the target, by all workers together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rate: Option<Rate>,
    /// So long after the run first had its turn no batch begins any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<Duration>,
}

impl Pace {
    pub fn is_free(&self) -> bool {
        *self == Self::default()
    }
}

/// Per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    Items(u64),
    Bytes(u64),
}

impl Rate {
    pub fn per_second(self) -> u64 {
        match self {
            Self::Items(rate) | Self::Bytes(rate) => rate,
        }
    }
}
