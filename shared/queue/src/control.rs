//! What people do to runs: pause, resume, cancel, unlock.

use crate::RunState;

/// The answer to a request to end a run early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It is over. `closed` is false when its close job was needed but no worker could do it.
    Now { run: String, closed: bool },
    /// Its close job is on the way; the final event follows, after [`crate::Settings::close_within`] at the latest.
    Ending { run: String },
    /// It was over before.
    Already { run: String, state: RunState },
    /// No run holds the target (of `unlock`).
    Nothing,
}
