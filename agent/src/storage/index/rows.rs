//! What is remembered row by row.

use protocol::api::Wrote;
use protocol::canonical::DocHash;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Row, params};

use super::{DocumentRow, Embeds, IndexRow, Known, Lookup, Mark};
use crate::storage::fault::{Answer, At};

const ROW: &str = "row, raw, size, identity, hash, assets, refreshed, fault, run, wrote, written_hash, look";
/// The place of the identity in it.
const IDENTITY: usize = 3;

const WITH_IDENTITY: &str =
    "SELECT row, raw, size, identity, hash, assets, refreshed, fault, run, wrote, written_hash, look
    FROM rows INDEXED BY rows_by_identity WHERE collection = ?1 AND identity = ?2 ORDER BY row";

impl Lookup<'_> {
    /// Of the first `limit` rows of `from..=to`: row, hash of the bytes, and the state of the assets the copies were
    /// compared with.
    pub fn raw_hashes(&self, collection: i64, from: i64, to: i64, limit: i64) -> Answer<Vec<(i64, i64, Option<i64>)>> {
        let sql =
            "SELECT row, raw, assets FROM rows WHERE collection = ?1 AND row BETWEEN ?2 AND ?3 ORDER BY row LIMIT ?4";
        let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
        let rows = statement
            .query_map([collection, from, to, limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .at(self.path)?;
        rows.collect::<rusqlite::Result<_>>().at(self.path)
    }

    /// Of the rows `from..=to`, those with a document that `is_wanted`, at most `limit`, in order.
    pub fn rows_with(
        &self,
        collection: i64,
        (from, to): (i64, i64),
        limit: usize,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Answer<Vec<IndexRow>> {
        let sql = format!(
            "SELECT {ROW} FROM rows WHERE collection = ?1 AND row BETWEEN ?2 AND ?3 AND identity IS NOT NULL ORDER BY row"
        );
        let mut statement = self.connection.prepare_cached(&sql).at(self.path)?;
        let mut rows = statement.query([collection, from, to]).at(self.path)?;
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(row) = rows.next().at(self.path)?
        {
            if is_wanted(row.get_ref(IDENTITY).and_then(|identity| Ok(identity.as_str()?)).at(self.path)?) {
                found.push(read_row(row).at(self.path)?);
            }
        }
        Ok(found)
    }

    /// At most `limit` rows of `from..=to`, in order.
    pub fn rows(&self, collection: i64, from: i64, to: i64, limit: usize) -> Answer<Vec<IndexRow>> {
        let sql =
            format!("SELECT {ROW} FROM rows WHERE collection = ?1 AND row BETWEEN ?2 AND ?3 ORDER BY row LIMIT ?4");
        let mut statement = self.connection.prepare_cached(&sql).at(self.path)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map([collection, from, to, limit], read_row).at(self.path)?;
        rows.collect::<rusqlite::Result<_>>().at(self.path)
    }

    pub fn row(&self, collection: i64, row: i64) -> Answer<Option<IndexRow>> {
        Ok(self.rows(collection, row, row, 1)?.pop())
    }

    /// Every row with this identity, the lowest first: that one wins.
    pub fn with_identity(&self, collection: i64, identity: &str) -> Answer<Vec<IndexRow>> {
        Ok(self.with_identities(collection, [identity])?.pop().unwrap_or_default())
    }

    /// The same for many, each in its turn.
    pub fn with_identities<'i>(
        &self,
        collection: i64,
        identities: impl IntoIterator<Item = &'i str>,
    ) -> Answer<Vec<Vec<IndexRow>>> {
        let mut statement = self.connection.prepare_cached(WITH_IDENTITY).at(self.path)?;
        let mut found = Vec::new();
        for identity in identities {
            let rows = statement.query_map(params![collection, identity], read_row).at(self.path)?;
            found.push(rows.collect::<rusqlite::Result<_>>().at(self.path)?);
        }
        Ok(found)
    }

    /// Rows without a usable document. They are few.
    pub fn faulty_rows(&self, collection: i64, limit: i64) -> Answer<Vec<i64>> {
        let sql =
            "SELECT row FROM rows INDEXED BY rows_with_fault WHERE collection = ?1 AND fault IS NOT NULL LIMIT ?2";
        let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
        let rows = statement.query_map([collection, limit], |row| row.get(0)).at(self.path)?;
        rows.collect::<rusqlite::Result<_>>().at(self.path)
    }

    /// The lowest row with this identity.
    pub fn winner(&self, collection: i64, identity: &str) -> Answer<Option<i64>> {
        let sql = "SELECT min(row) FROM rows INDEXED BY rows_by_identity WHERE collection = ?1 AND identity = ?2";
        let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
        statement.query_row(params![collection, identity], |row| row.get(0)).at(self.path)
    }

    /// Identities that more than one row has.
    pub fn duplicated(&self, collection: i64) -> Answer<Vec<String>> {
        let sql = "SELECT identity FROM rows INDEXED BY rows_by_identity WHERE collection = ?1 AND identity IS NOT NULL
                   GROUP BY identity HAVING count(*) > 1";
        let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
        let identities = statement.query_map([collection], |row| row.get(0)).at(self.path)?;
        identities.collect::<rusqlite::Result<_>>().at(self.path)
    }

    /// Rows without a usable document, at most `limit`, and how many there are.
    pub fn faults(&self, collection: i64, limit: i64) -> Answer<(Vec<IndexRow>, u64)> {
        let sql = "SELECT count(*) FROM rows INDEXED BY rows_with_fault WHERE collection = ?1 AND fault IS NOT NULL";
        let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
        let total: i64 = statement.query_row([collection], |row| row.get(0)).at(self.path)?;
        if total == 0 {
            return Ok((Vec::new(), 0));
        }
        let sql = format!(
            "SELECT {ROW} FROM rows INDEXED BY rows_with_fault WHERE collection = ?1 AND fault IS NOT NULL ORDER BY row LIMIT ?2"
        );
        let mut statement = self.connection.prepare_cached(&sql).at(self.path)?;
        let rows = statement.query_map([collection, limit], read_row).at(self.path)?;
        Ok((rows.collect::<rusqlite::Result<_>>().at(self.path)?, total.cast_unsigned()))
    }

    /// Visits every document in the order of the rows.
    pub fn each_document(&self, collection: i64, mut visit: impl FnMut(DocumentRow<'_>)) -> Answer<()> {
        let sql = "SELECT row, size, identity, hash, assets IS NOT NULL, refreshed FROM rows
                   WHERE collection = ?1 AND identity IS NOT NULL ORDER BY row";
        let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
        let mut rows = statement.query([collection]).at(self.path)?;
        while let Some(row) = rows.next().at(self.path)? {
            visit(document_row(row).at(self.path)?);
        }
        Ok(())
    }

    /// Stores a row. A mark that is there already stays unless a new one comes; the look stays as long as the bytes do.
    pub fn put(&self, collection: i64, row: &IndexRow) -> Answer<()> {
        let sql = "INSERT INTO rows
            (collection, row, raw, size, identity, hash, assets, refreshed, fault, run, wrote, written_hash, look)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,
                (SELECT look FROM collections WHERE number = ?1))
            ON CONFLICT (collection, row) DO UPDATE SET look = iif(raw = ?3, look, excluded.look), raw = ?3, size = ?4, identity = ?5, hash = ?6, assets = ?7,
                refreshed = ?8, fault = ?9, run = coalesce(?10, run), wrote = coalesce(?11, wrote),
                written_hash = coalesce(?12, written_hash)";
        let (identity, hash, embeds, fault) = match &row.known {
            Known::Document { identity, hash, embeds } => (Some(identity.as_str()), Some(&hash.0[..]), *embeds, None),
            Known::Malformed(reason) => (None, None, None, Some(reason.as_str())),
            Known::TooLarge => (None, None, None, Some(TOO_LARGE)),
        };
        let values = params![
            collection,
            row.row,
            row.raw,
            row.size,
            identity,
            hash,
            embeds.map(|embeds| embeds.assets),
            embeds.and_then(|embeds| embeds.refreshed).map(|hash| hash.0),
            fault,
            row.mark.map(|mark| mark.run),
            row.mark.map(|mark| StoredWrote(mark.wrote)),
            row.mark.map(|mark| mark.hash.0),
        ];
        self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute(values)).at(self.path)?;
        identity.map_or(Ok(()), |identity| self.unbury(collection, identity))
    }

    pub fn remove(&self, collection: i64, row: i64) -> Answer<()> {
        let sql = "DELETE FROM rows WHERE collection = ?1 AND row = ?2";
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([collection, row]))
            .at(self.path)?;
        Ok(())
    }

    /// Forgets the rows `from..=to`: there are none.
    pub fn remove_between(&self, collection: i64, from: i64, to: i64) -> Answer<()> {
        let sql = "DELETE FROM rows WHERE collection = ?1 AND row BETWEEN ?2 AND ?3";
        let mut statement = self.connection.prepare_cached(sql).at(self.path)?;
        statement.execute([collection, from, to]).at(self.path)?;
        Ok(())
    }
}

fn document_row<'r>(row: &'r Row<'_>) -> rusqlite::Result<DocumentRow<'r>> {
    Ok(DocumentRow {
        row: row.get(0)?,
        size: row.get(1)?,
        identity: row.get_ref(2)?.as_str()?,
        hash: DocHash(row.get(3)?),
        has_copies: row.get(4)?,
        refreshed: row.get::<_, Option<[u8; 16]>>(5)?.map(DocHash),
    })
}

const TOO_LARGE: &str = "too large";

fn read_row(row: &Row<'_>) -> rusqlite::Result<IndexRow> {
    let identity: Option<String> = row.get(IDENTITY)?;
    let known = match identity {
        Some(identity) => Known::Document {
            identity,
            hash: DocHash(row.get(4)?),
            embeds: match row.get::<_, Option<i64>>(5)? {
                Some(assets) => Some(Embeds { assets, refreshed: row.get::<_, Option<[u8; 16]>>(6)?.map(DocHash) }),
                None => None,
            },
        },
        None => match row.get::<_, String>(7)? {
            reason if reason == TOO_LARGE => Known::TooLarge,
            reason => Known::Malformed(reason),
        },
    };
    let mark = match (row.get::<_, Option<i64>>(8)?, row.get::<_, Option<StoredWrote>>(9)?) {
        (Some(run), Some(StoredWrote(wrote))) => Some(Mark { run, wrote, hash: DocHash(row.get(10)?) }),
        _ => None,
    };
    Ok(IndexRow { row: row.get(0)?, raw: row.get(1)?, size: row.get(2)?, known, mark, look: row.get(11)? })
}

pub(super) struct StoredWrote(pub Wrote);

impl ToSql for StoredWrote {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Wrote::Created => 1.into(),
            Wrote::Updated => 2.into(),
        })
    }
}

impl FromSql for StoredWrote {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_i64()? {
            1 => Ok(Self(Wrote::Created)),
            2 => Ok(Self(Wrote::Updated)),
            other => Err(FromSqlError::OutOfRange(other)),
        }
    }
}
