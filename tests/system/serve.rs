//! `cockpit-sync serve` over real HTTP: every address, who may do what, events, hooks.

mod access;
mod attention;
mod events;
mod hooks;
mod runs;
mod served;

pub use served::{Answer, Served};
