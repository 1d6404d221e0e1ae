//! Lets time pass for claims, leases, workers and delays, without waiting for it.

use super::super::laws::{lease, of_run, stream};
use super::super::steps::TARGETS;
use super::World;

/// Far longer than a lease; given to claims, instead of sleeping.
const SILENCE_MS: &str = "36000000";

impl World {
    pub(super) async fn command(&mut self, words: &[&str]) {
        redis::cmd(words[0]).arg(&words[1..]).exec_async(&mut self.raw).await.expect("a sound command");
    }

    pub(super) async fn silence(&mut self, target: &str, consumer: &str, entries: &[String]) {
        for entry in entries {
            let key = stream(target);
            self.command(&["XCLAIM", &key, "workers", consumer, "0", entry, "IDLE", SILENCE_MS, "JUSTID"]).await;
        }
    }

    pub(super) async fn silence_all(&mut self, whose: impl Fn(&str) -> bool) {
        for target in TARGETS {
            for claim in self.keys.stream(&stream(target)).1.to_vec() {
                if whose(&claim.consumer) {
                    self.silence(target, &claim.consumer, &[claim.entry]).await;
                }
            }
        }
    }

    pub(super) async fn forget_workers(&mut self) {
        for (worker, _) in self.keys.sorted("{cs}:workers").to_vec() {
            self.command(&["DEL", &format!("{{cs}}:worker:{}", String::from_utf8_lossy(&worker))]).await;
        }
        self.command(&["DEL", "{cs}:workers"]).await;
    }

    pub(super) async fn end_delays(&mut self) {
        for run in self.ledger.order.clone() {
            let delayed = of_run(&run, ":delayed");
            for (text, _) in self.keys.sorted(&delayed).to_vec() {
                redis::cmd("ZADD").arg(&delayed).arg(1).arg(text).exec_async(&mut self.raw).await.expect("ZADD");
            }
        }
        for target in TARGETS {
            let pace = format!("{{cs}}:target:{target}:pace");
            if self.keys.hash(&pace).contains_key("rest_until") {
                self.command(&["HSET", &pace, "rest_until", "1"]).await;
            }
        }
    }

    pub(super) async fn end_turns(&mut self) {
        for target in TARGETS {
            let held = self.keys.hash(&lease(target));
            for time in ["yield_until", "urgent_since", "keep_until"] {
                if held.contains_key(time) {
                    self.command(&["HSET", &lease(target), time, "1"]).await;
                }
            }
        }
    }
}
