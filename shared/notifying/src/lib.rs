//! What is done when something happened: the entries `[[on]]` of a config, and their actions.
//!
//! Owns what an entry means: which events it is about, and how a mail, a webhook, a program or a line in the log comes of
//! one. It must not know where events come from, nor who remembers what is still to be done: deployments have listeners
//! in their queue for that (`producer`), agents their own state.

mod actions;
mod entry;
mod notice;
mod templates;

pub use actions::{Failure, SLOWEST};
pub use entry::{Entry, EntryError};
pub use notice::Notice;
