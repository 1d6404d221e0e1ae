//! What a write is about to commit: should the process die just then, the next look tells what became of it.

use protocol::api::Wrote;
use rusqlite::{OptionalExtension, params};

use super::{IndexRow, Lookup};
use crate::storage::fault::{Answer, At};

/// Bytes of one row: row, hash of the bytes, created or updated.
const LENGTH: usize = 17;

/// A row that was to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Intent {
    pub row: i64,
    pub raw: i64,
    pub run: i64,
    pub wrote: Wrote,
}

impl Lookup<'_> {
    pub fn intend(&self, collection: i64, run: i64, rows: &[IndexRow]) -> Answer<()> {
        let mut bytes = Vec::with_capacity(rows.len() * LENGTH);
        for row in rows {
            bytes.extend(row.row.to_le_bytes());
            bytes.extend(row.raw.to_le_bytes());
            bytes.push(u8::from(row.mark.is_some_and(|mark| mark.wrote == Wrote::Updated)));
        }
        let mut statement = self.connection.prepare_cached("REPLACE INTO intents VALUES (?1, ?2, ?3)").at(self.path)?;
        statement.execute(params![collection, run, bytes]).at(self.path)?;
        Ok(())
    }

    /// What a write that was interrupted had in mind.
    pub fn intents(&self, collection: i64) -> Answer<Vec<Intent>> {
        let mut statement =
            self.connection.prepare_cached("SELECT run, rows FROM intents WHERE collection = ?1").at(self.path)?;
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let found: Option<(i64, Vec<u8>)> = statement.query_row([collection], read).optional().at(self.path)?;
        let Some((run, bytes)) = found else { return Ok(Vec::new()) };
        let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("8 of 17 bytes"));
        let intent = |bytes: &[u8]| Intent {
            row: number(&bytes[..8]),
            raw: number(&bytes[8..16]),
            run,
            wrote: if bytes[16] == 0 { Wrote::Created } else { Wrote::Updated },
        };
        Ok(bytes.chunks_exact(LENGTH).map(intent).collect())
    }

    pub fn done(&self, collection: i64) -> Answer<()> {
        let mut statement = self.connection.prepare_cached("DELETE FROM intents WHERE collection = ?1").at(self.path)?;
        statement.execute([collection]).at(self.path)?;
        Ok(())
    }
}
