//! The audit log of this instance: what was done to it and what was refused, in one chain that can be checked
//! ([`protocol::audit`]).
//!
//! Owns the directory `audit` of the agent's state, its files, and where the chain begins and ends, which state.db
//! keeps too: so a tail that is cut off is noticed. It must not know requests. Locked before state.db.

use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use protocol::api::{AuditFrom, AuditPage, AuditPlace, AuditRequest, MAX_LAST};
use protocol::audit::{Action, Entry, Mark, SYSTEM};
use protocol::keys::Purpose;
use rusqlite::{Connection, OptionalExtension, params};

use crate::state::State;
use crate::storage::Clock;
use crate::storage::fault::{Answer, At};

mod files;
mod refusals;

use files::Files;
pub(crate) use files::Kept;
use refusals::Refusals;
pub(crate) use refusals::Refused;

pub(crate) const SCHEMA: &str =
    "CREATE TABLE IF NOT EXISTS audit_mark (place TEXT PRIMARY KEY, number INTEGER NOT NULL, hash TEXT NOT NULL);";

/// Who makes a request.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    pub key: String,
    pub purpose: Purpose,
    pub address: IpAddr,
}

impl Who {
    /// An entry about what they did.
    pub fn did(&self, action: Action) -> Entry {
        Entry { key: Some(self.key.clone()), address: Some(self.address.to_string()), ..Entry::new(action) }
    }
}

/// Nobody asked for it.
pub(crate) fn by_itself(action: Action, reason: impl Into<String>) -> Entry {
    Entry { user: Some(SYSTEM.into()), reason: Some(reason.into()), ..Entry::new(action) }
}

/// How soon an entry has to be on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    /// When this returns.
    Now,
    /// With the next one that has to be, or in a second.
    Soon,
}

pub(crate) struct AuditLog {
    state: Arc<State>,
    now: Clock,
    writing: Mutex<Writing>,
    refusals: Refusals,
}

struct Writing {
    files: Files,
    open: Option<File>,
    begin: Mark,
    head: Mark,
    /// Something is written that is not on the disk yet.
    dirty: bool,
    /// What was added last of what is to be there once.
    once: String,
}

/// Longer reasons are cut: a log must not be filled by what somebody sends.
const LONGEST_REASON: usize = 300;

impl AuditLog {
    /// Finds the end of what was written. What an agent that died had written and not noted yet counts; a line that it
    /// had not finished does not.
    pub fn open(state: Arc<State>, now: Clock, kept: Kept) -> Answer<Self> {
        let path = state.directory().join("state.db");
        let mut files = Files::open(state.directory().join("audit"), kept)?;
        let (begin, noted) = {
            let database = state.database();
            (mark(&database, "begin").at(&path)?, mark(&database, "head").at(&path)?)
        };
        let tail = files.mend_tail()?;
        let known = noted.is_some();
        let mut head = noted.unwrap_or_default();
        let mut last = Mark::default();
        for line in &tail {
            let Some((entry, hash)) = Entry::read(line) else { continue };
            if (entry.number == head.number + 1 && entry.previous == head.hash) || !known {
                head = Mark { number: entry.number, hash: hash.clone() };
            }
            last = Mark { number: entry.number, hash };
        }
        let writing =
            Writing { files, open: None, begin: begin.unwrap_or_default(), head, dirty: false, once: String::new() };
        let is_whole = last == writing.head;
        let log = Self { state, now, writing: Mutex::new(writing), refusals: Refusals::default() };
        if !is_whole {
            let found = if last.number == 0 { "nothing".into() } else { format!("entry {}", last.number) };
            let reason = format!("the log should end with entry {} and ended with {found}", log.lock().head.number);
            tracing::error!(reason, "the audit log is damaged");
            log.append(by_itself(Action::LogDamaged, reason), Durable::Now)?;
        }
        Ok(log)
    }

    /// Adds an entry: number, time, target and the place in the chain are given to it here.
    pub fn append(&self, entry: Entry, durable: Durable) -> Answer<()> {
        self.append_to(&mut self.lock(), entry, durable)
    }

    /// The same; asked again for the same `what` it adds nothing.
    pub fn append_once(&self, what: &str, entry: Entry) -> Answer<()> {
        let mut writing = self.lock();
        if writing.once != what {
            self.append_to(&mut writing, entry, Durable::Now)?;
            writing.once = what.to_owned();
        }
        Ok(())
    }

    fn append_to(&self, writing: &mut Writing, entry: Entry, durable: Durable) -> Answer<()> {
        let entry = Entry {
            number: writing.head.number + 1,
            time: self.time(),
            target: self.state.instance().into(),
            reason: entry.reason.map(|reason| reason.chars().take(LONGEST_REASON).collect()),
            previous: writing.head.hash.clone(),
            ..entry
        };
        let (line, hash) = entry.line();
        writing.write(entry.number, &line)?;
        writing.head = Mark { number: entry.number, hash };
        writing.dirty = true;
        if durable == Durable::Now {
            self.settle(writing)?;
        }
        Ok(())
    }

    /// Counts a refusal. What it gives back is to be added.
    pub fn refused(&self, refused: Refused, reason: &str) -> Option<Entry> {
        self.refusals.count(refused, reason)
    }

    /// Adds what was counted for long enough (all of it, at the `end`), and sees to it that everything is on the disk.
    pub fn save(&self, end: bool) -> Answer<()> {
        for entry in self.refusals.summed(end) {
            self.append(entry, Durable::Soon)?;
        }
        self.settle(&mut self.lock())
    }

    /// Brings to the disk what is not there yet, and lets go of the oldest files.
    fn settle(&self, writing: &mut Writing) -> Answer<()> {
        if !writing.dirty {
            return Ok(());
        }
        if let Some(file) = &writing.open {
            file.sync_data().at(writing.files.directory())?;
        }
        if let Some(begin) = writing.files.new_begin()? {
            writing.begin = begin;
        }
        let path = self.state.directory().join("state.db");
        let sql = "INSERT OR REPLACE INTO audit_mark VALUES ('begin', ?1, ?2), ('head', ?3, ?4)";
        let (begin, head) = (&writing.begin, &writing.head);
        let values = params![begin.number.cast_signed(), begin.hash, head.number.cast_signed(), head.hash];
        self.state.database().execute(sql, values).at(&path)?;
        writing.dirty = false;
        writing.files.drop_before(&writing.begin)
    }

    pub fn read(&self, request: &AuditRequest) -> Answer<AuditPage> {
        // Held while it is read: the last page must end where the chain does.
        let writing = self.lock();
        let (begin, head) = (writing.begin.clone(), writing.head.clone());
        let (lines, next) = match request.from {
            AuditFrom::Last(count) => (writing.files.last(count.min(MAX_LAST) as usize)?, None),
            AuditFrom::Place(place) => {
                let oldest = AuditPlace { file: begin.number + 1, offset: 0 };
                writing.files.page(if place.file < oldest.file { oldest } else { place })?
            }
        };
        Ok(AuditPage { lines, next, begin, head })
    }

    fn lock(&self) -> MutexGuard<'_, Writing> {
        // A panic elsewhere leaves at most a line that is not finished, which the next start removes.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn time(&self) -> String {
        let since = (self.now)().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = i64::try_from(since.as_millis()).ok().and_then(chrono::DateTime::from_timestamp_millis);
        time.map_or_else(String::new, |time| time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
    }
}

impl Writing {
    /// A line is there as a whole or not at all, as far as this process can see to it.
    fn write(&mut self, number: u64, line: &str) -> Answer<()> {
        let directory = self.files.directory().to_owned();
        if self.open.is_none() || self.files.is_full() {
            if let Some(full) = self.open.take() {
                full.sync_data().at(&directory)?;
            }
            self.open = Some(self.files.for_next(number)?);
        }
        let Some(file) = &mut self.open else { return Ok(()) };
        let written = file.write_all(format!("{line}\n").as_bytes());
        if written.is_err() {
            // What got there of it would stand before the next line.
            self.open = None;
            self.files.mend_tail()?;
        }
        written.at(&directory)?;
        self.files.grew(line.len() as u64 + 1);
        Ok(())
    }
}

fn mark(database: &Connection, place: &str) -> rusqlite::Result<Option<Mark>> {
    let sql = "SELECT number, hash FROM audit_mark WHERE place = ?1";
    let read = |row: &rusqlite::Row<'_>| Ok(Mark { number: row.get::<_, i64>(0)?.cast_unsigned(), hash: row.get(1)? });
    database.query_row(sql, [place], read).optional()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::fs;
    use std::path::Path;
    use std::time::SystemTime;

    use protocol::audit::{Chain, Problem};

    use super::*;

    fn open(folder: &Path, kept: Kept) -> AuditLog {
        let state = Arc::new(State::open(&folder.join("state"), folder).unwrap());
        AuditLog::open(state, Arc::new(SystemTime::now), kept).unwrap()
    }

    fn add(log: &AuditLog, count: usize, durable: Durable) {
        (0..count).for_each(|_| log.append(by_itself(Action::Deleted, "a test"), durable).unwrap());
    }

    fn problems(log: &AuditLog) -> (u64, Vec<Problem>) {
        let mut place = Some(AuditPlace::default());
        let mut chain = None;
        while let Some(from) = place {
            let page = log.read(&AuditRequest { from: AuditFrom::Place(from) }).unwrap();
            let chain = chain.get_or_insert_with(|| Chain::behind(page.begin.clone(), None));
            page.lines.iter().for_each(|line| chain.follow(line));
            place = page.next;
            if place.is_none() {
                chain.end(&page.head);
            }
        }
        let chain = chain.unwrap();
        (chain.entries, chain.problems)
    }

    fn files(folder: &Path) -> Vec<std::path::PathBuf> {
        let entries = fs::read_dir(folder.join("state/audit")).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn edit(file: &Path, change: impl FnOnce(&mut Vec<String>)) {
        let mut lines: Vec<String> = fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect();
        change(&mut lines);
        fs::write(file, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    }

    #[test]
    fn a_log_goes_on_where_it_ended_and_the_oldest_files_give_way() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept { file_bytes: 2000, files: 3 };
        for round in 1..=4 {
            let log = open(folder.path(), kept);
            add(&log, 10, Durable::Now);
            let (entries, problems) = problems(&log);
            assert_eq!(problems, []);
            assert!(round > 1 || entries == 10, "{entries}");
            assert_eq!(log.lock().head.number, round * 10);
            let last = log.read(&AuditRequest { from: AuditFrom::Last(9) }).unwrap();
            assert_eq!(last.lines.len(), 9);
            assert_eq!(Entry::read(&last.lines[8]).unwrap().0.number, round * 10);
        }
        assert!(files(folder.path()).len() <= 4, "{:?}", files(folder.path()));
        assert!(open(folder.path(), kept).lock().begin.number > 0);
    }

    #[test]
    fn what_was_changed_removed_or_cut_off_is_found_also_after_a_new_start() {
        type Meddle = fn(&mut Vec<String>);
        let cases: [(Meddle, Problem); 4] = [
            (|lines| lines[3] = lines[3].replace("a test", "no test"), Problem::Changed { number: 4 }),
            (|lines| drop(lines.remove(3)), Problem::Missing { first: 4, last: 4 }),
            (|lines| lines.truncate(7), Problem::Cut { first: 8, last: 10 }),
            (|lines| lines[9] = lines[9].replace("a test", "no test"), Problem::Changed { number: 10 }),
        ];
        for (meddle, expected) in cases {
            let folder = tempfile::tempdir().unwrap();
            let log = open(folder.path(), Kept::default());
            add(&log, 10, Durable::Now);
            edit(&files(folder.path())[0], meddle);
            assert_eq!(problems(&log).1, std::slice::from_ref(&expected));
            log.state.release();
            drop(log);
            // The agent goes on, and what is gone stays gone.
            let log = open(folder.path(), Kept::default());
            add(&log, 2, Durable::Now);
            let expected = match expected {
                Problem::Cut { first, last } => Problem::Missing { first, last },
                other => other,
            };
            assert_eq!(problems(&log).1, [expected]);
        }
    }

    #[test]
    fn what_an_agent_that_died_had_written_counts_and_half_a_line_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path(), Kept::default());
        add(&log, 2, Durable::Now);
        add(&log, 2, Durable::Soon);
        log.state.release();
        drop(log);
        let file = &files(folder.path())[0];
        let mut text = fs::read_to_string(file).unwrap();
        text += "{\"number\":5,\"ti";
        fs::write(file, text).unwrap();
        let log = open(folder.path(), Kept::default());
        add(&log, 1, Durable::Now);
        assert_eq!(problems(&log), (5, Vec::new()));
        assert_eq!(log.lock().head.number, 5);
    }

    #[test]
    fn what_is_asked_for_again_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path(), Kept::default());
        for what in ["a", "a", "b", "b"] {
            log.append_once(what, Entry::new(Action::GrantOpened)).unwrap();
        }
        assert_eq!(log.lock().head.number, 2);
    }
}
