//! What was written once decodes for ever, to what it meant then: processes of several versions share a queue and agents, and find
//! what those before them have left.
//!
//! `tests/fixtures/wire/*.txt` has one thing a line: its name, the bytes in hex, and what they mean as JSON. Lines are never
//! changed. `RECORD_WIRE=1 cargo test -p cockpit-sync-protocol --test wire` adds what is not recorded yet.
#![expect(clippy::unwrap_used, reason = "tests")]

mod calls;
mod kept;
mod recorded;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use cockpit_sync_protocol::api::UndoPart;
use cockpit_sync_protocol::canonical::CollectionSummary;
use cockpit_sync_protocol::collection::Collection;
use cockpit_sync_protocol::conflicts::{ConflictRules, OnConflict};
use cockpit_sync_protocol::job::{Batch, Embedded, Envelope, Job, Rows};
use cockpit_sync_protocol::pace::{Pace, Rate};
use cockpit_sync_protocol::run::{Direction, Endpoint, Fingerprint, OnLocked, RunSpec};
use cockpit_sync_protocol::selection::{Selected, Selection};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

use recorded::{are_recorded, recorded, still_means};

/// The command or job that made a payload.
const MADE_BY: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn jobs() -> Vec<Job> {
    let posts = || Collection::Items("posts".into());
    let embedded = Embedded { wanted: Collection::Assets, by: vec![posts()], part: 0, parts: 2 };
    let range = Rows::Range { from: 1, to: Some(2000) };
    let sample = [
        Job::Open,
        Job::Expect,
        Job::Collection { collection: Collection::Locales },
        Job::Batch(Batch { collection: posts(), rows: range, fresh: true }),
        Job::Candidates { collection: Collection::Singletons },
        Job::Decide,
        Job::Deletes { collection: Collection::Folders },
        Job::Embedded(embedded.clone()),
        Job::Verify { collection: Collection::Models },
        Job::VerifyEmbedded(embedded),
        Job::Undo { collection: "assets/files".into(), part: UndoPart::Remove },
        Job::VerifyUndo { collection: "content/collections/posts".into() },
        Job::Close,
    ];
    // A new kind does not compile here: it belongs above, too.
    for job in &sample {
        match job {
            Job::Open
            | Job::Expect
            | Job::Collection { .. }
            | Job::Batch(_)
            | Job::Candidates { .. }
            | Job::Decide
            | Job::Deletes { .. }
            | Job::Embedded(_)
            | Job::Verify { .. }
            | Job::VerifyEmbedded(_)
            | Job::Undo { .. }
            | Job::VerifyUndo { .. }
            | Job::Close => {}
        }
    }
    sample.into()
}

/// The name of the variant: two kinds of job may have one name in lists.
fn variant(job: &Job) -> String {
    match serde_json::to_value(job).unwrap() {
        Value::Object(object) => object.keys().next().unwrap().clone(),
        name => name.as_str().unwrap().to_owned(),
    }
}

#[test]
fn every_kind_of_job_is_recorded_and_still_means_the_same() {
    let sample = |job: Job| (variant(&job), job.encode_as_made_by(Some(MADE_BY)), serde_json::to_value(&job).unwrap());
    are_recorded("jobs.txt", jobs().into_iter().map(sample).collect());
    for (name, bytes, meaning) in recorded("jobs.txt") {
        let envelope = Envelope::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let now = serde_json::to_value(&envelope.job).unwrap();
        assert!(still_means(&now, &meaning), "{name} meant {meaning} and means {now}");
        assert!(envelope.traceparent.is_none_or(|made_by| made_by == MADE_BY), "{name}");
    }
}

fn plain_run() -> RunSpec {
    let endpoint = |name: &str| Endpoint { name: name.into(), instance: format!("id of {name}") };
    RunSpec {
        direction: Direction::Push,
        source: endpoint("staging"),
        target: endpoint("production"),
        started_by: "anna on web1".into(),
        batch_size: 500,
        models: None,
        selections: Vec::new(),
        only_selected: false,
        with_assets: false,
        pace: Pace::default(),
        planned: Vec::new(),
        on_conflict: ConflictRules::default(),
        accept_schema_changes: false,
        missing_keys_only: None,
        shapings: Vec::new(),
        on_locked: OnLocked::Hold,
        resources: vec!["locales".into(), "content".into()],
        window: 16,
        trees: vec!["pagestree".into()],
        modified: 1_790_000_000,
        source_began: 1_790_000_001,
        undo: None,
        undo_order: None,
        mirror: None,
        shares_source: false,
        traceparent: None,
    }
}

fn run_with_all_options() -> RunSpec {
    let posts = Collection::Items("posts".into());
    let summary = CollectionSummary { count: 3, sum: 1 << 100 };
    RunSpec {
        direction: Direction::Pull,
        models: Some(vec!["posts".into()]),
        selections: vec![Selected { collection: posts.clone(), selection: Selection::only(vec!["a1".into()]) }],
        only_selected: true,
        with_assets: true,
        pace: Pace {
            pause: Some(Duration::from_millis(1500)),
            max_rate: Some(Rate::Bytes(1 << 20)),
            ..Pace::default()
        },
        planned: vec![Fingerprint { collection: posts, source: summary, target: summary, held: 1 }],
        on_conflict: ConflictRules {
            default: OnConflict::Newest,
            models: BTreeMap::from([("posts".into(), OnConflict::Hold)]),
        },
        accept_schema_changes: true,
        missing_keys_only: Some(true),
        on_locked: OnLocked::Override,
        undo: Some("0192".into()),
        traceparent: Some(MADE_BY.into()),
        ..plain_run()
    }
}

#[test]
fn runs_are_recorded_and_still_mean_the_same() {
    let sample = |name: &str, run: RunSpec| (name.to_owned(), run.encode(), serde_json::to_value(&run).unwrap());
    are_recorded("runs.txt", vec![sample("plain", plain_run()), sample("all_options", run_with_all_options())]);
    for (name, bytes, meaning) in recorded("runs.txt") {
        let run = RunSpec::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let now = serde_json::to_value(&run).unwrap();
        assert!(still_means(&now, &meaning), "{name} meant {meaning} and means {now}");
    }
}

/// What an older worker sees of a run that a newer command has made.
#[test]
fn a_field_that_only_a_newer_version_knows_is_passed_over() {
    for (name, bytes, _) in recorded("runs.txt") {
        let with_one_more = one_more_field(&bytes);
        let run = RunSpec::decode(&with_one_more).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(run, RunSpec::decode(&bytes).unwrap());
    }
}

/// `"teleport": "soon"` at the end of a MessagePack map.
fn one_more_field(map: &[u8]) -> Vec<u8> {
    let (fields, rest) = match map {
        [0xde, high, low, rest @ ..] => (u16::from_be_bytes([*high, *low]), rest),
        [short @ 0x80..=0x8f, rest @ ..] => (u16::from(short & 0x0f), rest),
        _ => panic!("no map of that size: {map:x?}"),
    };
    [&[0xde][..], &(fields + 1).to_be_bytes(), rest, b"\xa8teleport\xa4soon"].concat()
}

proptest! {
    #[test]
    fn any_bytes_are_a_payload_or_refused(
        which: Index, damage in prop::collection::vec((any::<Index>(), any::<u8>()), 0..6), cut: Index,
    ) {
        static PAYLOADS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
            let lines = recorded("jobs.txt").into_iter().chain(recorded("runs.txt"));
            lines.map(|(_, bytes, _)| bytes).collect()
        });
        let mut bytes = which.get(&PAYLOADS).clone();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            if let Ok(envelope) = Envelope::decode(bytes) {
                prop_assert_eq!(Job::decode(&envelope.job.encode()).unwrap(), envelope.job);
            }
            if let Ok(run) = RunSpec::decode(bytes) {
                prop_assert_eq!(RunSpec::decode(&run.encode()).unwrap(), run);
            }
        }
    }
}
