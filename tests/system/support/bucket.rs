//! A target's limit: so many requests a second, and what was saved up for a second on top.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::{Act, Proxy};

/// Fills with `rate` a second, up to one second's worth.
pub struct Bucket {
    rate: f64,
    state: Mutex<State>,
}

struct State {
    tokens: f64,
    filled: Instant,
    first_refused: Option<Instant>,
    last_granted: Instant,
    granted: usize,
    granted_since: usize,
    refused: usize,
}

impl Bucket {
    /// From now on this kind of request to the proxy is limited.
    pub fn limit(proxy: &Proxy, call: &'static str, rate: f64, refusal: Act) -> Arc<Self> {
        let now = Instant::now();
        let state = State {
            tokens: rate,
            filled: now,
            first_refused: None,
            last_granted: now,
            granted: 0,
            granted_since: 0,
            refused: 0,
        };
        let bucket = Arc::new(Self { rate, state: Mutex::new(state) });
        let asked = bucket.clone();
        proxy.set(move |request| if request.call != call || asked.take() { Act::Pass } else { refusal.clone() });
        bucket
    }

    fn take(&self) -> bool {
        let (mut state, now) = (self.state.lock().unwrap(), Instant::now());
        let gained = (now - state.filled).as_secs_f64() * self.rate;
        state.tokens = (state.tokens + gained).min(self.rate);
        state.filled = now;
        if state.tokens < 1.0 {
            state.refused += 1;
            state.first_refused.get_or_insert(now);
            return false;
        }
        state.tokens -= 1.0;
        state.granted += 1;
        state.granted_since += usize::from(state.first_refused.is_some());
        state.last_granted = now;
        true
    }

    pub fn granted(&self) -> usize {
        self.state.lock().unwrap().granted
    }

    pub fn refused(&self) -> usize {
        self.state.lock().unwrap().refused
    }

    /// From the first refusal to the last grant: what was taken of what could have been had in that time.
    pub fn share(&self) -> f64 {
        let state = self.state.lock().unwrap();
        let began = state.first_refused.expect("it was never asked for more than it had");
        state.granted_since as f64 / ((state.last_granted - began).as_secs_f64() * self.rate)
    }
}
