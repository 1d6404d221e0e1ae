//! Things to do later, once however often they are asked for meanwhile, by whichever process is there then.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::AsyncCommands;
use serde::Serialize;
use uuid::Uuid;

use crate::scripts::{PUT_OFF, TAKE_DUE};
use crate::{Error, Queue, Result};

/// Something that is due, in the hands of this process for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The same for whoever does it, should this process not come to it: fit for the id of a run.
    pub id: String,
    pub what: String,
}

#[derive(Serialize)]
struct PutOff<'a> {
    what: &'a str,
    wait: u64,
}

#[derive(Serialize)]
struct TakeDue {
    ids: Vec<String>,
    within: u64,
}

impl Queue {
    /// Puts something off. Answers whether it is new: when it was put off already, its time stays.
    pub async fn put_off(&self, what: &str, wait: Duration) -> Result<bool> {
        let added: u64 = self.call(&PUT_OFF, &PutOff { what, wait: milliseconds(wait) }).await?;
        Ok(added == 1)
    }

    /// Takes what is due, so many at most, to do it `within` so long; what is not [`Queue::did`] then is due again.
    /// What is asked for anew after this is a new thing to do.
    pub async fn take_due(&self, most: usize, within: Duration) -> Result<Vec<Due>> {
        let ids = (0..most).map(|_| Uuid::now_v7().to_string()).collect();
        let taken: Vec<String> = self.call(&TAKE_DUE, &TakeDue { ids, within: milliseconds(within) }).await?;
        taken.iter().map(|taken| Due::parse(taken)).collect()
    }

    /// It is done, or never will be.
    pub async fn did(&self, due: &Due) -> Result<()> {
        let taken = format!("{} {}", due.id, due.what);
        Ok(self.connection().await?.zrem(self.keys.taken(), taken).await?)
    }
}

impl Due {
    /// Since it was taken the first time.
    pub fn age(&self) -> Duration {
        let taken = Uuid::parse_str(&self.id).ok().and_then(|id| id.get_timestamp());
        let (seconds, nanoseconds) = taken.map_or((0, 0), |taken| taken.to_unix());
        SystemTime::now().duration_since(UNIX_EPOCH + Duration::new(seconds, nanoseconds)).unwrap_or_default()
    }

    fn parse(taken: &str) -> Result<Self> {
        let unreadable = || Error::Answer(format!("something taken: {taken:?}"));
        let (id, what) = taken.split_once(' ').ok_or_else(unreadable)?;
        Ok(Self { id: id.into(), what: what.into() })
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
