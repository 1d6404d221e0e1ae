//! Small values that processes of one deployment agree on for a while: sessions, keys that make a request the same one.

use std::time::Duration;

use redis::AsyncCommands;
use serde::Serialize;

use crate::scripts::KEEP;
use crate::{Queue, Result};

#[derive(Serialize)]
struct Args<'a> {
    name: &'a str,
    value: &'a serde_bytes::Bytes,
    time: u64,
    first: bool,
}

impl Queue {
    /// Keeps a value under a name, instead of what was there.
    pub async fn keep(&self, name: &str, value: &[u8], time: Duration) -> Result<()> {
        self.keep_or_find(name, value, time, false).await.map(drop)
    }

    /// Keeps a value unless there is one already. Answers the one that is there now: of many who try, all learn the same.
    pub async fn keep_first(&self, name: &str, value: &[u8], time: Duration) -> Result<Vec<u8>> {
        self.keep_or_find(name, value, time, true).await
    }

    async fn keep_or_find(&self, name: &str, value: &[u8], time: Duration, first: bool) -> Result<Vec<u8>> {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
        self.call(&KEEP, &Args { name, value: serde_bytes::Bytes::new(value), time, first }).await
    }

    pub async fn kept(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.connection().await?.hget(self.keys.kept(name), "value").await?)
    }

    pub async fn forget(&self, name: &str) -> Result<()> {
        Ok(self.connection().await?.unlink(self.keys.kept(name)).await?)
    }
}
