//! Before-images: what runs overwrote, created and deleted, so that it can be undone.
//!
//! Owns the directory `undo` of the agent's state, with one store per run, how much of it is kept and for how long. An
//! image is on the disk before the content that replaces it is committed. It must not know tables or files of Cockpit.
//!
//! Locked after the index; state.db comes after it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::api::{AgentError, ErrorCode, Landed, UndoPart, UndoState};

use super::analysis::{raw_hash, size};
use super::fault::{Answer, At};
use crate::records::{Record, Records};

mod store;

use store::RunImages;

/// How long and how much is kept. No bytes: nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UndoLimits {
    pub days: u64,
    pub bytes: u64,
}

impl Default for UndoLimits {
    fn default() -> Self {
        Self { days: 7, bytes: 1 << 30 }
    }
}

/// Row ids and bytes of what was there; of a file its size and SHA-256; of a model in a file that file, as row 0.
pub(crate) type Rows = Vec<(i64, Vec<u8>)>;

/// What a write replaces, and what it leaves.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub identity: String,
    /// Everything of this identity that is there, nothing of it changed yet. Empty: nothing is there.
    pub before: Rows,
    /// This run wrote what is there.
    pub is_own: bool,
    /// Hash of the bytes that will be there, in every row ([`state_of`]); none = nothing will be.
    pub left: Option<i64>,
    /// Bytes that are written.
    pub size: u32,
}

/// What is known of one document or file that a run wrote.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub identity: String,
    /// Something was there before the run.
    pub existed: bool,
    pub before: Rows,
    /// State before and after the run's last write, which may not have been committed.
    was: Option<i64>,
    left: Option<i64>,
}

/// How what is there now compares with what a run left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// As before the run.
    Same,
    /// As the run left it.
    Left,
    /// Neither.
    Changed,
}

impl Step {
    pub fn standing(&self, now: &Rows) -> Standing {
        let state = state_of(now);
        if now.iter().map(|(_, bytes)| bytes).eq(self.before.iter().map(|(_, bytes)| bytes)) {
            Standing::Same
        } else if state == self.left || (state.is_some() && state == self.was) {
            Standing::Left
        } else {
            Standing::Changed
        }
    }

    /// What undoing it replaces and leaves.
    pub fn image(&self, now: Rows) -> Image {
        Image {
            identity: self.identity.clone(),
            is_own: false,
            left: state_of(&self.before),
            size: self.before.iter().map(|(_, bytes)| size(bytes)).fold(0, u32::saturating_add),
            before: now,
        }
    }
}

/// A hash of all rows of an identity; none where there is none. Rows that are alike count as one.
fn state_of(rows: &Rows) -> Option<i64> {
    let mut hashes: Vec<i64> = rows.iter().map(|(_, bytes)| raw_hash(bytes)).collect();
    hashes.dedup();
    match hashes[..] {
        [] => None,
        [hash] => Some(hash),
        _ => Some(raw_hash(&hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect::<Vec<_>>())),
    }
}

impl Image {
    fn bytes(&self) -> u64 {
        self.before.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }
}

/// What was kept for one write, should it fail.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    collection: String,
    identities: Vec<String>,
}

pub(crate) struct Images {
    directory: PathBuf,
    limits: UndoLimits,
    records: Arc<Records>,
    writing: Mutex<Option<Writing>>,
    /// The run that is being undone: its images make no room for others. Locked after `writing`.
    undoing: Mutex<Option<(Record, RunImages)>>,
}

/// The run that writes at the moment.
struct Writing {
    record: Record,
    store: RunImages,
    /// What the images of all other runs take.
    others: u64,
}

impl Images {
    pub fn new(directory: PathBuf, limits: UndoLimits, records: Arc<Records>) -> Self {
        Self { directory, limits, records, writing: Mutex::new(None), undoing: Mutex::new(None) }
    }

    /// To be called before a write of the run is committed, with everything it is about to change: the first image of
    /// each document is on the disk when this returns. A write that fails afterwards says so ([`Images::did_not_land`]).
    pub fn keep(&self, run: &str, collection: &str, images: &[Image], now_ms: i64) -> Answer<Kept> {
        if images.is_empty() {
            return Ok(Kept::default());
        }
        let mut writing = self.writing();
        let current = self.of_run(&mut writing, run, now_ms)?;
        self.make_room(current, images.iter().map(Image::bytes).sum())?;
        let identities = current.store.keep(collection, images)?;
        Ok(Kept { collection: collection.into(), identities })
    }

    /// Keeps the bytes of files that are about to be replaced, each under its SHA-256, before [`Images::keep`] says so.
    pub fn keep_files(&self, run: &str, files: &[(PathBuf, String, u64)], now_ms: i64) -> Answer<()> {
        if files.is_empty() {
            return Ok(());
        }
        let mut writing = self.writing();
        let current = self.of_run(&mut writing, run, now_ms)?;
        self.make_room(current, files.iter().map(|(_, _, size)| size).sum())?;
        if current.store.incomplete.is_some() {
            return Ok(());
        }
        for (path, sha256, size) in files {
            let kept = current.store.file(sha256);
            if kept.exists() {
                continue;
            }
            link_or_copy(path, &kept).at(path)?;
            current.store.bytes += size;
        }
        let directory = current.store.file("");
        super::model_store::fsync_directory(&directory).at(&directory)
    }

    /// Lets go of the files.
    pub fn close(&self) {
        *self.writing() = None;
        *self.undoing() = None;
    }

    /// A page of what a run wrote, and behind which identity the next one begins. All of it, or the one part.
    pub fn steps(
        &self,
        run: &str,
        collection: &str,
        part: Option<UndoPart>,
        after: Option<&str>,
    ) -> Answer<(Vec<Step>, Option<String>)> {
        let mut undoing = self.undoing();
        self.undoing_of(&mut undoing, run)?.steps(collection, part, after)
    }

    /// Where the bytes are of a file that the run replaced.
    pub fn kept_file(&self, run: &str, sha256: &str) -> Answer<PathBuf> {
        let mut undoing = self.undoing();
        Ok(self.undoing_of(&mut undoing, run)?.file(sha256))
    }

    /// How this run has written an identity, if it has: whether something was there before, and whether it left something.
    pub fn wrote(&self, run: &str, collection: &str, identity: &str, now_ms: i64) -> Answer<Option<(bool, bool)>> {
        let mut writing = self.writing();
        self.of_run(&mut writing, run, now_ms)?.store.wrote(collection, identity)
    }

    fn undoing_of<'u>(&self, undoing: &'u mut Option<(Record, RunImages)>, run: &str) -> Answer<&'u mut RunImages> {
        if undoing.as_ref().is_none_or(|(record, _)| record.run != run) {
            *undoing = None;
            let refused =
                |why: String| AgentError::new(ErrorCode::Forbidden, format!("run {run} cannot be undone: {why}"));
            let Some((record, receipt)) = self.records.find(run)?.filter(|(record, _)| record.run == run) else {
                return Err(refused("this instance's agent remembers no such run".into()));
            };
            if let Some(why) = &record.images_gone {
                return Err(refused(why.clone()));
            }
            if receipt.ended_ms.is_none() {
                return Err(refused("it is not over".into()));
            }
            let store = RunImages::open(&self.directory_of(&record))?;
            if let Some(why) = &store.incomplete {
                return Err(refused(why.clone()));
            }
            *undoing = Some((record, store));
        }
        Ok(&mut undoing.as_mut().expect("it was put there").1)
    }

    fn undoing(&self) -> MutexGuard<'_, Option<(Record, RunImages)>> {
        self.undoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_being_undone(&self, record: &Record) -> bool {
        self.undoing().as_ref().is_some_and(|(undone, _)| undone.number == record.number)
    }

    pub fn did_not_land(&self, kept: &Kept) {
        if let Some(writing) = self.writing().as_ref()
            && !kept.identities.is_empty()
        {
            let noted = writing.store.did_not_land(&kept.collection, &kept.identities);
            super::log_failure("a receipt may count documents that were not written", noted);
        }
    }

    /// Finishes the records of all runs that do not hold the grant any more. `reason` is that of the run which was closed.
    pub fn finish(&self, holder: Option<&str>, closed: Option<(&str, &str)>, now_ms: i64) -> Answer<()> {
        for record in self.records.unfinished()? {
            if holder == Some(record.run.as_str()) {
                continue;
            }
            let reason = closed.filter(|(run, _)| *run == record.run).map(|(_, reason)| reason);
            self.finish_one(&record, reason, now_ms)?;
        }
        Ok(())
    }

    /// Without a reason it may come back.
    fn finish_one(&self, record: &Record, reason: Option<&str>, now_ms: i64) -> Answer<()> {
        let words = reason.unwrap_or("its right to write went to another run, or ran out");
        let mut writing = self.writing();
        *self.undoing() = None;
        if !self.directory_of(record).join("images.db").exists() {
            self.records.finish(&record.run, now_ms, words, BTreeMap::new(), 0)?;
            return match reason {
                Some(_) => self.records.images_are_gone(record.number, "it wrote nothing"),
                None => Ok(()),
            };
        }
        let current = self.of_run(&mut writing, &record.run, now_ms)?;
        let landed: BTreeMap<String, Landed> = current.store.landed()?;
        let (bytes, incomplete) = (current.store.bytes, current.store.incomplete.clone());
        *writing = None;
        self.records.finish(&record.run, now_ms, words, landed, bytes)?;
        match (incomplete, reason) {
            (Some(why), Some(_)) => self.drop_images(record, &why),
            (Some(why), None) => self.records.images_are_gone(record.number, &why),
            (None, _) => Ok(()),
        }
    }

    /// Drops what is too old. Also what was left behind by an agent that died while it dropped something.
    pub fn prune(&self, now_ms: i64) -> Answer<()> {
        let writing = self.writing();
        let age = Duration::from_secs(self.limits.days.saturating_mul(24 * 3600)).as_millis();
        let before_ms = now_ms.saturating_sub(i64::try_from(age).unwrap_or(i64::MAX));
        let is_written = |record: &Record| writing.as_ref().is_some_and(|now| now.record.number == record.number);
        let kept = self.records.with_images()?;
        let is_used = |record: &Record| is_written(record) || self.is_being_undone(record);
        for record in kept.iter().filter(|record| record.began_ms < before_ms && !is_used(record)) {
            self.drop_images(record, &format!("it is older than undo_days = {}", self.limits.days))?;
        }
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.records.prune(now_ms),
            Err(error) => return Err(error).at(&self.directory),
        };
        for entry in entries {
            let path = entry.at(&self.directory)?.path();
            let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<i64>().ok());
            if !number.is_some_and(|number| kept.iter().any(|record| record.number == number)) {
                fs::remove_dir_all(&path).at(&path)?;
            }
        }
        self.records.prune(now_ms)
    }

    /// Whether a run can be undone.
    pub fn state_of(&self, record: &Record) -> UndoState {
        let days_ms = i64::try_from(self.limits.days.saturating_mul(24 * 3600 * 1000)).unwrap_or(i64::MAX);
        UndoState {
            possible: record.images_gone.is_none(),
            reason: record.images_gone.clone(),
            bytes: record.image_bytes,
            until_ms: record.images_gone.is_none().then(|| record.began_ms.saturating_add(days_ms)),
        }
    }

    fn writing(&self) -> MutexGuard<'_, Option<Writing>> {
        // After a panic elsewhere an open transaction was rolled back when its guard was dropped.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn directory_of(&self, record: &Record) -> PathBuf {
        self.directory.join(record.number.to_string())
    }

    fn of_run<'w>(&self, writing: &'w mut Option<Writing>, run: &str, now_ms: i64) -> Answer<&'w mut Writing> {
        if writing.as_ref().is_none_or(|current| current.record.run != run) {
            let record = self.records.of_run(run, now_ms)?;
            if self.is_being_undone(&record) {
                *self.undoing() = None;
            }
            let mut store = RunImages::open(&self.directory_of(&record))?;
            if self.limits.bytes == 0 {
                store.incomplete.get_or_insert_with(|| "undo is turned off (undo_size = 0)".into());
            } else if let Some(reason) = &record.images_gone {
                store.incomplete.get_or_insert_with(|| reason.clone());
            }
            let others = self.records.with_images()?;
            let others = others.iter().filter(|other| other.run != run).map(|other| other.image_bytes).sum();
            *writing = Some(Writing { record, store, others });
        }
        Ok(writing.as_mut().expect("it was put there"))
    }

    /// The oldest go first. What does not fit alone is not kept, and the run says so.
    fn make_room(&self, current: &mut Writing, wanted: u64) -> Answer<()> {
        let limit = self.limits.bytes;
        let own = current.store.bytes.saturating_add(wanted);
        if wanted == 0 || current.store.incomplete.is_some() {
            return Ok(());
        }
        if own > limit {
            let reason = format!("what it overwrote takes more than undo_size = {limit} bytes");
            tracing::warn!(run.id = %current.record.run, reason, "the run cannot be undone");
            current.store.incomplete = Some(reason);
            return Ok(());
        }
        if own.saturating_add(current.others) <= limit {
            return Ok(());
        }
        for record in self.records.with_images()? {
            let is_used = record.run == current.record.run || self.is_being_undone(&record);
            if !is_used && own.saturating_add(current.others) > limit {
                self.drop_images(&record, &format!("later runs needed the room (undo_size = {limit} bytes)"))?;
                current.others = current.others.saturating_sub(record.image_bytes);
            }
        }
        Ok(())
    }

    fn drop_images(&self, record: &Record, reason: &str) -> Answer<()> {
        self.records.images_are_gone(record.number, reason)?;
        let directory = self.directory_of(record);
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at(&directory),
            _ => Ok(()),
        }
    }
}

/// A link costs nothing, and keeps owner and mode. Another file system takes a copy, which has to be on the disk.
pub(crate) fn link_or_copy(from: &std::path::Path, to: &std::path::Path) -> io::Result<()> {
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    let temporary = to.with_extension("part");
    fs::copy(from, &temporary)?;
    fs::File::open(&temporary)?.sync_all()?;
    fs::rename(&temporary, to)
}
