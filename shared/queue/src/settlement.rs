//! The end of a claim on its way to `lua/settle.lua`.

use std::time::Duration;

use serde::Serialize;
use serde_bytes::ByteBuf;
use serde_json::{Map, Value};

use crate::claim::Claim;
use crate::scripts::SETTLE;
use crate::{NewJob, Outcome, Queue, Result, RetryPolicy, Verdict, WhenExhausted, item, retry};

/// One claim's end, in the script's words.
#[derive(Debug, Clone)]
pub(crate) struct Settlement {
    pub(crate) claim: Claim,
    pub(crate) verdict: &'static str,
    more: More,
}

/// What only some verdicts say.
#[derive(Debug, Clone, Serialize, Default, PartialEq)]
struct More {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    counters: Vec<(String, i64)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<ByteBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fence: Option<ByteBuf>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    wrote: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pressure: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    jobs: Vec<ByteBuf>,
}

const DONE: &str = "done";

/// Numbers in Lua are exact up to 2^53; a script adds up to 128 of these.
const LARGEST_COUNT: u64 = 1 << 44;

impl Settlement {
    fn new(claim: Claim, verdict: &'static str, more: More) -> Self {
        Self { claim, verdict, more }
    }

    /// What a handler's verdict means for a job that had failed `attempts` times before.
    pub(crate) fn of(claim: Claim, attempts: u32, policy: &RetryPolicy, verdict: Verdict) -> Self {
        match verdict {
            Verdict::Done(outcome) => Self::done(claim, outcome),
            Verdict::Retry { error, .. } if attempts + 1 >= policy.max_attempts => {
                let error = format!("{error} (attempt {} of {})", attempts + 1, policy.max_attempts);
                Self::given_up(claim, policy, error)
            }
            Verdict::Retry { error, after } => {
                let after = after.unwrap_or_else(|| retry::delay(policy, attempts));
                Self::new(claim, "delay", More { error: Some(error), after: Some(millis(after)), ..More::default() })
            }
            Verdict::Throttled { after, reason } => Self::new(
                claim,
                "throttled",
                More { after: Some(millis(after)), error: Some(reason), ..More::default() },
            ),
            Verdict::Return { after, reason } => {
                let after = Some(after.map_or(0, millis));
                Self::new(claim, "back", More { after, error: Some(reason), ..More::default() })
            }
            Verdict::Bury { error } => Self::buried(claim, error),
            Verdict::FenceLost { holder } => {
                Self::new(claim, "fence_lost", More { holder: Some(holder), ..More::default() })
            }
            Verdict::Fail { error } => Self::new(claim, "fail", More { error: Some(error), ..More::default() }),
        }
    }

    fn done(claim: Claim, outcome: Outcome) -> Self {
        if let Some((name, by)) = outcome.counters.iter().find(|(_, by)| by.unsigned_abs() > LARGEST_COUNT) {
            return Self::buried(claim, format!("it counted {by} for {name}, more than can be added exactly"));
        }
        let more = More {
            counters: outcome.counters.into_iter().collect(),
            notes: outcome.notes.into_iter().map(ByteBuf::from).collect(),
            event: outcome.event.map(readable),
            fence: outcome.fence.map(ByteBuf::from),
            wrote: outcome.wrote,
            pressure: outcome.pressure,
            ..More::default()
        };
        Self::new(claim, DONE, more)
    }

    /// The job goes back at once, as it was.
    pub(crate) fn back(claim: Claim) -> Self {
        Self::new(claim, "back", More { after: Some(0), ..More::default() })
    }

    pub(crate) fn buried(claim: Claim, error: String) -> Self {
        Self::new(claim, "bury", More { error: Some(error), ..More::default() })
    }

    /// It was tried often enough.
    pub(crate) fn given_up(claim: Claim, policy: &RetryPolicy, error: String) -> Self {
        let verdict = match policy.when_exhausted {
            WhenExhausted::Bury => "bury",
            WhenExhausted::FailRun => "fail",
        };
        Self::new(claim, verdict, More { error: Some(error), ..More::default() })
    }

    /// An entry that is no job.
    pub(crate) fn raw(claim: Claim, error: &str) -> Self {
        Self::new(claim, "bury_raw", More { error: Some(error.to_string()), ..More::default() })
    }

    /// The job is replaced by smaller ones of its stage, which begin with so many crashes.
    pub(crate) fn split(claim: Claim, stage: u32, crashes: u32, jobs: &[NewJob]) -> Self {
        let jobs = jobs.iter().map(|job| ByteBuf::from(item::encode_part(job, stage, crashes))).collect();
        Self::new(claim, "split", More { jobs, ..More::default() })
    }

    /// When a delayed job is due, counted from now.
    pub(crate) fn due_in(&self) -> Option<Duration> {
        self.more.after.filter(|after| *after > 0).map(Duration::from_millis)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Subscribers parse the whole event, so what would break it is left out.
fn readable((name, about): (String, String)) -> (String, String) {
    if serde_json::from_str::<Map<String, Value>>(&format!("{{{about}}}")).is_ok() {
        return (name, about);
    }
    tracing::error!(event = %name, "what the event is about is not the inside of a JSON object; it is left out");
    (name, String::new())
}

/// Claims of one lease and stage, all done or none; what they have in common is said once.
#[derive(Serialize)]
struct Group<'a> {
    target: &'a str,
    run: &'a str,
    lease: &'a str,
    stage: u32,
    /// The entries between which all of them lie.
    first: &'a str,
    last: &'a str,
    /// Entry and job of each that is done, one after the other.
    done: Vec<&'a str>,
    /// What those of them leave behind that do; the first is 1.
    more: Vec<(usize, &'a More)>,
    /// Entry, job, verdict, and what that says.
    others: Vec<(&'a str, &'a str, &'static str, &'a More)>,
}

impl<'a> Group<'a> {
    fn new(claims: &[&'a Settlement]) -> Self {
        let Claim { target, run, lease, stage, .. } = &claims[0].claim;
        let entries = || claims.iter().map(|settlement| settlement.claim.entry.as_str());
        let first = entries().min_by_key(|entry| in_stream(entry)).unwrap_or("-");
        let last = entries().max_by_key(|entry| in_stream(entry)).unwrap_or("+");
        let mut group =
            Self { target, run, lease, stage: *stage, first, last, done: vec![], more: vec![], others: vec![] };
        for Settlement { claim, verdict, more } in claims {
            if *verdict != DONE {
                group.others.push((&claim.entry, &claim.job, verdict, more));
                continue;
            }
            group.done.extend([claim.entry.as_str(), claim.job.as_str()]);
            if *more != More::default() {
                group.more.push((group.done.len() / 2, more));
            }
        }
        group
    }
}

/// The groups, and for each claim in their order its place in `settlements`.
fn grouped(settlements: &[Settlement]) -> (Vec<Group<'_>>, Vec<usize>) {
    let lease = |place: &usize| {
        let Claim { target, run, lease, stage, .. } = &settlements[*place].claim;
        (target, run, lease, stage)
    };
    let mut order: Vec<usize> = (0..settlements.len()).collect();
    // What is done comes before what may end the run. Stable: what ended first is settled first.
    let is_other = |place: &usize| settlements[*place].verdict != DONE;
    order.sort_by(|one, other| (is_other(one), lease(one)).cmp(&(is_other(other), lease(other))));
    let groups = order
        .chunk_by(|one, other| (is_other(one), lease(one)) == (is_other(other), lease(other)))
        .map(|places| Group::new(&places.iter().map(|place| &settlements[*place]).collect::<Vec<_>>()));
    (groups.collect(), order)
}

/// Where an entry lies in its stream: ids are two numbers, and grow.
fn in_stream(entry: &str) -> Option<(u64, u64)> {
    let (time, number) = entry.split_once('-')?;
    Some((time.parse().ok()?, number.parse().ok()?))
}

#[derive(Serialize)]
struct Args<'a> {
    consumer: &'a str,
    groups: Vec<Group<'a>>,
}

/// The most a single script takes on: what it does for them, and hands out in their place, keeps Redis busy for a few milliseconds.
pub(crate) const AT_ONCE: usize = 128;

impl Queue {
    /// Ends claims, at most [`AT_ONCE`]. For each: whether it still stood. Repeating it is safe: what was settled is lost.
    pub(crate) async fn settle(
        &self,
        connection: &mut impl redis::aio::ConnectionLike,
        consumer: &str,
        settlements: &[Settlement],
    ) -> Result<Vec<bool>> {
        let (groups, order) = grouped(settlements);
        let answers: Vec<bool> = self.call_on(connection, &SETTLE, &Args { consumer, groups }).await?;
        let mut stood = vec![false; settlements.len()];
        for (place, answer) in order.into_iter().zip(answers) {
            stood[place] = answer;
        }
        Ok(stood)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_lie_in_a_stream_by_their_numbers() {
        assert!(in_stream("9-10") < in_stream("10-0"));
        assert!(in_stream("10-9") < in_stream("10-10"));
    }
}
