//! What a consumer counts, through the facade `metrics`: nothing, at no cost, unless the program records it.
//! Names and meanings: docs/metrics.md.

use metrics::counter;

const CLAIMS: &str = "cockpit_sync_claims_total";
const RETRIES: &str = "cockpit_sync_retries_total";
const SETTLES: &str = "cockpit_sync_settles_total";
const RECLAIMS: &str = "cockpit_sync_reclaims_total";

/// All of them are there from the start, at zero: a rate that begins with the first event would miss it.
pub(super) fn start(targets: &[String]) {
    for target in targets {
        claimed(target, 0, 0);
    }
    for verdict in ["done", "delay", "back", "throttled", "bury", "bury_raw", "split", "fence_lost", "fail", "lost"] {
        counter!(SETTLES, "verdict" => verdict).increment(0);
    }
    reclaimed(0);
}

/// Jobs were claimed; so many of them had failed before.
pub(super) fn claimed(target: &str, jobs: u64, again: u64) {
    counter!(CLAIMS, "target" => target.to_owned()).increment(jobs);
    counter!(RETRIES, "target" => target.to_owned()).increment(again);
}

/// A claim ended. One that did not stand any more is `lost`, whatever was to be said.
pub(super) fn settled(verdict: &'static str, stood: bool) {
    counter!(SETTLES, "verdict" => if stood { verdict } else { "lost" }).increment(1);
}

/// Jobs of dead workers were taken back.
pub(super) fn reclaimed(jobs: u64) {
    counter!(RECLAIMS).increment(jobs);
}
