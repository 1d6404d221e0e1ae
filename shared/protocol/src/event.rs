//! Names of events, as in the documentation of Cockpit's Sync add-on.

pub const PUSH_FINISHED: &str = "sync.push.finished";
pub const PULL_FINISHED: &str = "sync.pull.finished";
/// Published per batch with the ids; subscribers expand it per item.
pub const ITEM_PUSHED: &str = "sync.item.pushed";
pub const ITEM_PULLED: &str = "sync.item.pulled";
pub const RUN_STARTED: &str = "sync.run.started";
pub const RUN_FAILED: &str = "sync.run.failed";
pub const RUN_CANCELLED: &str = "sync.run.cancelled";
