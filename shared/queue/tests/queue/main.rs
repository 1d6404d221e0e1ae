//! What the queue promises, each promise a test. Every test has a redis-server of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod agreed;
mod basics;
mod bounds;
mod chaos;
mod claims;
mod clock;
mod crowd;
mod dead;
mod depth;
mod dying_workers;
mod ends;
mod events;
mod failing_redis;
mod failure_cases;
mod leases;
mod listeners;
mod model;
#[path = "../../examples/plain_jobs.rs"]
#[expect(dead_code, reason = "its main is for people")]
mod plain_jobs;
mod ration;
mod raw_keys;
mod redis_server;
mod refusals;
mod schedules;
mod sharing;
mod sizes;
mod urgent;
mod window;
mod worker;
