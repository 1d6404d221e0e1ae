//! Buried jobs: what is known of them, and what people do about them.

use redis::AsyncCommands;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::scripts::{self, DEAD};
use crate::{Error, Queue, Result, RunState};

/// A buried job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadJob {
    /// Of what was no job: the id of its entry in the stream.
    pub id: String,
    /// Empty for what was no job; then `payload` is the raw entry.
    pub kind: String,
    pub stage: u32,
    /// Failed executions before the last one.
    pub attempts: u32,
    /// Workers that ended while executing it.
    pub crashes: u32,
    /// Why it was buried.
    pub error: String,
    /// When it was buried, milliseconds since 1970 by Redis' clock.
    pub time: u64,
    pub payload: Vec<u8>,
    /// What came to nothing before, oldest first; the last 20.
    pub tries: Vec<Try>,
}

/// An execution that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    pub time: u64,
    pub error: String,
}

#[derive(Serialize)]
struct Args<'a> {
    run: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    jobs: Option<&'a [String]>,
    retry: bool,
    by: &'a str,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<u64>,
}

/// How many are read at a time.
const PAGE: isize = 200;

impl Queue {
    /// The buried jobs of a run, oldest first.
    pub async fn dead(&self, run: &str) -> Result<Vec<DeadJob>> {
        let mut connection = self.connection().await?;
        let (mut dead, mut at) = (Vec::new(), 0);
        loop {
            let page: Vec<Vec<u8>> = connection.lrange(self.keys.dead(run), at, at + PAGE - 1).await?;
            if page.is_empty() {
                return Ok(dead);
            }
            for bytes in page {
                dead.push(scripts::unpack::<Buried>(&bytes)?.into());
            }
            at += PAGE;
        }
    }

    /// Puts buried jobs (all of them when none are named) back to work, as if nobody had tried them yet, and publishes
    /// `event` with their ids. A run that had gone on to a later stage goes back to theirs.
    ///
    /// Answers the state the run is in, and which jobs went back: none when it is ending or over.
    pub async fn retry_dead(
        &self,
        run: &str,
        jobs: Option<&[String]>,
        by: &str,
        event: &str,
    ) -> Result<(RunState, Vec<String>)> {
        self.do_to_dead(Args { run, jobs, retry: true, by, event, left: None }).await
    }

    /// Removes buried jobs (all of them when none are named) for good, also those of a run that is over, and publishes
    /// `event` with their ids. [`crate::RunView::dropped`] counts them, and the run still ends as `finished_held`.
    ///
    /// Answers the state the run is in, and which jobs were dropped.
    pub async fn drop_dead(
        &self,
        run: &str,
        jobs: Option<&[String]>,
        by: &str,
        event: &str,
    ) -> Result<(RunState, Vec<String>)> {
        self.do_to_dead(Args { run, jobs, retry: false, by, event, left: None }).await
    }

    async fn do_to_dead(&self, mut args: Args<'_>) -> Result<(RunState, Vec<String>)> {
        let mut done = Vec::new();
        loop {
            let packed: Vec<u8> = self.call(&DEAD, &args).await?;
            let (state, jobs, left): (String, Vec<String>, u64) = scripts::unpack(&packed)?;
            if state.is_empty() {
                return Err(Error::UnknownRun(args.run.to_string()));
            }
            done.extend(jobs);
            if left == 0 {
                return Ok((RunState::parse(&state)?, done));
            }
            args.left = Some(left);
        }
    }
}

/// A dead job as `lua/shared/take.lua` packs it.
#[derive(Deserialize)]
struct Buried(ByteBuf, ByteBuf, u32, u32, u32, ByteBuf, u64, ByteBuf, Vec<(u64, ByteBuf)>);

impl From<Buried> for DeadJob {
    fn from(buried: Buried) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let Buried(id, kind, stage, attempts, crashes, error, time, payload, tries) = buried;
        Self {
            id: text(&id),
            kind: text(&kind),
            stage,
            attempts,
            crashes,
            error: text(&error),
            time,
            payload: payload.into_vec(),
            tries: tries.into_iter().map(|(time, error)| Try { time, error: text(&error) }).collect(),
        }
    }
}
