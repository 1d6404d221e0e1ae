//! Nights, again and again: what a deployment holds must not grow with what it has done. `make soak MINUTES=n` goes on
//! for so long, ends with a table and fails when something grew ([`growth`] says what counts as that); `make test` has
//! two nights, so that this goes on working.

mod growth;
mod measure;
mod nights;

use std::time::{Duration, Instant};

use growth::Samples;
use nights::Nights;

/// Of a look at whether it works at all.
const FEW: usize = 2;

#[test]
fn night_after_night_nothing_that_is_held_grows() {
    let minutes: Option<u64> = std::env::var("SOAK_MINUTES").ok().and_then(|text| text.trim().parse().ok());
    let Some(mut nights) = Nights::new() else {
        return servers::say_skipped("night_after_night_nothing_that_is_held_grows", "clocks cannot be set here");
    };
    let begun = Instant::now();
    let mut samples = Samples::default();
    for night in 0.. {
        let is_over = match minutes {
            Some(minutes) => begun.elapsed() >= Duration::from_secs(60 * minutes),
            None => night == FEW,
        };
        if is_over {
            break;
        }
        nights.pass(night);
        samples.add(&measure::everything(&mut nights));
        if minutes.is_some() && night % 10 == 9 {
            eprintln!("{} nights, {:.0?}", night + 1, begun.elapsed());
        }
    }
    if minutes.is_some() {
        eprintln!("{samples}");
        assert_eq!(samples.grown(), Vec::<String>::new(), "this grows");
    } else {
        assert!(samples.are_of_everything(), "{samples}");
    }
}
