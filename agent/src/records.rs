//! What is remembered of the runs that had the grant: one record each, with the run's receipt, in state.db.
//!
//! It must not know what images of documents look like, only how much room a run's take and whether they are there.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::api::{Landed, OpenGrant, Receipt, UndoState};
use protocol::audit::{Action, Entry};
use protocol::canonical::CollectionSummary;
use rusqlite::{OptionalExtension, Row, params};

use crate::audit::{AuditLog, Durable, by_itself};
use crate::state::State;
use crate::storage::fault::{Answer, At, bad_request};

/// Receipts are small, and asked for long after a run.
const KEPT_MS: i64 = 90 * 24 * 3600 * 1000;
/// More than this many are not kept, whatever their age.
const KEPT: i64 = 10_000;

pub(crate) struct Records {
    state: Arc<State>,
    audit: Arc<AuditLog>,
    /// Fingerprints that are not stored yet, by run and collection. They cost nothing until somebody waits for the disk anyway.
    seen: Mutex<HashMap<(String, String), Seen>>,
}

#[derive(Default, Clone, Copy)]
struct Seen {
    before: Option<CollectionSummary>,
    after: Option<CollectionSummary>,
}

/// A run, and where its images are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Never given twice.
    pub number: i64,
    pub run: String,
    pub began_ms: i64,
    pub image_bytes: u64,
    /// Why there are none, in words.
    pub images_gone: Option<String>,
}

impl Records {
    pub fn new(state: Arc<State>, audit: Arc<AuditLog>) -> Self {
        Self { state, audit, seen: Mutex::default() }
    }

    /// The run has the right to write: for the first time, or again.
    pub fn opened(&self, request: &OpenGrant, now_ms: i64) -> Answer<()> {
        let known = self.receipt(&request.run)?;
        let fresh = known.is_none();
        let mut receipt = known.unwrap_or_else(|| self.blank(&request.run, now_ms));
        receipt.grants += 1;
        receipt.about = request.about.clone().or(receipt.about);
        receipt.authority.clone_from(&request.authority);
        receipt.holder.clone_from(&request.holder);
        receipt.ended_ms = None;
        receipt.reason = None;
        if fresh { self.insert(&receipt) } else { self.store(&receipt, None) }
    }

    /// What a collection holds, as the run was just told.
    pub fn fingerprint(&self, run: &str, collection: &str, summary: CollectionSummary, is_first: bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let of_collection = seen.entry((run.into(), collection.into())).or_default();
        if is_first {
            of_collection.before = Some(summary);
        }
        of_collection.after = Some(summary);
    }

    /// Stores what was seen since.
    pub fn save(&self) -> Answer<()> {
        let runs: Vec<String> = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.keys().map(|(run, _)| run.clone()).collect::<std::collections::BTreeSet<_>>().into_iter().collect()
        };
        for run in runs {
            if let Some(mut receipt) = self.receipt(&run)? {
                self.add_seen(&mut receipt);
                self.store(&receipt, None)?;
            }
        }
        Ok(())
    }

    fn add_seen(&self, receipt: &mut Receipt) {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(run, collection), seen| {
            if *run != receipt.run {
                return true;
            }
            let landed = receipt.collections.entry(collection.clone()).or_default();
            landed.before = landed.before.or(seen.before);
            landed.after = seen.after.or(landed.after);
            false
        });
    }

    /// Runs whose receipt is not finished.
    pub fn unfinished(&self) -> Answer<Vec<Record>> {
        self.records("WHERE ended_ms IS NULL")
    }

    /// Runs whose images are kept, the oldest first.
    pub fn with_images(&self) -> Answer<Vec<Record>> {
        self.records("WHERE images_gone IS NULL ORDER BY number")
    }

    /// The run's record; made if the run had its grant before this agent kept records.
    pub fn of_run(&self, run: &str, now_ms: i64) -> Answer<Record> {
        if self.receipt(run)?.is_none() {
            self.insert(&self.blank(run, now_ms))?;
        }
        let found = self.state.database().query_row(&format!("{SELECT} WHERE run = ?1"), [run], read_record);
        found.at(&self.path())
    }

    /// The run has no right to write any more.
    pub fn finish(
        &self,
        run: &str,
        ended_ms: i64,
        reason: &str,
        landed: BTreeMap<String, Landed>,
        image_bytes: u64,
    ) -> Answer<()> {
        let Some(mut receipt) = self.receipt(run)? else { return Ok(()) };
        self.add_seen(&mut receipt);
        for (collection, counted) in landed {
            let of_collection = receipt.collections.entry(collection).or_default();
            let (before, after) = (of_collection.before, of_collection.after);
            *of_collection = Landed { before, after, ..counted };
        }
        receipt.ended_ms = Some(ended_ms);
        receipt.reason = Some(reason.into());
        self.store(&receipt, Some(image_bytes))?;
        let entry = Entry {
            user: receipt.about.as_ref().map(|about| about.started_by.clone()),
            run: Some(run.into()),
            counts: totals(&receipt),
            receipt: Some(receipt.hash()),
            ..by_itself(Action::RunEnded, reason)
        };
        self.audit.append(entry, Durable::Soon)
    }

    /// The run's images are not there (any more).
    pub fn images_are_gone(&self, number: i64, reason: &str) -> Answer<()> {
        let sql = "UPDATE run_record SET images_gone = coalesce(images_gone, ?2), image_bytes = 0 WHERE number = ?1";
        self.state.database().execute(sql, params![number, reason]).at(&self.path())?;
        Ok(())
    }

    /// By its id, the beginning or end of one, or `last`.
    pub fn find(&self, wanted: &str) -> Answer<Option<(Record, Receipt)>> {
        if let Some(receipt) = self.receipt(wanted)? {
            return Ok(Some((self.of_run(wanted, 0)?, receipt)));
        }
        let mut records = self.records("ORDER BY number DESC")?.into_iter();
        let record = if wanted == "last" {
            records.next()
        } else {
            let mut named = records.filter(|record| record.run.starts_with(wanted) || record.run.ends_with(wanted));
            match (named.next(), named.next()) {
                (_, Some(_)) => {
                    return Err(bad_request(format!("more than one run is called {wanted}: give more of its id")));
                }
                (found, None) => found,
            }
        };
        let Some(record) = record else { return Ok(None) };
        Ok(self.receipt(&record.run)?.map(|receipt| (record, receipt)))
    }

    /// Forgets what is too old to be asked for. What still has images stays.
    pub fn prune(&self, now_ms: i64) -> Answer<()> {
        let sql = "DELETE FROM run_record WHERE ended_ms IS NOT NULL AND images_gone IS NOT NULL AND (began_ms < ?1
                   OR number <= (SELECT max(number) FROM run_record) - ?2)";
        self.state.database().execute(sql, [now_ms.saturating_sub(KEPT_MS), KEPT]).at(&self.path())?;
        Ok(())
    }

    fn blank(&self, run: &str, now_ms: i64) -> Receipt {
        Receipt {
            run: run.into(),
            instance: self.state.instance().into(),
            about: None,
            authority: String::new(),
            holder: String::new(),
            grants: 0,
            began_ms: now_ms,
            ended_ms: None,
            reason: None,
            collections: BTreeMap::new(),
            undo: UndoState::default(),
        }
    }

    fn receipt(&self, run: &str) -> Answer<Option<Receipt>> {
        let sql = "SELECT receipt FROM run_record WHERE run = ?1";
        let stored: Option<String> =
            self.state.database().query_row(sql, [run], |row| row.get(0)).optional().at(&self.path())?;
        // One that an older version wrote otherwise is as good as none.
        Ok(stored.and_then(|json| serde_json::from_str(&json).ok()))
    }

    fn insert(&self, receipt: &Receipt) -> Answer<()> {
        let sql = "INSERT INTO run_record (run, began_ms, receipt) VALUES (?1, ?2, ?3)
                   ON CONFLICT (run) DO UPDATE SET receipt = ?3, ended_ms = NULL";
        let values = params![receipt.run, receipt.began_ms, as_json(receipt)];
        self.state.database().execute(sql, values).at(&self.path())?;
        Ok(())
    }

    fn store(&self, receipt: &Receipt, image_bytes: Option<u64>) -> Answer<()> {
        let sql = "UPDATE run_record SET receipt = ?2, ended_ms = ?3, image_bytes = coalesce(?4, image_bytes)
                   WHERE run = ?1";
        let values = params![receipt.run, as_json(receipt), receipt.ended_ms, image_bytes.map(u64::cast_signed)];
        self.state.database().execute(sql, values).at(&self.path())?;
        Ok(())
    }

    fn records(&self, which: &str) -> Answer<Vec<Record>> {
        let path = self.path();
        let database = self.state.database();
        let mut statement = database.prepare(&format!("{SELECT} {which}")).at(&path)?;
        let records = statement.query_map([], read_record).at(&path)?;
        records.collect::<rusqlite::Result<_>>().at(&path)
    }

    fn path(&self) -> PathBuf {
        self.state.directory().join("state.db")
    }
}

const SELECT: &str = "SELECT number, run, began_ms, image_bytes, images_gone FROM run_record";

fn read_record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        number: row.get(0)?,
        run: row.get(1)?,
        began_ms: row.get(2)?,
        image_bytes: row.get::<_, i64>(3)?.cast_unsigned(),
        images_gone: row.get(4)?,
    })
}

/// Of all collections together; the receipt has each.
fn totals(receipt: &Receipt) -> BTreeMap<String, u64> {
    let total = |count: fn(&Landed) -> u64| receipt.collections.values().map(count).sum::<u64>();
    let counted = [
        ("created", total(|landed| landed.created)),
        ("updated", total(|landed| landed.updated)),
        ("deleted", total(|landed| landed.deleted)),
        ("bytes", total(|landed| landed.bytes)),
    ];
    counted.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

fn as_json(receipt: &Receipt) -> String {
    serde_json::to_string(receipt).expect("a receipt has no map with keys that are not strings")
}
