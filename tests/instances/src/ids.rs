//! Ids as Cockpit makes them: 24 hex digits of time, machine, process and a counter, like MongoDB's.

use crate::random::Random;

/// The moment at which every made instance was made (seconds), so that a seed always gives the same bytes.
pub const MADE_AT: i64 = 1_795_346_012;

pub struct Ids {
    made: u64,
    machine_and_process: u64,
    first: u64,
}

impl Ids {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::for_part(seed, "ids");
        Self { made: 0, machine_and_process: random.next() & 0xff_ffff_ffff, first: random.next() & 0xff_ffff }
    }

    pub fn next(&mut self) -> String {
        let counter = (self.first + self.made) & 0xff_ffff;
        // About a thousand ids a second: time goes on while a large instance is made, as it would in Cockpit.
        let time = MADE_AT.unsigned_abs() + self.made / 1000;
        self.made += 1;
        format!("{time:08x}{:010x}{counter:06x}", self.machine_and_process)
    }
}
