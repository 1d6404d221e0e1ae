//! A CMS that saves all the time: one statement each, which waits for SQLite's lock, as Cockpit does it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::percentile;

const SAVE_EVERY: Duration = Duration::from_millis(20);
/// How long Cockpit lets SQLite wait for a lock.
const CMS_BUSY: Duration = Duration::from_secs(5);

#[derive(Default)]
pub struct Saves {
    /// Milliseconds.
    took: Vec<f64>,
    /// By row, what was saved last.
    last: BTreeMap<i64, i64>,
}

pub fn save_all_the_time(database: &Connection, posts: usize, over: &AtomicBool) -> Saves {
    database.busy_timeout(CMS_BUSY).unwrap();
    let sql = "UPDATE \"collections_posts\" SET document = json_set(document, '$.saved', ?1) WHERE id = ?2";
    let mut saves = Saves::default();
    for number in 1.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let row = number % i64::try_from(posts).unwrap() + 1;
        let begun = Instant::now();
        let saved = database.execute(sql, (number, row)).unwrap_or_else(|error| panic!("a save in the CMS: {error}"));
        saves.took.push(begun.elapsed().as_secs_f64() * 1000.0);
        assert_eq!(saved, 1, "row {row}");
        saves.last.insert(row, number);
        std::thread::sleep(SAVE_EVERY);
    }
    saves
}

impl Saves {
    pub fn longest(&self) -> f64 {
        percentile(&self.took, 1.0)
    }

    pub fn assert_all_there(&self, database: &Connection) {
        assert!(!self.last.is_empty());
        let sql = "SELECT json_extract(document, '$.saved') FROM \"collections_posts\" WHERE id = ?1";
        for (row, number) in &self.last {
            let saved: i64 = database.query_row(sql, [row], |row| row.get(0)).unwrap();
            assert_eq!(saved, *number, "what the CMS saved into row {row}");
        }
    }
}

impl fmt::Display for Saves {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, p99, longest) = (self.took.len(), percentile(&self.took, 0.99), self.longest());
        write!(formatter, "saves in the CMS: {count}, p99 {p99:.1} ms, the longest {longest:.1} ms")
    }
}
