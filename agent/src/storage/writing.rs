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
use super::database::{Locked, Open};
use super::editors::Since;
use super::fault::{Answer, At};
use super::following::schema_version;
use super::images::{Image, Kept, Rows};
use super::index::{Embeds, IndexRow, Known, Mark};
use super::mirror::list::Lists;
use super::prepared::{Prepared, Ready};
use super::sums::effective_hash;
use super::table::{Table, TableState, with_table};
use crate::grant::Permit;

/// Index rows to be stored with a transaction, with the hashes that count in the summary.
#[derive(Default)]
struct Changes {
    rows: Vec<IndexRow>,
    /// What the rows hold that are about to be replaced.
    images: Vec<Image>,
    /// What of it was kept for the first time.
    kept: Kept,
    /// Of each document that was written: identity, and what counted before.
    counted: Vec<Counted>,
    written: HashSet<String>,
    /// The version of the file's schema before and after a table was made.
    schema_version: Option<(i64, i64)>,
    /// An asset got another file, or another focal point: its thumbnails show the old one.
    stale_thumbnails: bool,
    /// Paths of files that assets had and have no more.
    left_files: Vec<String>,
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
        // What takes long is done while nobody waits for Cockpit's own lock.
        self.catch_up(&database, &table, assets.as_ref())?;
        let permit = self.grants.permit(&request.token)?;
        let mut locked = self.locked_to_write(&database)?;
        if locked.open().is_none() {
            locked.create()?;
            self.index.lock().set_database(&database.name, locked.id())?;
        }
        let mut changes = Changes::default();
        let result = locked.transaction("BEGIN IMMEDIATE", |locked| {
            let since = self.since(table.number, permit.run(), request.modified)?;
            let outcomes =
                self.write_within(locked, &table, &prepared, (permit.run(), since), assets.as_ref(), &mut changes)?;
            // Before the content that replaces it, and safe on the disk.
            let collection = request.collection.name();
            changes.kept = self.images.keep(permit.run(), &collection, &changes.images, self.now_ms())?;
            Ok(outcomes)
        });
        match result {
            Ok(outcomes) => {
                self.committed(&mut locked, &table, request, &permit, &changes);
                drop(locked);
                drop(permit);
                self.after_write(&request.collection, &outcomes, changes.stale_thumbnails);
                Ok(Written { outcomes })
            }
            Err(error) => {
                self.images.did_not_land(&changes.kept);
                // What the index was told of this write has to be looked at.
                if let Some(open) = locked.open() {
                    open.tables.remove(&table.key);
                }
                Err(error)
            }
        }
    }

    fn write_within(
        &self,
        locked: &mut Locked<'_>,
        table: &Table,
        prepared: &[Prepared<'_>],
        (run, since): (&str, Since),
        assets: Option<&AssetView<'_>>,
        changes: &mut Changes,
    ) -> Answer<Vec<WriteOutcome>> {
        let path = locked.path().to_owned();
        if with_table(locked, table)?.is_none() {
            let Some(open) = locked.open() else {
                return Err(AgentError::new(ErrorCode::Storage, format!("{} vanished", path.display())));
            };
            changes.schema_version = Some(self.create_table(open, table).at(&path)?);
            self.index.lock().forget(table.number)?;
            *open.table(&table.key) =
                TableState { settled: true, followed: true, certain: true, ..TableState::default() };
        }
        // A fingerprint from before may say that all is known.
        self.is_certain(locked, table, None)?;
        let Some(open) = locked.open() else {
            return Err(AgentError::new(ErrorCode::Storage, format!("{} vanished", path.display())));
        };
        self.catch_up_within(open, table, assets)?;
        let identities = prepared.iter().filter_map(Prepared::ready).map(|ready| ready.identity);
        let mut known = self.index.lock().with_identities(table.number, identities)?.into_iter();
        let mut outcomes = Vec::with_capacity(prepared.len());
        for document in prepared {
            outcomes.push(match document {
                Prepared::Held { cause, message } => held(*cause, message.clone()),
                Prepared::Ready(ready) => {
                    let candidates = known.next().unwrap_or_default();
                    self.write_one(open, table, ready, candidates, since, assets, changes)?
                }
            });
        }
        if !changes.left_files.is_empty() {
            Lists::new(&self.state).note_left_files(run, &changes.left_files)?;
        }
        if !changes.rows.is_empty() {
            // Should this process die before it has noted what it committed, it finds out from this.
            self.index.lock().transaction(|lookup| {
                lookup.intend(table.number, since.seen.run, &changes.rows)?;
                lookup.set_whole(table.number, None)
            })?;
        }
        Ok(outcomes)
    }

    /// Word by word as Cockpit does it: the text is kept in the file. The version of the schema before and after.
    pub(crate) fn create_table(&self, open: &Open, table: &Table) -> rusqlite::Result<(i64, i64)> {
        let before = schema_version(open)?;
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {} ( id INTEGER PRIMARY KEY AUTOINCREMENT, document TEXT )",
            table.quoted()
        );
        open.connection.execute_batch(&sql)?;
        Ok((before, schema_version(open)?))
    }

    #[expect(clippy::too_many_arguments, reason = "the pieces of one transaction, all borrowed for its time")]
    fn write_one(
        &self,
        open: &mut Open,
        table: &Table,
        new: &Ready<'_>,
        candidates: Vec<IndexRow>,
        since: Since,
        assets: Option<&AssetView<'_>>,
        changes: &mut Changes,
    ) -> Answer<WriteOutcome> {
        // Twice in one request: the first one counts, as with rows.
        if changes.written.contains(new.identity) {
            return Ok(held(HeldCause::Duplicate, "it is in this request twice".into()));
        }
        let rows = self.rows_among(open, table, new.identity, candidates, assets)?;
        let Some((current, current_bytes)) = rows.first() else {
            if new.expect.is_some() {
                return Ok(WriteOutcome::Conflict(None));
            }
            let row = self.insert(open, table, &new.bytes)?;
            changes.keep(new.identity, Rows::new(), false, &new.bytes);
            changes.add(
                None,
                new.index_row(row, &new.bytes, Mark { run: since.seen.run, wrote: Wrote::Created, hash: new.hash }),
            );
            return Ok(WriteOutcome::Created);
        };
        let Known::Document { hash: current_hash, embeds: current_embeds, .. } = current.known else {
            return Err(AgentError::new(
                ErrorCode::Internal,
                format!("row {} has an identity and no document", current.row),
            ));
        };
        if current_hash == new.hash {
            return Ok(WriteOutcome::Unchanged);
        }
        let is_an_editors = since.was_saved_by_others(current_bytes, current_hash, current);
        if new.expect != Some(current_hash) || is_an_editors {
            return Ok(WriteOutcome::Conflict(Some(current_hash)));
        }
        if let Some(by) = &new.locked {
            return Ok(held(HeldCause::Locked, by.clone()));
        }
        if table.collection == Collection::Assets {
            changes.stale_thumbnails |= shows_something_else(current_bytes, &new.bytes);
            changes.left_files.extend(left_file(current_bytes, &new.bytes));
        }
        let bytes = new.bytes_keeping_id_of(current_bytes, table)?;
        // A run that writes a document twice created it nonetheless.
        let wrote = current.mark.filter(|mark| mark.run == since.seen.run).map_or(Wrote::Updated, |mark| mark.wrote);
        let mark = Mark { run: since.seen.run, wrote, hash: new.hash };
        let is_own = current.mark.is_some_and(|mark| mark.run == since.seen.run && mark.hash == current_hash);
        let before = rows.iter().map(|(row, bytes)| (row.row, bytes.clone())).collect();
        changes.keep(new.identity, before, is_own, &bytes);
        for (place, (row, _)) in rows.iter().enumerate() {
            self.update(open, table, row.row, &bytes)?;
            let index_row = new.index_row(row.row, &bytes, mark);
            if place == 0 {
                changes.add(Some((current.size, current_hash, current_embeds)), index_row);
            } else {
                changes.rows.push(index_row);
            }
        }
        Ok(WriteOutcome::Updated)
    }

    fn insert(&self, open: &Open, table: &Table, bytes: &[u8]) -> Answer<i64> {
        let text = as_text(bytes)?;
        let insert = open.connection.prepare_cached(&table.sql.insert);
        insert.and_then(|mut insert| insert.insert([text])).at(&self.database_path(&table.file))
    }

    fn update(&self, open: &Open, table: &Table, row: i64, bytes: &[u8]) -> Answer<()> {
        let text = as_text(bytes)?;
        let update = open.connection.prepare_cached(&table.sql.update);
        update.and_then(|mut update| update.execute((row, text))).at(&self.database_path(&table.file))?;
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
    ) {
        permit.wrote(changes.counted.len() as u64);
        if changes.counted.is_empty() {
            return;
        }
        let noted = self.note_written(table, changes);
        if let Some(open) = locked.open() {
            if noted.is_err() {
                open.tables.remove(&table.key);
            }
            open.tables.retain(|key, _| !table.shares(key));
            let state = open.table(&table.key);
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
        super::log_failure("what was written has to be read again", noted);
    }

    fn note_written(&self, table: &Table, changes: &Changes) -> Answer<()> {
        self.index.lock().transaction(|lookup| {
            for row in &changes.rows {
                lookup.put(table.number, row)?;
                lookup.raise_last_row(table.number, row.row)?;
            }
            if let Some((before, after)) = changes.schema_version {
                lookup.replace_schema_version(&table.file, before, after)?;
                lookup.set_schema_version(table.number, after)?;
            }
            lookup.done(table.number)
        })
    }
}

impl Changes {
    fn keep(&mut self, identity: &str, before: Rows, is_own: bool, after: &[u8]) {
        let (left, size) = (Some(raw_hash(after)), size(after));
        self.images.push(Image { identity: identity.into(), before, is_own, left, size });
    }

    fn add(&mut self, before: Option<(u32, DocHash, Option<Embeds>)>, after: IndexRow) {
        self.rows.push(after.clone());
        self.written.extend(after.identity().map(str::to_owned));
        self.counted.push(Counted { before, after });
    }
}

impl Counted {
    fn correct(&self, sums: &mut super::sums::Sums) {
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
            look: 0,
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

/// The file that an asset leaves behind when it gets another one.
fn left_file(before: &[u8], after: &[u8]) -> Option<String> {
    let (before, after) = (Document::parse(before).ok()?, Document::parse(after).ok()?);
    let path = before.text("path")?;
    (after.text("path") != Some(path)).then(|| path.to_owned())
}

/// Cockpit stores text, not blobs.
fn as_text(bytes: &[u8]) -> Answer<&str> {
    std::str::from_utf8(bytes).map_err(|error| AgentError::new(ErrorCode::Internal, format!("not UTF-8: {error}")))
}

pub(crate) fn held(cause: HeldCause, message: String) -> WriteOutcome {
    WriteOutcome::Held { cause, message }
}
