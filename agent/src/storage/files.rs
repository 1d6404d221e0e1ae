//! Files of assets below `storage/uploads`: which are there, with what bytes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use md5::Md5;
use protocol::api::{
    AgentError, ErrorCode, FileBytes, FileFacts, FileStat, FileState, FileStats, Files, FilesRequest, HeldCause,
    PAGE_BYTES, ReadFileRequest, StatFilesRequest,
};
use protocol::canonical::{Document, Value};
use protocol::collection::Collection;
use sha2::{Digest, Sha256};

use super::Storage;
use super::analysis::bytes_of;
use super::database::Open;
use super::fault::{Answer, At, bad_request};
use super::fingerprint::Fingerprint;
use super::table::Table;
use super::upload_path::NotThere;

/// What a file holds.
pub(crate) struct Hashes {
    pub size: u64,
    pub sha256: String,
    pub md5: String,
}

impl Storage {
    pub fn files(&self, request: &FilesRequest) -> Answer<Files> {
        let assets = self.asset_view()?;
        let mut files = Vec::with_capacity(request.assets.len());
        for asset in &request.assets {
            let row = assets.row(asset)?;
            let document = row.as_deref().and_then(|bytes| Document::parse(bytes).ok());
            let facts = match document {
                Some(document) => self.facts_of(&document)?,
                None => Err((HeldCause::MissingFile, format!("there is no asset {asset} any more"))),
            };
            files.push(match facts {
                Ok(facts) => FileState::Present(facts),
                Err((cause, message)) => FileState::Held { cause, message },
            });
        }
        Ok(Files { files })
    }

    pub fn read_file(&self, request: &ReadFileRequest) -> Answer<FileBytes> {
        let changed = || bad_request(format!("the file of the asset {} is another one now", request.asset));
        let row = self.asset_view()?.row(&request.asset)?.ok_or_else(changed)?;
        let document = Document::parse(&row).map_err(|_| changed())?;
        let path = self.upload_path(document.text("path").unwrap_or_default()).map_err(|_| changed())?;
        let file = open_file(&path).at(&path)?.ok_or_else(changed)?;
        let before = Fingerprint::of_file(&file.metadata().at(&path)?).at(&path)?;
        if self.hashes_of(&path)?.is_none_or(|hashes| hashes.sha256 != request.sha256) {
            return Err(changed());
        }
        let wanted = usize::try_from(request.length).unwrap_or(PAGE_BYTES).min(PAGE_BYTES);
        let mut bytes = vec![0; wanted];
        let length = read_at(&file, &mut bytes, request.offset).at(&path)?;
        bytes.truncate(length);
        if Fingerprint::of_file(&file.metadata().at(&path)?).at(&path)? != before {
            return Err(changed());
        }
        Ok(FileBytes { bytes })
    }

    pub fn stat_files(&self, request: &StatFilesRequest) -> Answer<FileStats> {
        let mut stats = Vec::with_capacity(request.files.len());
        for facts in &request.files {
            stats.push(match self.upload_path(&facts.path) {
                Err((cause, message)) => FileStat::Held { cause, message },
                Ok(path) if self.is_same_file(&path, facts)? => FileStat::Same,
                Ok(_) => FileStat::Wanted { uploaded: self.uploads.length(&facts.sha256)? },
            });
        }
        Ok(FileStats { stats })
    }

    /// Whether a file is there with these very bytes.
    pub(crate) fn is_same_file(&self, path: &Path, facts: &FileFacts) -> Answer<bool> {
        // The size spares reading most files that differ.
        if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.len() != facts.size) {
            return Ok(false);
        }
        Ok(self.hashes_of(path)?.is_some_and(|hashes| hashes.size == facts.size && hashes.sha256 == facts.sha256))
    }

    /// Why the row of an asset must not be written: it promises a file that is not there.
    pub(crate) fn lacks_its_file(&self, asset: &Document<'_>) -> Answer<Option<NotThere>> {
        Ok(self.facts_of(asset)?.err())
    }

    /// How many assets have no file; none of other collections.
    pub(crate) fn rows_without_file(&self, open: &Open, table: &Table) -> Answer<u64> {
        if table.collection != Collection::Assets {
            return Ok(0);
        }
        let path = self.database_path(&table.file);
        let sql = format!("SELECT document FROM {}", table.quoted());
        let mut statement = open.connection.prepare_cached(&sql).at(&path)?;
        let mut rows = statement.query([]).at(&path)?;
        let mut lacking = 0;
        while let Some(row) = rows.next().at(&path)? {
            let document = bytes_of(row.get_ref(0).at(&path)?).and_then(|bytes| Document::parse(bytes).ok());
            lacking += u64::from(document.is_some_and(|asset| self.has_no_file(&asset)));
        }
        Ok(lacking)
    }

    /// Whether this row is an asset without its file.
    pub(crate) fn lacks_file_of_row(&self, open: &Open, table: &Table, row: i64) -> Answer<bool> {
        if table.collection != Collection::Assets {
            return Ok(false);
        }
        let bytes = self.row_bytes(open, table, row)?.unwrap_or_default();
        Ok(Document::parse(&bytes).is_ok_and(|asset| self.has_no_file(&asset)))
    }

    /// By name alone: whether the bytes are right is looked at when a file is brought, not every time.
    fn has_no_file(&self, asset: &Document<'_>) -> bool {
        let place = asset.text("path").map(|path| self.upload_path(path));
        matches!(place, Some(Ok(place)) if !place.exists())
    }

    /// The file an asset's row speaks of, if it is the one the row promises.
    fn facts_of(&self, asset: &Document<'_>) -> Answer<Result<FileFacts, NotThere>> {
        let Some(path) = asset.text("path") else {
            return Ok(Err((HeldCause::Malformed, "its row has no path".into())));
        };
        let place = match self.upload_path(path) {
            Ok(place) => place,
            Err(not_there) => return Ok(Err(not_there)),
        };
        let missing = |message: String| Ok(Err((HeldCause::MissingFile, message)));
        let Some(hashes) = self.hashes_of(&place)? else {
            return missing(format!("there is no file {path}"));
        };
        match (asset.text("_hash").filter(|md5| !md5.is_empty()), asset.get("size")) {
            (Some(md5), _) if !md5.eq_ignore_ascii_case(&hashes.md5) => {
                missing(format!("the file {path} has the MD5 {}, its row says {md5}", hashes.md5))
            }
            (None, Some(Value::Integer(size))) if u64::try_from(*size) != Ok(hashes.size) => {
                missing(format!("the file {path} has {} bytes, its row says {size}", hashes.size))
            }
            _ => {
                let path = format!("/{}", path.strip_prefix('/').unwrap_or(path));
                Ok(Ok(FileFacts { path, size: hashes.size, sha256: hashes.sha256 }))
            }
        }
    }

    /// Read once; remembered as long as the file is the same. None when there is no such file.
    pub(crate) fn hashes_of(&self, path: &Path) -> Answer<Option<Hashes>> {
        let Some(mut file) = open_file(path).at(path)? else { return Ok(None) };
        let metadata = file.metadata().at(path)?;
        let fingerprint = Fingerprint::of_file(&metadata).at(path)?;
        let name = path.to_string_lossy();
        let known = self.index.lock().file_hashes(&name, &fingerprint.text)?;
        if let Some((sha256, md5)) = known {
            return Ok(Some(Hashes { size: metadata.len(), sha256, md5 }));
        }
        let hashes = read_hashes(&mut file).at(path)?;
        let is_still_it = Fingerprint::of_file(&file.metadata().at(path)?).at(path)? == fingerprint;
        if is_still_it && fingerprint.is_settled() {
            self.index.lock().set_file_hashes(&name, &fingerprint.text, &hashes.sha256, &hashes.md5)?;
        }
        Ok(Some(hashes))
    }

    /// Thumbnails are named by a hash of what was asked for, which need not hold the path: which of them show an
    /// asset cannot be told. Cockpit makes them anew when they are asked for.
    pub(crate) fn drop_thumbnails(&self) -> Answer<()> {
        let directory = self.layout.thumbnails();
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).at(&directory),
        };
        for entry in entries {
            let entry = entry.at(&directory)?;
            let name = entry.file_name();
            let is_thumbnail = name.to_str().and_then(|name| name.split_once('_')).is_some_and(|(hash, _)| {
                hash.len() == 32 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            });
            if is_thumbnail
                && let Err(error) = fs::remove_file(entry.path())
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error).at(&entry.path());
            }
        }
        Ok(())
    }
}

/// None when there is no such file; a link at the end of the path is none.
fn open_file(path: &Path) -> io::Result<Option<File>> {
    let flags = (nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK).bits();
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) if file.metadata()?.is_file() => Ok(Some(file)),
        Ok(_) => Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) if error.raw_os_error() == Some(nix::errno::Errno::ELOOP as i32) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(crate) fn read_hashes(file: &mut File) -> io::Result<Hashes> {
    let (mut sha256, mut md5) = (Sha256::new(), Md5::new());
    let size = each_piece(file, |piece| {
        sha256.update(piece);
        md5.update(piece);
    })?;
    Ok(Hashes { size, sha256: hex::encode(sha256.finalize()), md5: hex::encode(md5.finalize()) })
}

/// The SHA-256 alone: MD5 takes three times as long.
pub(crate) fn read_sha256(file: &mut File) -> io::Result<(u64, String)> {
    let mut sha256 = Sha256::new();
    let size = each_piece(file, |piece| sha256.update(piece))?;
    Ok((size, hex::encode(sha256.finalize())))
}

/// The size of the file.
fn each_piece(file: &mut File, mut take: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut buffer = vec![0; 256 * 1024];
    let mut size = 0;
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok(size);
        }
        take(&buffer[..length]);
        size += length as u64;
    }
}

/// Fills the buffer as far as the file goes.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The name of an upload, from the wire.
pub(crate) fn checked_sha256(sha256: &str) -> Answer<&str> {
    let is_hash = sha256.len() == 64 && sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_hash { Ok(sha256) } else { Err(AgentError::new(ErrorCode::BadRequest, format!("{sha256:?} is no SHA-256"))) }
}
