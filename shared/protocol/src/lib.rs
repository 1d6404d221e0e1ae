//! What travels between processes: job payloads, agent requests and the client for them, event names,
//! document hashing and signing. Two processes that disagreed on anything in here would damage content.

pub mod api;
pub mod audit;
pub mod canonical;
pub mod client;
pub mod collection;
pub mod conflicts;
pub mod counts;
pub mod directory;
pub mod drift;
pub mod event;
pub mod filter;
pub mod job;
pub mod keys;
pub mod log;
pub mod mirror;
pub mod msgpack;
pub mod pace;
pub mod run;
pub mod selection;
pub mod shaping;
pub mod sign;
pub mod trace;
pub mod viewing;

/// Version of the agent's HTTP interface. An agent and a caller of different versions refuse each other by name.
pub const PROTOCOL_VERSION: u32 = 1;

/// Everything the agent serves lies below this path, as Cockpit's documentation of its Sync add-on has it.
pub const BASE_PATH: &str = "/api/sync/";
