//! What this process logs: to stderr, as text or JSON, and, where there is a queue, to Redis for others to read. Both are made
//! of the same lines. Owns their making; what is said and when is the business of those who say it.

mod channels;
mod keeping;
mod lines;

pub use channels::filter;
pub use keeping::{flush, keep_in};
pub use lines::{Format, Lines, kept, printed};
