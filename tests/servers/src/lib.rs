//! Redis as people run it, for tests: single servers, sentinels, clusters, with TLS, in the version this system has and
//! in others; and what notifications go to. All on ports of the loopback; Redis in temporary folders, ended when dropped.
//!
//! A test that cannot go on fails: everything here panics with a reason instead of returning errors.

mod authority;
mod clocks;
mod cluster;
mod program;
mod receivers;
mod sentinels;
mod server;

use std::io::Write;
use std::time::{Duration, Instant};

pub use authority::{Authority, Certificate};
pub use clocks::Clocks;
pub use cluster::Cluster;
pub use program::{Program, Wheel};
pub use receivers::{Call, Mail, MailServer, Receiver};
pub use sentinels::Sentinels;
pub use server::{Server, free_port};

/// Waits until `is_so`; what was waited for is in the message when it never is.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Says that a test is left out, past whatever catches the output of tests that pass.
pub fn say_skipped(test: &str, reason: &str) {
    // When nobody can read it there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {reason}");
}
