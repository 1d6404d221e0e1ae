//! Writes documents into tables: one transaction under the grant (I4, I5).
//!
//! Everything that takes time is done before a lock is taken (see `prepared.rs`); within the transaction rows are
//! read, compared with what the run saw, and written.

use std::collections::HashSet;

use protocol::api::{AgentError, ErrorCode, HeldCause, WriteOutcome, WriteRequest, Written, Wrote};
use protocol::canonical::{DocHash, Document};
use protocol::collection::Collection;

use super::Storage;
use super::analysis::{raw_hash, size};
use super::asset_rows::AssetView;
use super::database::{End, Locked, Open};
use super::editors::Since;
use super::fault::{Answer, At};
use super::index::{Embeds, IndexRow, Known, Mark};
use super::prepared::{Prepared, Ready};
use super::table::{Table, effective_hash, with_table};
use crate::grant::Permit;

/// So often a write makes sure of what is not there without holding Cockpit's lock; then it does it holding it.
const ATTEMPTS: usize = 3;

/// What a transaction comes to.
enum Attempt {
    Done(Vec<WriteOutcome>),
    /// Somebody else wrote meanwhile, and a document is not where the index says: is it anywhere?
    Uncertain,
}

/// Index rows to be stored with a transaction, with the hashes that count in the summary.
#[derive(Default)]
struct Changes {
    rows: Vec<IndexRow>,
    /// Of each document that was written: identity, and what counted before.
    counted: Vec<Counted>,
    written: HashSet<String>,
    /// An asset got another file, or another focal point: its thumbnails show the old one.
    stale_thumbnails: bool,
}

struct Counted {
    before: Option<(u32, DocHash, Option<Embeds>)>,
    after: IndexRow,
}

impl Storage {
    pub fn write(&self, request: &WriteRequest) -> Answer<Written> {
        self.allow_writing()?;
        self.allow_collection(&request.collection)?;
        // Asked again when it counts; this one spares the work.
        drop(self.grants.permit(&request.token)?);
        if request.collection == Collection::Models {
            return self.write_models(request);
        }
        let table = self.table(&request.collection)?;
        let database = self.database(&table.file)?;
        let assets = self.assets_for(&request.collection)?;
        let prepared = self.prepare(request, &table, assets.as_ref())?;
        for attempt in 0..=ATTEMPTS {
            self.catch_up(&database, &table, assets.as_ref())?;
            if self.lacks_any(&table, &prepared)? {
                self.make_certain(&database, &table, assets.as_ref())?;
            }
            let permit = self.grants.permit(&request.token)?;
            let mut locked = self.locked_to_write(&database)?;
            if locked.open().is_none() {
                locked.create()?;
                self.index.lock().set_database(&database.name, locked.id())?;
            }
            let is_last = attempt == ATTEMPTS;
            let mut changes = Changes::default();
            let result = locked.transaction("BEGIN IMMEDIATE", |locked| {
                self.write_within(
                    locked,
                    &table,
                    (&prepared, request.modified),
                    &permit,
                    assets.as_ref(),
                    is_last,
                    &mut changes,
                )
            });
            match result {
                Ok(Attempt::Done(outcomes)) => {
                    self.committed(&mut locked, &table, request, &permit, &changes)?;
                    drop(locked);
                    drop(permit);
                    self.after_write(&request.collection, &outcomes, changes.stale_thumbnails);
                    return Ok(Written { outcomes });
                }
                Ok(Attempt::Uncertain) => {}
                Err(error) => {
                    // The index may speak of rows that were rolled back.
                    if let Some(open) = locked.open() {
                        open.tables.remove(&table.name);
                    }
                    return Err(error);
                }
            }
        }
        Err(AgentError::new(ErrorCode::Internal, "the last attempt looks at the whole table and cannot be uncertain"))
    }

    /// Whether the index does not know all of the documents.
    fn lacks_any(&self, table: &Table, prepared: &[Prepared<'_>]) -> Answer<bool> {
        let lookup = self.index.lock();
        for document in prepared.iter().filter_map(Prepared::ready) {
            if lookup.winner(table.number, document.identity)?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    #[expect(clippy::too_many_arguments, reason = "the pieces of one transaction, all borrowed for its time")]
    fn write_within(
        &self,
        locked: &mut Locked<'_>,
        table: &Table,
        (prepared, modified): (&[Prepared<'_>], Option<i64>),
        permit: &Permit<'_>,
        assets: Option<&AssetView<'_>>,
        is_last_attempt: bool,
        changes: &mut Changes,
    ) -> Answer<End<Attempt>> {
        let path = locked.path().to_owned();
        if with_table(locked, table)?.is_none() {
            let Some(open) = locked.open() else {
                return Err(AgentError::new(ErrorCode::Storage, format!("{} vanished", path.display())));
            };
            // Word by word as Cockpit does it: the text is kept in the file.
            let sql = format!(
                "CREATE TABLE IF NOT EXISTS {} ( id INTEGER PRIMARY KEY AUTOINCREMENT, document TEXT )",
                table.quoted()
            );
            open.connection.execute_batch(&sql).at(&path)?;
            self.index.lock().forget(table.number)?;
            open.table(&table.name).certain = true;
        }
        // A fingerprint from before may say that all is known.
        self.is_certain(locked, table, None)?;
        let Some(open) = locked.open() else {
            return Err(AgentError::new(ErrorCode::Storage, format!("{} vanished", path.display())));
        };
        self.catch_up_within(open, table, assets)?;
        if is_last_attempt && !open.table(&table.name).certain {
            self.read_whole_within(open, table, assets)?;
        }
        let since = self.since(self.index.lock().run(permit.run())?, modified);
        let mut outcomes = Vec::with_capacity(prepared.len());
        for document in prepared {
            let outcome = match document {
                Prepared::Held { cause, message } => held(*cause, message.clone()),
                Prepared::Ready(ready) => match self.write_one(open, table, ready, since, assets, changes)? {
                    Some(outcome) => outcome,
                    None => return Ok(End::Rollback(Attempt::Uncertain)),
                },
            };
            outcomes.push(outcome);
        }
        if changes.rows.is_empty() {
            return Ok(End::Commit(Attempt::Done(outcomes)));
        }
        // Before the commit: should this process die between the two, it finds what it wrote marked as written.
        self.index.lock().transaction(|lookup| {
            for row in &changes.rows {
                lookup.put(table.number, row)?;
                lookup.raise_last_row(table.number, row.row)?;
            }
            lookup.set_whole(table.number, None)
        })?;
        Ok(End::Commit(Attempt::Done(outcomes)))
    }

    fn read_whole_within(&self, open: &mut Open, table: &Table, assets: Option<&AssetView<'_>>) -> Answer<()> {
        let mut from = 0;
        loop {
            let scanned = self.scan_page(open, table, (from, i64::MAX), assets)?;
            if scanned.is_last {
                break;
            }
            from = scanned.covered_to + 1;
        }
        let state = open.table(&table.name);
        state.certain = true;
        state.assets = assets.map_or(0, AssetView::state);
        Ok(())
    }

    /// None when the document is not where the index says and might be elsewhere.
    fn write_one(
        &self,
        open: &mut Open,
        table: &Table,
        new: &Ready<'_>,
        since: Since,
        assets: Option<&AssetView<'_>>,
        changes: &mut Changes,
    ) -> Answer<Option<WriteOutcome>> {
        // Twice in one request: the first one counts, as with rows.
        if changes.written.contains(new.identity) {
            return Ok(Some(held(HeldCause::Duplicate, "it is in this request twice".into())));
        }
        let rows = self.rows_of(open, table, new.identity, assets)?;
        let Some((current, current_bytes)) = rows.first() else {
            if !open.table(&table.name).certain {
                return Ok(None);
            }
            if new.expect.is_some() {
                return Ok(Some(WriteOutcome::Conflict(None)));
            }
            let row = self.insert(open, table, &new.bytes)?;
            changes.add(
                None,
                new.index_row(row, &new.bytes, Mark { run: since.run, wrote: Wrote::Created, hash: new.hash }),
            );
            return Ok(Some(WriteOutcome::Created));
        };
        let Known::Document { hash: current_hash, embeds: current_embeds, .. } = current.known else {
            return Ok(None);
        };
        if current_hash == new.hash {
            return Ok(Some(WriteOutcome::Unchanged));
        }
        let is_an_editors = since.was_saved_by_others(current_bytes, current_hash, current.mark);
        if new.expect != Some(current_hash) || is_an_editors {
            return Ok(Some(WriteOutcome::Conflict(Some(current_hash))));
        }
        if table.collection == Collection::Assets {
            changes.stale_thumbnails |= shows_something_else(current_bytes, &new.bytes);
        }
        let bytes = new.bytes_keeping_id_of(current_bytes, table)?;
        // A run that writes a document twice created it nonetheless.
        let wrote = current.mark.filter(|mark| mark.run == since.run).map_or(Wrote::Updated, |mark| mark.wrote);
        let mark = Mark { run: since.run, wrote, hash: new.hash };
        for (place, (row, _)) in rows.iter().enumerate() {
            self.update(open, table, row.row, &bytes)?;
            let index_row = new.index_row(row.row, &bytes, mark);
            if place == 0 {
                changes.add(Some((current.size, current_hash, current_embeds)), index_row);
            } else {
                changes.rows.push(index_row);
            }
        }
        Ok(Some(WriteOutcome::Updated))
    }

    fn insert(&self, open: &Open, table: &Table, bytes: &[u8]) -> Answer<i64> {
        let sql = format!("INSERT INTO {} (document) VALUES (?1)", table.quoted());
        let text = as_text(bytes)?;
        let path = self.database_path(&table.file);
        open.connection.prepare_cached(&sql).and_then(|mut insert| insert.insert([text])).at(&path)
    }

    fn update(&self, open: &Open, table: &Table, row: i64, bytes: &[u8]) -> Answer<()> {
        let sql = format!("UPDATE {} SET document = ?2 WHERE id = ?1", table.quoted());
        let text = as_text(bytes)?;
        let path = self.database_path(&table.file);
        open.connection.prepare_cached(&sql).and_then(|mut update| update.execute((row, text))).at(&path)?;
        Ok(())
    }

    /// Keeps the books after a commit; the grant is still held.
    fn committed(
        &self,
        locked: &mut Locked<'_>,
        table: &Table,
        request: &WriteRequest,
        permit: &Permit<'_>,
        changes: &Changes,
    ) -> Answer<()> {
        permit.wrote(changes.counted.len() as u64);
        if changes.counted.is_empty() {
            return Ok(());
        }
        if let Some(open) = locked.open() {
            let state = open.table(&table.name);
            let assets = state.assets;
            if let Some(sums) = state.sums.as_mut() {
                for counted in &changes.counted {
                    counted.correct(sums);
                }
            }
            // Copies of assets that were compared with another state of the assets have to be compared anew.
            let compared = |row: &IndexRow| match &row.known {
                Known::Document { embeds: Some(embeds), .. } => embeds.assets == assets,
                _ => true,
            };
            if !changes.counted.iter().all(|counted| compared(&counted.after)) {
                state.assets = 0;
                state.sums = None;
            }
        }
        let identities = changes.counted.iter().filter_map(|counted| counted.after.identity());
        self.log_commit(&request.token, permit.run(), &table.collection, &identities.collect::<Vec<_>>());
        Ok(())
    }
}

impl Changes {
    fn add(&mut self, before: Option<(u32, DocHash, Option<Embeds>)>, after: IndexRow) {
        self.rows.push(after.clone());
        self.written.extend(after.identity().map(str::to_owned));
        self.counted.push(Counted { before, after });
    }
}

impl Counted {
    fn correct(&self, sums: &mut super::table::Sums) {
        let Known::Document { identity, hash, embeds } = &self.after.known else { return };
        if let Some((size, hash, embeds)) = self.before {
            sums.summary.remove(identity, effective_hash(hash, embeds));
            sums.bytes -= u64::from(size);
            sums.stale -= u64::from(embeds.is_some_and(|embeds| embeds.refreshed.is_some()));
        }
        sums.summary.add(identity, effective_hash(*hash, *embeds));
        sums.bytes += u64::from(self.after.size);
        sums.stale += u64::from(embeds.is_some_and(|embeds| embeds.refreshed.is_some()));
    }
}

impl Ready<'_> {
    fn index_row(&self, row: i64, bytes: &[u8], mark: Mark) -> IndexRow {
        IndexRow {
            row,
            raw: raw_hash(bytes),
            size: size(bytes),
            known: Known::Document { identity: self.identity.into(), hash: self.hash, embeds: self.embeds },
            mark: Some(mark),
        }
    }

    /// What is recognised by something else keeps the `_id` it has here.
    fn bytes_keeping_id_of<'b>(&'b self, current: &[u8], table: &Table) -> Answer<std::borrow::Cow<'b, [u8]>> {
        if table.identity == protocol::canonical::Identity::Id {
            return Ok((&self.bytes[..]).into());
        }
        let (Ok(current), Ok(new)) = (Document::parse(current), Document::parse(&self.bytes)) else {
            return Ok((&self.bytes[..]).into());
        };
        Ok(match current.id() {
            Some(id) if new.id() != Some(id) => new.with_id(id).into(),
            _ => (&self.bytes[..]).into(),
        })
    }
}

/// Whether the thumbnails of an asset would look different.
fn shows_something_else(before: &[u8], after: &[u8]) -> bool {
    let (Ok(before), Ok(after)) = (Document::parse(before), Document::parse(after)) else { return true };
    let focal_point = |document: &Document<'_>| {
        let point = document.get("fp").and_then(protocol::canonical::Value::as_object)?;
        Some(["x", "y"].map(|axis| point.get(axis).map(|value| format!("{value:?}"))))
    };
    before.text("path") != after.text("path")
        || before.text("_hash") != after.text("_hash")
        || focal_point(&before) != focal_point(&after)
}

/// Cockpit stores text, not blobs.
fn as_text(bytes: &[u8]) -> Answer<&str> {
    std::str::from_utf8(bytes).map_err(|error| AgentError::new(ErrorCode::Internal, format!("not UTF-8: {error}")))
}

pub(crate) fn held(cause: HeldCause, message: String) -> WriteOutcome {
    WriteOutcome::Held { cause, message }
}
