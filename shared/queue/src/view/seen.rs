//! From what `lua/view.lua` answers to a [`RunView`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_bytes::ByteBuf;

use super::{ClaimView, Depth, RunView, StageView};
use crate::{Error, Result, RunState};

/// A run's places and hashes at one moment. Hashes come flat: name, value, name, value.
#[derive(Deserialize)]
pub(super) struct Seen {
    fields: Vec<ByteBuf>,
    counts: Vec<ByteBuf>,
    lease: Vec<ByteBuf>,
    /// By stage, from the open job (0) to the close job.
    backlog: Vec<u64>,
    ready: u64,
    claimed: u64,
    delayed: u64,
    dead: u64,
    position: u64,
    window: u16,
    /// Milliseconds.
    rest: u64,
    now: u64,
    claims: Vec<(ByteBuf, ByteBuf, ByteBuf)>,
}

struct Fields(BTreeMap<String, Vec<u8>>);

impl Fields {
    fn new(flat: Vec<ByteBuf>) -> Self {
        let mut fields = BTreeMap::new();
        let mut parts = flat.into_iter();
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            fields.insert(String::from_utf8_lossy(&name).into_owned(), value.into_vec());
        }
        Self(fields)
    }

    fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get(name).cloned()
    }

    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    fn number<N: std::str::FromStr>(&self, name: &str) -> Option<N> {
        self.text(name)?.parse().ok()
    }
}

impl Seen {
    pub(super) fn into_view(self) -> Result<RunView> {
        let fields = Fields::new(self.fields);
        let lease = Fields::new(self.lease);
        let text = |name: &str| fields.text(name).unwrap_or_default();
        let stored = RunState::parse(&text("state"))?;
        let lease_expires = lease.number::<u64>("expires");
        let from_now = |name: &str| Some(Duration::from_millis(lease.number::<u64>(name)?.saturating_sub(self.now)));
        let lapsed = lease_expires.is_some_and(|expires| expires < self.now);
        let created = fields.number("created").unwrap_or_default();

        let current: usize = fields.number("stage").unwrap_or_default();
        let names = text("stage_names");
        let names: Vec<&str> = if names.is_empty() { Vec::new() } else { names.split('\n').collect() };
        let handed_out = self.ready + self.claimed + self.delayed;
        let opened = lease.text("opened").as_deref() != Some("0");
        let stages = names.iter().zip(1usize..).map(|(name, number)| StageView {
            name: (*name).to_string(),
            // While the open job is at work, what is handed out is that job.
            open: self.backlog.get(number).copied().unwrap_or_default()
                + if number == current && opened { handed_out } else { 0 },
            done: fields.number(&format!("done.{number}")).unwrap_or_default(),
            dead: fields.number(&format!("dead.{number}")).unwrap_or_default(),
        });
        let stage = match names.get(current.wrapping_sub(1)) {
            _ if !opened && stored == RunState::Running => "open",
            Some(name) => name,
            None => "close",
        };

        let labels = format!("{{{}}}", text("labels"));
        Ok(RunView {
            id: text("id"),
            source: text("source"),
            target: text("target"),
            requires: text("requires").split_whitespace().map(str::to_string).collect(),
            priority: fields.number("priority").unwrap_or_default(),
            urgent: fields.text("urgent").as_deref() == Some("1"),
            window: fields.number("window").unwrap_or_default(),
            window_now: self.window,
            rests_for: (self.rest > 0).then(|| Duration::from_millis(self.rest)),
            state: if lapsed && stored == RunState::Running { RunState::Stalled } else { stored },
            stage: stage.to_string(),
            stages: stages.collect(),
            depth: Depth {
                backlog: self.backlog.iter().sum(),
                ready: self.ready,
                claimed: self.claimed,
                delayed: self.delayed,
                dead: self.dead,
                oldest: (!stored.is_final()).then_some(created),
            },
            counters: Fields::new(self.counts).0.into_iter().map(|(name, value)| (name, number_of(&value))).collect(),
            totals: serde_json::from_slice(&fields.bytes("totals").unwrap_or_default())
                .map_err(|error| Error::Answer(format!("totals: {error}")))?,
            labels: serde_json::from_str(&labels).map_err(|error| Error::Answer(format!("labels: {error}")))?,
            spec: fields.bytes("spec").unwrap_or_default(),
            created,
            started: fields.number("started"),
            finished: fields.number("finished"),
            updated: fields.number("updated").unwrap_or_default(),
            error: fields.text("error"),
            by: fields.text("by"),
            last_error: fields.text("last_error"),
            closed: fields.text("closed").as_deref() == Some("1"),
            position: (self.position > 0).then_some(self.position),
            yielded: fields.text("yielded").as_deref() == Some("1"),
            yields_within: from_now("yield_until"),
            keeps_for: from_now("keep_until").filter(|left| !left.is_zero()),
            lease_id: lease.text("id"),
            lease_expires,
            lease_since: lease.number("since"),
            lease_renewals: lease.number("renewals").unwrap_or_default(),
            claims: self.claims.into_iter().map(ClaimView::from).collect(),
            seen: self.now,
            fence: lease.bytes("fence").filter(|fence| !fence.is_empty()),
            notes_total: fields.number("notes_total").unwrap_or_default(),
            dropped: fields.number("dropped").unwrap_or_default(),
            missed: fields.number("missed").unwrap_or_default(),
        })
    }
}

impl From<(ByteBuf, ByteBuf, ByteBuf)> for ClaimView {
    fn from((consumer, job, kind): (ByteBuf, ByteBuf, ByteBuf)) -> Self {
        let text = |bytes: ByteBuf| String::from_utf8_lossy(&bytes).into_owned();
        Self { consumer: text(consumer), job: text(job), kind: text(kind) }
    }
}

fn number_of(digits: &[u8]) -> i64 {
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or_default()
}
