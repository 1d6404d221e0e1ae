//! The files of the log: each named by the number of its first entry, appended to until it is full; only so many are
//! kept.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use protocol::api::AuditPlace;
use protocol::audit::{Entry, Mark};

use crate::storage::fault::{Answer, At};
use crate::storage::owner;

/// How much is kept. An entry takes about 400 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    pub file_bytes: u64,
    pub files: usize,
}

impl Default for Kept {
    fn default() -> Self {
        Self { file_bytes: 8 << 20, files: 16 }
    }
}

/// Bytes of one page of lines.
const PAGE_BYTES: u64 = 512 * 1024;
/// Bytes that are read at a time from the end of a file.
const BLOCK_BYTES: u64 = 64 * 1024;
const ENDING: &str = ".jsonl";

pub(super) struct Files {
    directory: PathBuf,
    kept: Kept,
    /// The file that is written to: its number and its length.
    current: Option<(u64, u64)>,
}

impl Files {
    pub fn open(directory: PathBuf, kept: Kept) -> Answer<Self> {
        if !directory.is_dir() {
            DirBuilder::new().mode(0o700).create(&directory).at(&directory)?;
            owned_like_above(&directory).at(&directory)?;
        }
        Ok(Self { directory, kept, current: None })
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Cuts off what was not written to its end, and gives back the lines of the last file that has any.
    pub fn mend_tail(&mut self) -> Answer<Vec<String>> {
        self.current = None;
        for number in self.numbers()?.into_iter().rev() {
            let path = self.path(number);
            let bytes = fs::read(&path).at(&path)?;
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            if whole == 0 {
                fs::remove_file(&path).at(&path)?;
                continue;
            }
            if whole < bytes.len() {
                let file = OpenOptions::new().write(true).open(&path).at(&path)?;
                file.set_len(whole as u64).at(&path)?;
            }
            self.current = Some((number, whole as u64));
            return Ok(String::from_utf8_lossy(&bytes[..whole]).lines().map(str::to_owned).collect());
        }
        Ok(Vec::new())
    }

    pub fn is_full(&self) -> bool {
        self.current.is_none_or(|(_, bytes)| bytes >= self.kept.file_bytes)
    }

    /// The file to append the entry of this number to.
    pub fn for_next(&mut self, number: u64) -> Answer<File> {
        let (number, bytes) = self.current.filter(|_| !self.is_full()).unwrap_or((number, 0));
        let path = self.path(number);
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path).at(&path)?;
        if bytes == 0 {
            owned_like_above(&path).at(&path)?;
            File::open(&self.directory).and_then(|directory| directory.sync_all()).at(&self.directory)?;
        }
        self.current = Some((number, bytes));
        Ok(file)
    }

    pub fn grew(&mut self, by: u64) {
        if let Some((_, bytes)) = &mut self.current {
            *bytes += by;
        }
    }

    /// Where the chain begins once the oldest files are gone; none when there are not too many.
    pub fn new_begin(&self) -> Answer<Option<Mark>> {
        let numbers = self.numbers()?;
        let Some(oldest) = numbers.len().checked_sub(self.kept.files).filter(|over| *over > 0) else { return Ok(None) };
        let (lines, _) = self.page(AuditPlace { file: numbers[oldest], offset: 0 })?;
        let first = lines.first().and_then(|line| Entry::read(line));
        // One that cannot be read is no place to begin at.
        Ok(first.map(|(entry, _)| Mark { number: entry.number - 1, hash: entry.previous }))
    }

    pub fn drop_before(&self, begin: &Mark) -> Answer<()> {
        for number in self.numbers()?.into_iter().filter(|number| *number <= begin.number) {
            let path = self.path(number);
            fs::remove_file(&path).at(&path)?;
        }
        Ok(())
    }

    /// Lines from a place on, and where the next ones are.
    pub fn page(&self, place: AuditPlace) -> Answer<(Vec<String>, Option<AuditPlace>)> {
        let numbers = self.numbers()?;
        let Some(at) = numbers.iter().position(|number| *number >= place.file) else { return Ok((Vec::new(), None)) };
        let number = numbers[at];
        let offset = if number == place.file { place.offset } else { 0 };
        let path = self.path(number);
        let mut file = File::open(&path).at(&path)?;
        let length = file.metadata().at(&path)?.len();
        file.seek(SeekFrom::Start(offset)).at(&path)?;
        let mut bytes = Vec::new();
        file.take(PAGE_BYTES).read_to_end(&mut bytes).at(&path)?;
        // A line that is longer than a page was not written by this agent: as a part it is as unreadable as in whole.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
        let lines = String::from_utf8_lossy(&bytes[..whole]).lines().map(str::to_owned).collect();
        let end = offset + whole as u64;
        let next_file = numbers.get(at + 1).map(|next| AuditPlace { file: *next, offset: 0 });
        let next = if end < length && whole > 0 { Some(AuditPlace { file: number, offset: end }) } else { next_file };
        Ok((lines, next))
    }

    /// The last lines of all.
    pub fn last(&self, count: usize) -> Answer<Vec<String>> {
        let mut lines = Vec::new();
        for number in self.numbers()?.into_iter().rev() {
            let path = self.path(number);
            let mut before = File::open(&path).and_then(|file| last_lines(file, count - lines.len())).at(&path)?;
            before.append(&mut lines);
            lines = before;
            if lines.len() >= count {
                break;
            }
        }
        Ok(lines)
    }

    /// The oldest first.
    fn numbers(&self) -> Answer<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.directory).at(&self.directory)? {
            let name = entry.at(&self.directory)?.file_name();
            numbers.extend(name.to_str().and_then(|name| name.strip_suffix(ENDING)?.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number:012}{ENDING}"))
    }
}

/// Reads from the end, and not much more than these lines: a full file is large.
fn last_lines(mut file: impl Read + Seek, count: usize) -> io::Result<Vec<String>> {
    let mut start = file.seek(SeekFrom::End(0))?;
    let mut bytes = Vec::new();
    let mut ends = 0;
    // One end more than that: of the line before them.
    while start > 0 && ends <= count {
        let block = start.min(BLOCK_BYTES);
        start -= block;
        file.seek(SeekFrom::Start(start))?;
        let mut read = Vec::new();
        file.by_ref().take(block).read_to_end(&mut read)?;
        ends += read.iter().filter(|byte| **byte == b'\n').count();
        read.append(&mut bytes);
        bytes = read;
    }
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<String> = text.lines().rev().take(count).map(str::to_owned).collect();
    lines.reverse();
    Ok(lines)
}

fn owned_like_above(path: &Path) -> std::io::Result<()> {
    let above = path.parent().unwrap_or(Path::new("/"));
    owner::give(path, &fs::metadata(above)?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// How many bytes were read.
    struct Counting(io::Cursor<Vec<u8>>, usize);

    impl Read for Counting {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read(bytes)?;
            self.1 += read;
            Ok(read)
        }
    }

    impl Seek for Counting {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    #[test]
    fn the_last_lines_are_read_without_all_that_is_before_them() {
        let line = |number: usize| format!("{number} {}", "é".repeat(200));
        let all: Vec<String> = (0..10_000).map(line).collect();
        let text: String = all.iter().map(|line| format!("{line}\n")).collect();
        for count in [0, 1, 3, 999, 10_000, 20_000] {
            let mut file = Counting(io::Cursor::new(text.clone().into_bytes()), 0);
            let last = last_lines(&mut file, count).unwrap();
            assert_eq!(last, all[all.len().saturating_sub(count)..], "{count}");
            let wanted: usize = last.iter().map(String::len).sum();
            assert!(file.1 <= wanted + last.len() + 2 * BLOCK_BYTES as usize, "{} bytes for {count}", file.1);
        }
    }
}
