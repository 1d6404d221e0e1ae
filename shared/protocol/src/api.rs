//! The agent's requests and answers. Every signed request is a POST of one MessagePack map (named fields) to
//! `/api/sync/PATH`; its answer is one such map too, signed. docs/wire-format.md says the same in prose.

use serde::{Serialize, de::DeserializeOwned};

mod audit;
mod documents;
mod error;
mod files;
mod grant;
mod keys;
mod manifest;
mod mirror;
mod parts;
mod receipt;
mod undo;

pub use audit::*;
pub use documents::*;
pub use error::*;
pub use files::*;
pub use grant::*;
pub use keys::*;
pub use manifest::*;
pub use mirror::*;
pub use parts::*;
pub use receipt::*;
pub use undo::*;

/// A request to an agent, with the path it is sent to and the shape of its answer.
pub trait Call: Serialize + DeserializeOwned + Send + Sync {
    /// Below `/api/sync/`.
    const PATH: &'static str;
    /// What a 200 carries.
    type Answer: Serialize + DeserializeOwned + Send;

    fn serves(&self) -> Serves {
        Serves::WhoAsks
    }
}

/// Whom an answer serves besides who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    WhoAsks,
    /// Whoever might have asked at that moment: it tells what was there.
    Everybody,
    /// Everybody at any time: what was asked for is named by its hash.
    Always,
}

/// Upper bound of a request body in bytes: default proxies pass 1 MB.
pub const MAX_REQUEST_BYTES: usize = 900 * 1024;
/// A page of a listing or of documents: at most so many bytes of documents, and at least one document. So much that a
/// page that is missing on the other side fits one write there.
pub const PAGE_BYTES: usize = 700 * 1024;
/// A page with documents holds at most so many.
pub const PAGE_DOCUMENTS: usize = 500;
/// A page of ids and hashes alone holds at most so many.
pub const PAGE_ENTRIES: usize = 5000;
/// Larger documents are held.
pub const MAX_DOCUMENT_BYTES: usize = 16 * 1024 * 1024;
