//! Ticks of schedules: which instant had its turn, and what became of it. Whoever watches the clock decides when a tick is due;
//! here is kept that it happens once, whoever comes first, and whatever becomes of those who watch.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::scripts::{OBSERVE, PASS};
use crate::{Error, Queue, Result};

/// A tick, and what was known of its schedule when somebody decided what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    pub schedule: String,
    /// The instant it is planned for, in milliseconds since 1970; none: by hand, at no planned time.
    pub planned: Option<u64>,
    /// [`ScheduleView::handled`] as its caller saw it. If it is another by now, somebody else has decided, and nothing happens.
    pub after: Option<u64>,
}

/// How a tick goes by that gets no run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass<'a> {
    /// This run of the schedule is not over.
    Skipped { running: &'a str },
    /// Nobody fired it, nor `count - 1` before it.
    Missed { count: u64, why: &'a str },
}

/// What is known of a schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScheduleView {
    /// By Redis' clock, in milliseconds.
    pub now: u64,
    /// The instant up to which it is known what became of its ticks; none: nobody has watched for it yet.
    pub handled: Option<u64>,
    /// Its last run, of a tick or by hand.
    pub run: Option<String>,
    /// What happened last.
    pub last: Option<TickView>,
    /// The last ticks that were missed, and how many there ever were.
    pub missed: Option<TickView>,
    pub missed_total: u64,
}

/// What became of a tick.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TickView {
    pub outcome: TickOutcome,
    /// None: by hand.
    pub tick: Option<u64>,
    /// When that was decided.
    pub at: u64,
    /// Its run; of a tick that was skipped, the one that was not over.
    pub run: Option<String>,
    pub count: Option<u64>,
    pub why: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TickOutcome {
    Run,
    Skipped,
    Missed,
}

/// A tick as scripts are told it.
#[derive(Serialize)]
pub(crate) struct TickArgs<'a> {
    schedule: &'a str,
    planned: u64,
    after: u64,
}

impl<'a> TickArgs<'a> {
    pub(crate) fn of(tick: &'a Tick) -> Self {
        let Tick { schedule, planned, after } = tick;
        Self { schedule, planned: planned.unwrap_or_default(), after: after.unwrap_or_default() }
    }
}

#[derive(Serialize)]
struct PassArgs<'a> {
    tick: TickArgs<'a>,
    run: &'a str,
    count: u64,
    why: &'a str,
    event: &'a str,
    about: &'a str,
}

#[derive(Serialize)]
struct ObserveArgs<'a> {
    schedule: &'a str,
    expression: &'a str,
    time: u64,
}

impl Queue {
    /// Begins to watch for a schedule at `time` (milliseconds). If it is new, or its ticks followed from something else than
    /// `expression` before, it begins then, and nothing before counts as missed.
    pub async fn observe_schedule(&self, schedule: &str, expression: &str, time: u64) -> Result<()> {
        self.call(&OBSERVE, &ObserveArgs { schedule, expression, time }).await
    }

    /// What is known of a schedule; nothing of one that nobody has watched for.
    pub async fn schedule(&self, schedule: &str) -> Result<ScheduleView> {
        let mut connection = self.connection().await?;
        let (mut fields, (seconds, micros)): (HashMap<String, String>, (u64, u64)) =
            redis::pipe().hgetall(self.keys.schedule(schedule)).cmd("TIME").query_async(&mut *connection).await?;
        let number = |text: &String| text.parse().map_err(|_| Error::Answer(format!("schedule {schedule}: {text:?}")));
        let tick = |text: &String| {
            serde_json::from_str(text).map_err(|error| Error::Answer(format!("schedule {schedule}: {error}")))
        };
        Ok(ScheduleView {
            now: seconds * 1000 + micros / 1000,
            handled: fields.get("handled").map(number).transpose()?,
            last: fields.get("last").map(tick).transpose()?,
            missed: fields.get("missed").map(tick).transpose()?,
            missed_total: fields.get("missed_total").map(number).transpose()?.unwrap_or_default(),
            run: fields.remove("run"),
        })
    }

    /// A tick goes by without a run; `event` is published with `about`, the inside of a JSON object. Answers whether it is
    /// this call that decided so.
    pub async fn pass_tick(&self, tick: &Tick, pass: Pass<'_>, event: &str, about: &str) -> Result<bool> {
        let (run, count, why) = match pass {
            Pass::Skipped { running } => (running, 0, ""),
            Pass::Missed { count, why } => ("", count, why),
        };
        self.call(&PASS, &PassArgs { tick: TickArgs::of(tick), run, count, why, event, about }).await
    }
}
