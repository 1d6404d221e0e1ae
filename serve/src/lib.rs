//! What programs call and people look at: the control API, events as they happen, the dashboard.
//!
//! Owns HTTP, who may do what, and sessions. Everything that is done is done by `producer` and `queue`; it must not touch
//! content or storage.

pub mod access;
mod api;
mod error;
mod feed;
mod hooks;
mod monitor;
mod now;
mod pages;
mod routes;
mod server;
mod state;
mod watched;

pub use error::ApiError;
pub use server::{RunningServer, Server, ServerFailed, StartError};
pub use state::{Host, Render};

/// Where it listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8100";
