//! A rate that all workers of a target share: asked for before something is brought, only where somebody set one.

use std::time::Duration;

use serde::Serialize;

use crate::scripts::RATION;
use crate::{Queue, Result};

#[derive(Serialize)]
struct Args<'a> {
    target: &'a str,
    amount: u64,
    per_second: u64,
}

impl Queue {
    /// Takes so much of a target's rate; answers how long to wait before it is used. What was taken and not used is lost.
    pub async fn ration(&self, target: &str, amount: u64, per_second: u64) -> Result<Duration> {
        let args = Args { target, amount, per_second: per_second.max(1) };
        let wait: u64 = self.call(&RATION, &args).await?;
        Ok(Duration::from_millis(wait))
    }
}
