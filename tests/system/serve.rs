//! `cockpit-sync serve` over real HTTP: every address, who may do what, events, hooks, TLS.

mod access;
mod attention;
mod events;
mod hooks;
mod logs;
mod pages;
mod runs;
mod served;
mod tls;

pub use served::{Answer, Served};
