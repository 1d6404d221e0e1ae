//! Deletes documents that are on a run's list, a few in each transaction, under the grant (I4, I6).

use std::collections::{HashMap, HashSet};

use protocol::api::{DeleteOutcome, DeleteRequest, Deleted, HeldCause, PAGE_DOCUMENTS};
use protocol::canonical::{DocHash, Document};
use protocol::collection::Collection;
use protocol::mirror::look_of;

use super::below::Below;
use super::check_decided;
use super::list::{Candidate, Lists};
use super::mentions::{Searched, Wanted};
use crate::storage::asset_rows::AssetView;
use crate::storage::database::{Database, Locked, Open};
use crate::storage::edit_locks::EditLocks;
use crate::storage::editors::Since;
use crate::storage::fault::{Answer, At, bad_request, busy, forbidden};
use crate::storage::images::{Image, Kept};
use crate::storage::index::{IndexRow, Known};
use crate::storage::table::{Table, with_table};
use crate::storage::{Storage, log_failure};

/// Documents that one transaction deletes: Cockpit waits for it.
const AT_ONCE: usize = 100;

/// Everything that one request is about.
struct Deleting<'r> {
    request: &'r DeleteRequest,
    run: String,
    table: Table,
    list: HashMap<String, Candidate>,
    /// Of assets: where they are mentioned, and the paths of their files.
    mentioned: HashMap<String, String>,
    files: HashMap<String, String>,
    searched: Searched,
    below: Below,
    locks: EditLocks,
    /// What is not there any more.
    gone: HashSet<String>,
    outcomes: HashMap<String, DeleteOutcome>,
    /// Of the transaction at work, should it fail.
    kept: Kept,
}

/// A document with the rows that hold it.
struct Doomed<'d> {
    identity: &'d str,
    rows: Vec<(IndexRow, Vec<u8>)>,
}

impl Storage {
    pub fn delete(&self, request: &DeleteRequest) -> Answer<Deleted> {
        self.allow_writing()?;
        self.allow_collection(&request.collection)?;
        if !self.settings.delete {
            return Err(forbidden("this agent's own config lets nobody delete"));
        }
        if request.documents.len() > PAGE_DOCUMENTS {
            return Err(bad_request(format!("more than {PAGE_DOCUMENTS} documents at a time")));
        }
        let run = self.grants.permit(&request.token)?.run().to_owned();
        let lists = Lists::new(&self.state);
        check_decided(&lists, &run)?;
        let identities: Vec<&str> = request.documents.iter().map(|(identity, _)| identity.as_str()).collect();
        let list = lists.find(&run, &request.collection, identities.iter().copied())?;
        let is_on_it = |(identity, hash): &&(String, DocHash)| list.get(identity).is_some_and(|on| on.hash == *hash);
        if let Some((identity, _)) = request.documents.iter().find(|document| !is_on_it(document)) {
            return Err(forbidden(format!("{identity} is not on the list of what this run may delete")));
        }
        let table = self.table(&request.collection)?;
        let database = self.database(&table.file)?;
        let below = self.below(&database, &table, &identities)?;
        let locks = self.edit_locks(&request.collection, request.override_locks)?;
        let mut deleting = Deleting {
            request,
            run,
            table,
            list,
            mentioned: HashMap::new(),
            files: HashMap::new(),
            searched: Searched::default(),
            below,
            locks,
            gone: HashSet::new(),
            outcomes: HashMap::new(),
            kept: Kept::default(),
        };
        if request.collection == Collection::Assets {
            self.look_for_mentions(&mut deleting)?;
        }
        for identities in deleting.below.ordered(&identities).chunks(AT_ONCE) {
            self.delete_some(&database, &mut deleting, identities)?;
        }
        if request.collection == Collection::Assets {
            self.delete_files(&deleting)?;
        }
        let outcome = |identity: &&str| deleting.outcomes.get(*identity).cloned().unwrap_or(DeleteOutcome::Conflict);
        Ok(Deleted { outcomes: identities.iter().map(outcome).collect() })
    }

    /// Before any lock is taken: it takes a while.
    fn look_for_mentions(&self, deleting: &mut Deleting<'_>) -> Answer<()> {
        let assets = self.asset_view()?;
        let mut wanted = Vec::with_capacity(deleting.list.len());
        for (identity, candidate) in &deleting.list {
            let row = assets.row(identity)?;
            let document = row.as_deref().and_then(|bytes| Document::parse(bytes).ok());
            let path = match document {
                Some(document) => document.text("path").map(str::to_owned),
                // An earlier execution has deleted the row, and perhaps not the file.
                None => candidate.file.clone(),
            };
            if let Some(path) = &path {
                deleting.files.insert(identity.clone(), path.clone());
            }
            wanted.push(Wanted { asset: Some(identity.clone()), path });
        }
        let mentions = self.mentions(&wanted)?;
        deleting.searched = mentions.searched;
        for (wanted, mention) in wanted.into_iter().zip(mentions.found) {
            deleting.mentioned.extend(wanted.asset.zip(mention));
        }
        Ok(())
    }

    fn delete_some(&self, database: &Database, deleting: &mut Deleting<'_>, identities: &[&str]) -> Answer<()> {
        let permit = self.grants.permit(&deleting.request.token)?;
        let assets = self.assets_for(&deleting.table.collection)?;
        let mut locked = self.locked_to_write(database)?;
        deleting.kept = Kept::default();
        let result = locked
            .transaction("BEGIN IMMEDIATE", |locked| self.delete_within(locked, deleting, identities, assets.as_ref()));
        let doomed = match result {
            Ok(doomed) => doomed,
            Err(error) => {
                self.images.did_not_land(&std::mem::take(&mut deleting.kept));
                if let Some(open) = locked.open() {
                    open.tables.remove(&deleting.table.name);
                }
                return Err(error);
            }
        };
        if doomed.is_empty() {
            return Ok(());
        }
        permit.wrote(doomed.len() as u64);
        let number = deleting.table.number;
        let noted = self.index.lock().transaction(|lookup| {
            let rows = doomed.iter().flat_map(|doomed| &doomed.rows);
            rows.into_iter().try_for_each(|(row, _)| lookup.remove(number, row.row))
        });
        if let Some(open) = locked.open() {
            open.table(&deleting.table.name).sums = None;
            if noted.is_err() {
                open.tables.remove(&deleting.table.name);
            }
        }
        let names: Vec<&str> = doomed.iter().map(|doomed| doomed.identity).collect();
        self.log_commit(&deleting.request.token, permit.run(), &deleting.table.collection, &names);
        log_failure("what was deleted has to be looked for again", noted);
        Ok(())
    }

    fn delete_within<'d>(
        &self,
        locked: &mut Locked<'_>,
        deleting: &mut Deleting<'_>,
        identities: &[&'d str],
        assets: Option<&AssetView<'_>>,
    ) -> Answer<Vec<Doomed<'d>>> {
        if deleting.below.generation.is_some_and(|generation| generation != locked.generation()) {
            return Err(busy("somebody wrote while it was looked at what lies below what".into()));
        }
        let table = deleting.table.clone();
        let since = self.since(table.number, &look_of(&deleting.run), deleting.request.modified)?;
        // A fingerprint from before may say that all is known.
        self.is_certain(locked, &table, None)?;
        let mut open = with_table(locked, &table)?;
        let mut doomed: Vec<Doomed<'d>> = Vec::new();
        for identity in identities {
            let rows = match &mut open {
                Some(open) => {
                    self.catch_up_within(open, &table, assets)?;
                    self.rows_of(open, &table, identity, assets)?
                }
                None => Vec::new(),
            };
            let outcome = deleting.outcome_of(identity, &rows, since);
            if matches!(outcome, DeleteOutcome::Deleted | DeleteOutcome::Gone) {
                deleting.gone.insert((*identity).to_owned());
            }
            if outcome == DeleteOutcome::Deleted && !rows.is_empty() {
                doomed.push(Doomed { identity, rows });
            }
            deleting.outcomes.insert((*identity).to_owned(), outcome);
        }
        if let (Some(open), false) = (open, doomed.is_empty()) {
            // Should this process die before it answers, it knows from this whose work it was.
            let begun: Vec<_> =
                doomed.iter().map(|doomed| (doomed.identity, deleting.files.get(doomed.identity).cloned())).collect();
            Lists::new(&self.state).begin(&deleting.run, &table.collection, &begun)?;
            let images: Vec<Image> = doomed.iter().map(Doomed::image).collect();
            deleting.kept = self.images.keep(&deleting.run, &table.collection.name(), &images, self.now_ms())?;
            self.index.lock().set_whole(table.number, None)?;
            self.remove_rows(open, &table, &doomed)?;
        }
        Ok(doomed)
    }

    fn remove_rows(&self, open: &Open, table: &Table, doomed: &[Doomed<'_>]) -> Answer<()> {
        let path = self.database_path(&table.file);
        let sql = format!("DELETE FROM {} WHERE id = ?1", table.quoted());
        let mut statement = open.connection.prepare_cached(&sql).at(&path)?;
        for (row, _) in doomed.iter().flat_map(|doomed| &doomed.rows) {
            statement.execute([row.row]).at(&path)?;
        }
        Ok(())
    }

    /// After their rows: what is left behind when this process dies in between is removed by the next execution.
    fn delete_files(&self, deleting: &Deleting<'_>) -> Answer<()> {
        let permit = self.grants.permit(&deleting.request.token)?;
        let is_deleted = |identity: &String| {
            deleting.outcomes.get(identity) == Some(&DeleteOutcome::Deleted)
                && !deleting.mentioned.contains_key(identity)
        };
        let deleted = deleting.files.iter().filter(|(identity, _)| is_deleted(identity));
        let mut paths: Vec<String> = deleted.map(|(_, path)| path.clone()).collect();
        if !self.nobody_wrote_since(&deleting.searched)? {
            // Somebody may have put one into a document just now.
            let wanted: Vec<Wanted> = paths.iter().map(|path| Wanted::file(path.clone())).collect();
            let mut found = self.mentions(&wanted)?.found.into_iter();
            paths.retain(|_| found.next().flatten().is_none());
        }
        self.remove_uploads(permit.run(), &paths)?;
        Ok(())
    }
}

impl Doomed<'_> {
    fn image(&self) -> Image {
        let before = self.rows.iter().map(|(row, bytes)| (row.row, bytes.clone())).collect();
        Image { identity: self.identity.to_owned(), before, is_own: false, left: None, size: 0 }
    }
}

impl Deleting<'_> {
    /// What becomes of a document; [`DeleteOutcome::Deleted`] if it may go.
    fn outcome_of(&self, identity: &str, rows: &[(IndexRow, Vec<u8>)], since: Since) -> DeleteOutcome {
        let Some(candidate) = self.list.get(identity) else { return DeleteOutcome::Conflict };
        let Some((current, bytes)) = rows.first() else {
            return if candidate.is_begun { DeleteOutcome::Deleted } else { DeleteOutcome::Gone };
        };
        if rows.len() > 1 {
            let message = format!("{} rows have its id: delete all but one of them", rows.len());
            return DeleteOutcome::Held { cause: HeldCause::Duplicate, message };
        }
        let Known::Document { hash, .. } = current.known else { return DeleteOutcome::Conflict };
        if hash != candidate.hash || since.was_saved_by_others(bytes, hash, current) {
            return DeleteOutcome::Conflict;
        }
        if let Some(who) = self.locks.of(&self.table.collection, identity) {
            return DeleteOutcome::Held { cause: HeldCause::Locked, message: who.clone() };
        }
        if let Some(place) = self.mentioned.get(identity) {
            let message = format!("{place} on the target mentions it");
            return DeleteOutcome::Held { cause: HeldCause::InUse, message };
        }
        match self.below.of(identity, &self.gone) {
            Some(child) => DeleteOutcome::NotEmpty(format!("{child} lies below it and stays on the target")),
            None => DeleteOutcome::Deleted,
        }
    }
}
