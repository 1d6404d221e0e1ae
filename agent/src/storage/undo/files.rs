//! Files of assets: back to their places. One that the run created goes only when no document mentions it.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use protocol::api::{ASSET_FILES, UndoRequest, Undone};
use protocol::canonical::Document;
use protocol::collection::Collection;

use super::{Place, changed_since, count, held_back, puts_back, vanished};
use crate::storage::Storage;
use crate::storage::database::Open;
use crate::storage::fault::{Answer, At, forbidden};
use crate::storage::files::read_sha256;
use crate::storage::images::{Rows, Standing, Step, link_or_copy};
use crate::storage::model_store::fsync_directory;
use crate::storage::owner;
use crate::storage::table::{Table, with_table};

impl Storage {
    pub(super) fn file_now(&self, identity: &str) -> Answer<Rows> {
        let hashes = self.hashes_of(&self.place_of(identity)?)?;
        Ok(hashes.into_iter().map(|hashes| (hashes.size.cast_signed(), hashes.sha256.into_bytes())).collect())
    }

    fn place_of(&self, identity: &str) -> Answer<PathBuf> {
        self.upload_path(identity).map_err(|(_, message)| forbidden(message))
    }

    pub(super) fn undo_files(&self, request: &UndoRequest, steps: &[Step]) -> Answer<Undone> {
        let mut undone = Undone::default();
        let mentioned = if puts_back(request) { HashSet::new() } else { self.mentioned(steps)? };
        let permit = self.grants.permit(&request.token)?;
        let (mut images, mut files, mut left) = (Vec::new(), Vec::new(), Vec::new());
        for step in steps {
            let now = self.file_now(&step.identity)?;
            match step.standing(&now) {
                Standing::Same => self.count_same(&mut undone, permit.run(), request, step)?,
                Standing::Changed => undone.conflicts.push(changed_since(step)),
                Standing::Left if mentioned.contains(&step.identity) => {
                    let message = "the run created it, and a document mentions it: it stays".to_owned();
                    undone.conflicts.push(held_back(step, message));
                }
                Standing::Left => {
                    count(&mut undone, step, &now, &Place::Files);
                    let place = self.place_of(&step.identity)?;
                    files.extend(
                        now.iter().map(|(size, sha256)| (place.clone(), name_of(sha256), size.cast_unsigned())),
                    );
                    images.push(step.image(now));
                    left.push((step, place));
                }
            }
        }
        self.images.keep_files(permit.run(), &files, self.now_ms())?;
        self.images.keep(permit.run(), ASSET_FILES, &images, self.now_ms())?;
        for (step, place) in &left {
            match step.before.first() {
                Some((_, sha256)) => self.put_file_back(request, &name_of(sha256), place)?,
                None => fs::remove_file(place).at(place)?,
            }
            if let Some(directory) = place.parent() {
                fsync_directory(directory).at(directory)?;
            }
        }
        permit.wrote(left.len() as u64);
        drop(permit);
        if puts_back(request) && !left.is_empty() {
            super::super::log_failure("thumbnails may show other files", self.drop_thumbnails());
        }
        Ok(undone)
    }

    /// With its owner and mode where it was kept as a link.
    fn put_file_back(&self, request: &UndoRequest, sha256: &str, place: &PathBuf) -> Answer<()> {
        let kept = self.images.kept_file(&request.run, sha256)?;
        let mut file = fs::File::open(&kept).at(&kept)?;
        if read_sha256(&mut file).at(&kept)?.1 != sha256 {
            return Err(vanished(&format!("what was kept of the file {}", place.display())));
        }
        let directory = place.parent().unwrap_or(std::path::Path::new("/"));
        owner::make_directories(directory).at(directory)?;
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let temporary = directory.join(format!(".{name}.cockpit-sync"));
        // What an attempt left that died here.
        let _not_there = fs::remove_file(&temporary);
        link_or_copy(&kept, &temporary).and_then(|()| fs::rename(&temporary, place)).at(place)
    }

    /// Which of these files are mentioned by an asset, or by a copy of one in a document.
    fn mentioned(&self, steps: &[Step]) -> Answer<HashSet<String>> {
        let wanted: HashSet<&str> = steps.iter().map(|step| step.identity.as_str()).collect();
        let mut mentioned = HashSet::new();
        let mut collections = vec![Collection::Assets, Collection::Singletons];
        collections.extend(self.model_names()?.unwrap_or_default().into_iter().map(Collection::Items));
        // Those of add-ons, as far as they were ever looked at.
        let known =
            self.index.lock().collections()?.into_iter().filter_map(|(_, name)| Collection::try_from(name).ok());
        collections.extend(known.filter(|collection| matches!(collection, Collection::Custom(_))));
        for collection in collections {
            let table = self.table(&collection)?;
            let database = self.database(&table.file)?;
            let assets = self.assets_for(&collection)?;
            self.make_certain(&database, &table, assets.as_ref())?;
            let mut rows = Vec::new();
            self.index.lock().each_document(table.number, |row| {
                if row.has_copies || collection == Collection::Assets {
                    rows.push(row.row);
                }
            })?;
            for rows in rows.chunks(500) {
                self.locked(&database)?.transaction("BEGIN", |locked| {
                    let Some(open) = with_table(locked, &table)? else { return Ok(()) };
                    rows.iter().try_for_each(|row| self.add_mentions(open, &table, *row, &wanted, &mut mentioned))
                })?;
            }
        }
        Ok(mentioned)
    }

    fn add_mentions(
        &self,
        open: &Open,
        table: &Table,
        row: i64,
        wanted: &HashSet<&str>,
        mentioned: &mut HashSet<String>,
    ) -> Answer<()> {
        let Some(bytes) = self.row_bytes(open, table, row)? else { return Ok(()) };
        let Ok(document) = Document::parse(&bytes) else { return Ok(()) };
        let own = if table.collection == Collection::Assets { document.text("path") } else { None };
        let copies = document.embedded_assets();
        let of_copies = copies.iter().filter_map(|copy| copy.object.text("path"));
        for path in own.into_iter().chain(of_copies) {
            let path = format!("/{}", path.trim_start_matches('/'));
            if wanted.contains(path.as_str()) {
                mentioned.insert(path);
            }
        }
        Ok(())
    }
}

fn name_of(sha256: &[u8]) -> String {
    String::from_utf8_lossy(sha256).into_owned()
}
