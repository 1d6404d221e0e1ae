//! Uploads: bytes that come in parts, are checked as a whole, and are then put in their place.
//!
//! `STATE/uploads/HASH.part` grows; when it is whole and has the hash it is named by, it becomes `HASH.whole`. None of that
//! is synced to the disk: what an agent finds when it starts is only believed once it was hashed again. A file is synced
//! before it gets its name below `storage/uploads`, all of a request side by side.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::api::{
    ASSET_FILES, FileFacts, MAX_DOCUMENT_BYTES, Nothing, PlaceFilesRequest, UploadPart, UploadRequest, Uploaded,
};

use super::Storage;
use super::analysis::raw_hash;
use super::fault::{Answer, At, bad_request, forbidden};
use super::files::{checked_sha256, read_sha256};
use super::images::Image;
use super::model_store::fsync_directory;
use super::owner;

/// Parts of one upload are taken one after another; of different ones side by side.
const STRIPES: usize = 16;
/// Files that are synced to the disk at a time: its journal takes them together.
const SYNCED_AT_ONCE: usize = 16;
/// An upload that nobody continued for so long is removed.
const KEPT: Duration = Duration::from_secs(24 * 3600);

pub(crate) struct Uploads {
    directory: PathBuf,
    stripes: [Mutex<()>; STRIPES],
}

impl Uploads {
    pub fn new(state: &Path) -> Self {
        let uploads = Self { directory: state.join("uploads"), stripes: Default::default() };
        super::log_failure("uploads of before cannot be gone on with", uploads.doubt_all());
        uploads
    }

    /// The power may have failed since: whatever was whole has to be hashed again.
    fn doubt_all(&self) -> Answer<()> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).at(&self.directory),
        };
        for entry in entries {
            let path = entry.at(&self.directory)?.path();
            if path.extension().is_some_and(|extension| extension == "whole") {
                fs::rename(&path, path.with_extension("part")).at(&path)?;
            }
        }
        Ok(())
    }

    fn part(&self, sha256: &str) -> PathBuf {
        self.directory.join(format!("{sha256}.part"))
    }

    fn whole(&self, sha256: &str) -> PathBuf {
        self.directory.join(format!("{sha256}.whole"))
    }

    fn turn(&self, sha256: &str) -> MutexGuard<'_, ()> {
        let stripe = usize::from(sha256.as_bytes().first().copied().unwrap_or(0)) % STRIPES;
        self.stripes[stripe].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes of an upload are here.
    pub fn length(&self, sha256: &str) -> Answer<u64> {
        let sha256 = checked_sha256(sha256)?;
        for path in [self.whole(sha256), self.part(sha256)] {
            match fs::metadata(&path) {
                Ok(metadata) => return Ok(metadata.len()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).at(&path),
            }
        }
        Ok(0)
    }

    /// Adds a part if it continues what is here. The length afterwards; 0 when the whole was not what it should be.
    fn append(&self, part: &UploadPart) -> Answer<u64> {
        let sha256 = checked_sha256(&part.sha256)?;
        let end = part.offset.checked_add(part.bytes.len() as u64).filter(|end| *end <= part.size);
        let Some(end) = end else {
            return Err(bad_request(format!("a part of the upload {sha256} ends behind its end")));
        };
        let _turn = self.turn(sha256);
        let length = self.length(sha256)?;
        let is_begun = length > 0 || self.whole(sha256).exists();
        if length != part.offset || self.whole(sha256).exists() {
            return Ok(length);
        }
        let path = self.part(sha256);
        if is_begun && part.bytes.is_empty() {
            // All of it is here, but nobody has looked at it since the agent started.
            return if length == part.size { self.finish(sha256, &path) } else { Ok(length) };
        }
        // As root, too, its owner must be able to go on with it.
        owner::make_directories(&self.directory).at(&self.directory)?;
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path).at(&path)?;
        if let Err(error) = file.write_all(&part.bytes) {
            // What got in of this part is cut off again: the caller is told an honest length next time.
            let _ = file.set_len(length);
            return Err(error).at(&path);
        }
        if end < part.size {
            return Ok(end);
        }
        self.finish(sha256, &path)
    }

    /// Whether the whole is here. All parts may be while nobody has looked at them: the process died then.
    fn is_whole(&self, sha256: &str) -> Answer<bool> {
        let _turn = self.turn(sha256);
        if self.whole(sha256).exists() {
            return Ok(true);
        }
        let path = self.part(sha256);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error).at(&path),
        };
        if read_sha256(&mut file).at(&path)?.1 != sha256 {
            return Ok(false);
        }
        Ok(self.finish(sha256, &path)? > 0 || self.whole(sha256).exists())
    }

    fn finish(&self, sha256: &str, path: &Path) -> Answer<u64> {
        let mut file = File::open(path).at(path)?;
        let (size, is) = read_sha256(&mut file).at(path)?;
        if is != sha256 {
            fs::remove_file(path).at(path)?;
            return Ok(0);
        }
        fs::rename(path, self.whole(sha256)).at(path)?;
        Ok(size)
    }
}

impl Storage {
    pub fn upload(&self, request: &UploadRequest) -> Answer<Uploaded> {
        self.allow_writing()?;
        let permit = self.grants.permit(&request.token)?;
        let mut lengths = Vec::with_capacity(request.parts.len());
        for part in &request.parts {
            lengths.push(self.uploads.append(part)?);
        }
        permit.wrote(0);
        Ok(Uploaded { lengths })
    }

    pub fn place_files(&self, request: &PlaceFilesRequest) -> Answer<Nothing> {
        self.allow_writing()?;
        let mut uses: HashMap<&str, usize> = HashMap::new();
        for facts in &request.files {
            *uses.entry(checked_sha256(&facts.sha256)?).or_default() += 1;
        }
        let permit = self.grants.permit(&request.token)?;
        let mut placing = Placing::default();
        for facts in &request.files {
            let path = self.upload_path(&facts.path).map_err(|(_, message)| forbidden(message))?;
            let uses_left = uses.entry(&facts.sha256).or_default();
            *uses_left = uses_left.saturating_sub(1);
            if !self.is_same_file(&path, facts)? {
                placing.files.push(self.bring_beside(facts, path, *uses_left == 0)?);
            }
        }
        let replaced_any = placing.files.iter().any(|file| file.path.exists());
        self.keep_replaced(permit.run(), &placing)?;
        placing.finish()?;
        permit.wrote(placing.files.len() as u64);
        drop(permit);
        if replaced_any {
            super::log_failure("thumbnails may show old files", self.drop_thumbnails());
        }
        Ok(Nothing {})
    }

    /// Keeps what is about to be replaced, and notes what comes.
    fn keep_replaced(&self, run: &str, placing: &Placing) -> Answer<()> {
        let (mut images, mut files) = (Vec::new(), Vec::new());
        for Beside { path, facts, .. } in &placing.files {
            let current = self.hashes_of(path)?;
            let before = current.iter().map(|old| (old.size.cast_signed(), old.sha256.clone().into_bytes()));
            images.push(Image {
                identity: format!("/{}", facts.path.trim_start_matches('/')),
                before: before.collect(),
                is_own: false,
                left: Some(raw_hash(facts.sha256.as_bytes())),
                size: facts.size.try_into().unwrap_or(u32::MAX),
            });
            files.extend(current.map(|old| (path.clone(), old.sha256, old.size)));
        }
        self.images.keep_files(run, &files, self.now_ms())?;
        self.images.keep(run, ASSET_FILES, &images, self.now_ms())?;
        Ok(())
    }

    /// A document that did not fit a write.
    pub(crate) fn uploaded_document(&self, sha256: &str) -> Answer<Vec<u8>> {
        let path = self.uploads.whole(checked_sha256(sha256)?);
        if !self.uploads.is_whole(sha256)? {
            return Err(not_uploaded(sha256));
        }
        let length = fs::metadata(&path).at(&path)?.len();
        // One byte more than allowed is enough to see that it is too large.
        let limit = MAX_DOCUMENT_BYTES as u64 + 1;
        let mut bytes = Vec::with_capacity(length.min(limit).try_into().unwrap_or_default());
        let file = File::open(&path).at(&path)?;
        io::Read::read_to_end(&mut io::Read::take(file, limit), &mut bytes).at(&path)?;
        Ok(bytes)
    }

    /// Brings an upload beside its place, so that the last step is one rename; hidden, so that nobody serves it.
    fn bring_beside(&self, facts: &FileFacts, path: PathBuf, is_last_use: bool) -> Answer<Beside> {
        let whole = self.uploads.whole(&facts.sha256);
        if !self.uploads.is_whole(&facts.sha256)? {
            return Err(not_uploaded(&facts.sha256));
        }
        let directory = path.parent().unwrap_or(Path::new("/"));
        owner::make_directories(directory).at(directory)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = directory.join(format!(".{name}.cockpit-sync"));
        let beside = Beside { temporary, path, facts: facts.clone() };
        move_beside(&whole, &beside.temporary, is_last_use)
            .and_then(|()| owner::adopt(&beside.temporary, ""))
            .at(&beside.temporary)?;
        Ok(beside)
    }

    /// Removes uploads that nobody continued.
    pub(crate) fn sweep_uploads(&self) -> Answer<()> {
        let directory = &self.uploads.directory;
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).at(directory),
        };
        for entry in entries {
            let entry = entry.at(directory)?;
            let modified = entry.metadata().and_then(|metadata| metadata.modified()).at(&entry.path())?;
            if (self.settings.now)().duration_since(modified).is_ok_and(|age| age > KEPT) {
                fs::remove_file(entry.path()).at(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// A file beside the place it is for. Goes with this, unless it was renamed by then.
struct Beside {
    temporary: PathBuf,
    path: PathBuf,
    facts: FileFacts,
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _renamed = fs::remove_file(&self.temporary);
    }
}

/// The files of a request on their way to their places.
#[derive(Default)]
struct Placing {
    files: Vec<Beside>,
}

impl Placing {
    /// Files first, then their names, then the directories that hold these: a name never leads to missing bytes.
    fn finish(&self) -> Answer<()> {
        let temporaries: Vec<&Path> = self.files.iter().map(|file| file.temporary.as_path()).collect();
        sync_all(&temporaries)?;
        for file in &self.files {
            fs::rename(&file.temporary, &file.path).at(&file.path)?;
        }
        let directories: BTreeSet<&Path> = self.files.iter().filter_map(|file| file.path.parent()).collect();
        directories.into_iter().try_for_each(|directory| fsync_directory(directory).at(directory))
    }
}

/// Syncs files to the disk, several at a time.
fn sync_all(paths: &[&Path]) -> Answer<()> {
    let next = AtomicUsize::new(0);
    let sync = || -> Answer<()> {
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            File::open(path).and_then(|file| file.sync_all()).at(path)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..SYNCED_AT_ONCE.min(paths.len())).map(|_| scope.spawn(sync)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("syncing does not panic"))
    })
}

/// Renames, or copies where that cannot be: to another file system, or when the upload is needed once more.
fn move_beside(from: &Path, to: &Path, may_take: bool) -> io::Result<()> {
    if may_take && fs::rename(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to)?;
    if may_take { fs::remove_file(from) } else { Ok(()) }
}

fn not_uploaded(sha256: &str) -> protocol::api::AgentError {
    bad_request(format!("there is no whole upload {sha256}: upload it first"))
}
