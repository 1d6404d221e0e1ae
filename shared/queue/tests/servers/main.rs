//! The queue on Redis as people run it: the same small life of runs on every topology, protocol and server, and what
//! happens when a server dies or is one that must not be used.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod acl;
mod cluster;
mod life;
mod sentinel;
mod single;
mod suitability;
mod tls;
#[path = "../queue/worker.rs"]
mod worker;
