//! What the tests are made of: processes that end with their test, instances in temporary folders, and a proxy that
//! misbehaves on demand.

mod browser;
mod bucket;
mod gate;
mod instance;
mod output;
mod process;
mod proxy;
mod redis_server;
mod rig;
mod wire;

use std::time::{Duration, Instant};

pub use browser::Browser;
pub use bucket::Bucket;
pub use gate::Gate;
pub use instance::{Count, add_asset, add_document, assert_as_before, documents_in, embedded, new_id, small, stored};
pub use output::Output;
pub use process::{Process, memory};
pub use proxy::{Act, Proxy, Request};
pub use redis_server::TestRedis;
pub use rig::{KEY, Rig, cockpit_sync};
pub use wire::{Place, Side, Wire};

/// Nothing here takes so long, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until `is_so`; what was waited for is in the message when it never is.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for something to be there.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    wait_until(what, || {
        found = look();
        found.is_some()
    });
    found.unwrap()
}

/// Waits until whatever was saved by now was saved in an earlier second: a run takes a save in the second it begins for
/// one that was made while it worked.
pub fn let_the_second_pass() {
    let second = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let now = second();
    wait_until("the next second comes", || second() > now);
}
