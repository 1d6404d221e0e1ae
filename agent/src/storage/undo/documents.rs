//! Rows of tables: every row of an identity as it was, under its row id.

use protocol::api::{AgentError, ErrorCode, HeldCause, HeldDocument, UndoRequest, Undone, WriteOutcome, Wrote};
use protocol::collection::Collection;
use rusqlite::params;

use super::{Place, changed_since, count};
use crate::storage::Storage;
use crate::storage::analysis::analyse;
use crate::storage::asset_rows::AssetView;
use crate::storage::database::{Locked, Open};
use crate::storage::edit_locks::EditLocks;
use crate::storage::fault::{Answer, At};
use crate::storage::images::{Image, Kept, Rows, Standing, Step};
use crate::storage::index::{Known, Mark};
use crate::storage::table::{Table, with_table};

/// What one transaction did to rows.
#[derive(Default)]
struct Work {
    locks: EditLocks,
    images: Vec<Image>,
    kept: Kept,
    put: Rows,
    gone: Vec<i64>,
}

impl Storage {
    /// What is there of these identities.
    pub(super) fn documents_now(&self, collection: &Collection, steps: &[Step]) -> Answer<Vec<Rows>> {
        let table = self.table(collection)?;
        let database = self.database(&table.file)?;
        let assets = self.assets_for(collection)?;
        self.catch_up(&database, &table, assets.as_ref())?;
        self.locked(&database)?.transaction("BEGIN", |locked| {
            let Some(open) = with_table(locked, &table)? else { return Ok(vec![Rows::new(); steps.len()]) };
            self.catch_up_within(open, &table, assets.as_ref())?;
            steps.iter().map(|step| self.rows_now(open, &table, step, assets.as_ref())).collect()
        })
    }

    fn rows_now(&self, open: &mut Open, table: &Table, step: &Step, assets: Option<&AssetView<'_>>) -> Answer<Rows> {
        let rows = self.rows_of(open, table, &step.identity, assets)?;
        Ok(rows.into_iter().map(|(row, bytes)| (row.row, bytes)).collect())
    }

    pub(super) fn undo_documents(
        &self,
        request: &UndoRequest,
        collection: &Collection,
        steps: &[Step],
    ) -> Answer<Undone> {
        let table = self.table(collection)?;
        let database = self.database(&table.file)?;
        let assets = self.assets_for(collection)?;
        self.catch_up(&database, &table, assets.as_ref())?;
        let locks = self.edit_locks(collection, request.override_locks)?;
        let permit = self.grants.permit(&request.token)?;
        let mut locked = self.locked_to_write(&database)?;
        let mut work = Work { locks, ..Work::default() };
        let result = locked.transaction("BEGIN IMMEDIATE", |locked| {
            let undone = self.undo_within(locked, &table, request, permit.run(), steps, assets.as_ref(), &mut work)?;
            work.kept = self.images.keep(permit.run(), &request.collection, &work.images, self.now_ms())?;
            self.index.lock().set_whole(table.number, None)?;
            Ok(undone)
        });
        if result.is_err() {
            self.images.did_not_land(&work.kept);
        }
        let noted = match &result {
            Ok(_) => self.note_undone(&table, permit.run(), &work, assets.as_ref()),
            Err(error) => Err(error.clone()),
        };
        if let Some(open) = locked.open() {
            match noted {
                Ok(()) => open.table(&table.name).sums = None,
                // What the index was told has to be looked at.
                Err(_) => drop(open.tables.remove(&table.name)),
            }
        }
        let undone = result?;
        if !work.images.is_empty() {
            permit.wrote(work.images.len() as u64);
            let identities: Vec<&str> = work.images.iter().map(|image| image.identity.as_str()).collect();
            self.log_commit(&request.token, permit.run(), collection, &identities);
        }
        drop(locked);
        drop(permit);
        // A replay does it again: the process may have died in between.
        self.after_write(collection, &[WriteOutcome::Unchanged], *collection == Collection::Assets);
        Ok(undone)
    }

    #[expect(clippy::too_many_arguments, reason = "the pieces of one transaction, all borrowed for its time")]
    fn undo_within(
        &self,
        locked: &mut Locked<'_>,
        table: &Table,
        request: &UndoRequest,
        run: &str,
        steps: &[Step],
        assets: Option<&AssetView<'_>>,
        work: &mut Work,
    ) -> Answer<Undone> {
        let place = Place::Documents(table.collection.clone());
        let mut undone = Undone::default();
        // A fingerprint from before may say that all is known.
        self.is_certain(locked, table, None)?;
        let Some(open) = with_table(locked, table)? else {
            // Whoever took the table away changed everything in it.
            let changed = steps.iter().filter(|step| step.standing(&Rows::new()) != Standing::Same);
            undone.conflicts.extend(changed.map(changed_since));
            return Ok(undone);
        };
        self.catch_up_within(open, table, assets)?;
        for step in steps {
            let now = self.rows_now(open, table, step, assets)?;
            match step.standing(&now) {
                Standing::Same => self.count_same(&mut undone, run, request, step)?,
                Standing::Changed => undone.conflicts.push(changed_since(step)),
                Standing::Left => {
                    if let Some(by) = work.locks.of(&table.collection, &step.identity) {
                        let (identity, message) = (step.identity.clone(), by.clone());
                        undone.conflicts.push(HeldDocument { identity, cause: HeldCause::Locked, message });
                        continue;
                    }
                    count(&mut undone, step, &now, &place);
                    let (gone, put) = put_rows(open, table, &step.before, &now).at(&self.database_path(&table.file))?;
                    work.gone.extend(gone);
                    work.put.extend(put);
                    work.images.push(step.image(now));
                }
            }
        }
        Ok(undone)
    }

    /// Tells the index what is there now, and that no editor made it so.
    fn note_undone(&self, table: &Table, run: &str, work: &Work, assets: Option<&AssetView<'_>>) -> Answer<()> {
        let number = self.index.lock().run(run)?;
        let mut changed = Vec::with_capacity(work.put.len());
        for (row, bytes) in &work.put {
            let mut row = analyse(*row, bytes, table.identity, assets)?;
            let Known::Document { hash, .. } = row.known else {
                let message = format!("row {} was put back and holds no document", row.row);
                return Err(AgentError::new(ErrorCode::Internal, message));
            };
            row.mark = Some(Mark { run: number, wrote: Wrote::Updated, hash });
            changed.push((row, true));
        }
        self.store_page(table, &work.gone, &changed)
    }
}

/// Puts rows back under their ids where `now` is; gives back which are gone, and what is in which row.
pub(crate) fn put_rows(open: &Open, table: &Table, before: &Rows, now: &Rows) -> rusqlite::Result<(Vec<i64>, Rows)> {
    let has = |rows: &Rows, wanted: i64| rows.iter().any(|(row, _)| *row == wanted);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (mut gone, mut put) = (Vec::new(), Rows::new());
    for (row, _) in now.iter().filter(|(row, _)| !has(before, *row)) {
        let sql = format!("DELETE FROM {} WHERE id = ?1", table.quoted());
        open.connection.prepare_cached(&sql)?.execute([row])?;
        gone.push(*row);
    }
    for (row, bytes) in before {
        let mut row = *row;
        if has(now, row) {
            open.connection.prepare_cached(&table.sql.update)?.execute(params![row, text(bytes)])?;
        } else {
            // Row ids are never given twice, so it is free, unless the table was made anew.
            let sql = format!("INSERT OR IGNORE INTO {} (id, document) VALUES (?1, ?2)", table.quoted());
            if open.connection.prepare_cached(&sql)?.execute(params![row, text(bytes)])? == 0 {
                row = open.connection.prepare_cached(&table.sql.insert)?.insert([text(bytes)])?;
            }
        }
        put.push((row, bytes.clone()));
    }
    Ok((gone, put))
}
