//! Reading an agent's audit log, line by line as it lies there.

use serde::{Deserialize, Serialize};

use super::Call;
use crate::audit::Mark;

/// A page of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuditRequest {
    pub from: AuditFrom,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditFrom {
    /// So many lines from the end, at most [`MAX_LAST`].
    Last(u32),
    /// From here on: the default is the oldest line that is kept.
    Place(AuditPlace),
}

/// More of the end are not given at once.
pub const MAX_LAST: u32 = 1000;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPlace {
    /// Named by the number of its first entry.
    pub file: u64,
    pub offset: u64,
}

impl Call for AuditRequest {
    const PATH: &'static str = "audit";
    type Answer = AuditPage;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuditPage {
    /// As they are in the file: whoever reads checks them ([`crate::audit::Chain`]).
    pub lines: Vec<String>,
    pub next: Option<AuditPlace>,
    /// The entry before the oldest that is kept, and the last one that was written.
    pub begin: Mark,
    pub head: Mark,
}
