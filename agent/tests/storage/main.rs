//! Claims about one storage, made without HTTP: requests in, answers and changed files out.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;
mod writes;
