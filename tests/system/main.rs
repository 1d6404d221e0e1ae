//! Tests of the whole system: the real program as agents, workers and commands, a real redis-server, and instances in
//! Cockpit's own storage format. Whether two instances are equal is judged by the crate `instances`, which knows
//! nothing of how the program compares.
#![expect(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod support;

mod addons;
mod answers;
mod approvals;
mod asking;
mod audit;
mod broken_content;
mod chaos;
mod commands;
mod conflicts;
mod crash;
mod dashboard;
mod dead;
mod disk;
mod doctor;
mod documents;
mod embedded;
mod events;
mod failover;
mod fan_out;
mod fixture;
mod guide;
mod items;
mod keys;
mod load;
mod locks;
mod logs;
mod metrics;
mod mirror;
mod network;
mod notifications;
mod ownership;
mod pacing;
mod places;
mod plan;
mod preflight;
mod properties;
mod push;
mod receipts;
mod redis_loss;
mod schedules;
mod schema;
mod secrets;
mod selection;
mod serve;
mod shaping;
mod soak;
mod stray_jobs;
mod throttled;
mod tls;
mod traces;
mod turns;
mod undo;
mod verify_command;
mod versions;
