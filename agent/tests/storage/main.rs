//! Claims about one storage, made without HTTP: requests in, answers and changed files out.
#![expect(clippy::unwrap_used, reason = "tests")]

mod assets;
mod editors;
mod files;
mod following;
mod footprint;
mod grants;
mod held;
mod images;
mod index;
mod locks;
mod mirror;
mod model_rows;
mod models;
mod outdated;
mod parts;
mod selected;
mod start;
mod support;
mod undo;
mod writes;
