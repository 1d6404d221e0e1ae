//! Where Cockpit keeps a collection, and SQLite files opened and created as Cockpit does it.

use anyhow::{Context, Result};
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The SQLite file (without directory) and the table of a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    pub table: String,
}

/// `content/collections/posts` is table `collections_posts` of content.sqlite; without a slash the file is app.sqlite.
pub fn place(collection: &str) -> Place {
    match collection.split_once('/') {
        Some((file, table)) => Place { file: format!("{file}.sqlite"), table: table.replace('/', "_") },
        None => Place { file: "app.sqlite".to_owned(), table: collection.to_owned() },
    }
}

pub fn data_file(root: &Path, file: &str) -> PathBuf {
    root.join("storage/data").join(file)
}

pub fn uploads(root: &Path) -> PathBuf {
    root.join("storage/uploads")
}

/// Opens or creates a file as Cockpit does. WAL comes first: the page size Cockpit asks for afterwards has no effect.
pub fn open(root: &Path, file: &str) -> Result<Connection> {
    let path = data_file(root, file);
    let connection = Connection::open(&path).with_context(|| format!("opening {}", path.display()))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

/// Opens a file that is there; a missing file stays missing.
pub fn open_existing(root: &Path, file: &str) -> Result<Option<Connection>> {
    let path = data_file(root, file);
    if !path.exists() {
        return Ok(None);
    }
    // Not read-only: a reader of a WAL file may have to create its -shm.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(&path, flags).with_context(|| format!("opening {}", path.display()))?;
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(Some(connection))
}

pub fn create_table(connection: &Connection, table: &str) -> Result<()> {
    let table = quoted(table);
    connection.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS {table} ( id INTEGER PRIMARY KEY AUTOINCREMENT, document TEXT )"
    ))?;
    Ok(())
}

pub fn has_table(connection: &Connection, table: &str) -> Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?1";
    let count: i64 = connection.query_row(sql, [table], |row| row.get(0))?;
    Ok(count > 0)
}

pub fn tables(connection: &Connection) -> Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let mut statement = connection.prepare(sql)?;
    let names = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(names)
}

/// Inserts documents in one transaction.
pub fn insert_all(connection: &mut Connection, table: &str, documents: impl Iterator<Item = String>) -> Result<()> {
    create_table(connection, table)?;
    let transaction = connection.transaction()?;
    let mut insert = transaction.prepare(&format!("INSERT INTO {} (document) VALUES (?1)", quoted(table)))?;
    for document in documents {
        insert.execute([document])?;
    }
    drop(insert);
    transaction.commit()?;
    Ok(())
}

/// A row as it is stored: its row id and its text, which need not be JSON.
pub struct Row {
    pub id: i64,
    pub text: String,
}

/// All rows in the order of row ids. A NULL document reads as empty text.
pub fn rows(connection: &Connection, table: &str) -> Result<Vec<Row>> {
    if !has_table(connection, table)? {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT id, CAST(ifnull(document, '') AS BLOB) FROM {} ORDER BY id", quoted(table));
    let mut statement = connection.prepare(&sql)?;
    let read = |row: &rusqlite::Row<'_>| {
        let bytes: Vec<u8> = row.get(1)?;
        Ok(Row { id: row.get(0)?, text: String::from_utf8_lossy(&bytes).into_owned() })
    };
    let rows = statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?;
    Ok(rows)
}

/// A table name between Cockpit's own quotes.
pub fn quoted(table: &str) -> String {
    format!("`{}`", table.replace('`', "``"))
}
