//! Which collections of add-ons there are: discovered, never guessed.

use protocol::api::TableInfo;
use protocol::collection::{Collection, Custom};
use rusqlite::Connection;

use super::Storage;
use super::fault::{Answer, At};

/// So many documents are looked at to tell whether a table is Cockpit's way to keep keys and values.
const LOOKED_AT: u32 = 100;

impl Storage {
    /// Tables of documents that are none of Cockpit's own, as far as this agent serves them.
    pub(crate) fn addon_tables(&self) -> Answer<Vec<TableInfo>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.layout.data).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            files.extend(name.strip_suffix(".sqlite").map(str::to_owned));
        }
        files.sort();
        let mut found = Vec::new();
        for stem in files {
            // What has no slash in its name is in app.sqlite; what cannot be a collection of an add-on is not opened.
            let logical = |table: &str| if stem == "app" { table.to_owned() } else { format!("{stem}/{table}") };
            if Custom::new(&logical("x"), "_id").is_none() {
                continue;
            }
            let database = self.database(&format!("{stem}.sqlite"))?;
            let mut locked = self.locked(&database)?;
            let Some(open) = locked.open() else { continue };
            for table in tables(&open.connection).at(&database.path)? {
                let Some(custom) = Custom::new(&logical(&table), "_id") else { continue };
                // A name with a slash would be another table's.
                let is_served = self.allow_collection(&Collection::Custom(custom.clone())).is_ok();
                if !is_served || table.contains('/') {
                    continue;
                }
                let (rows, keyed) = look_into(&open.connection, &table).at(&database.path)?;
                found.push(TableInfo { name: custom.name().to_owned(), rows, keyed });
            }
        }
        Ok(found)
    }
}

/// Tables made as Cockpit makes them.
fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND (SELECT count(*) FROM \
               pragma_table_info(sqlite_master.name) WHERE name IN ('id', 'document')) = 2 ORDER BY name";
    connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

fn look_into(connection: &Connection, table: &str) -> rusqlite::Result<(u64, bool)> {
    let rows: i64 =
        connection
            .query_row(&format!("SELECT ifnull(max(id) - min(id) + 1, 0) FROM `{table}`"), [], |row| row.get(0))?;
    let sql = format!(
        "SELECT count(*) > 0 AND min(CASE WHEN json_valid(document) THEN json_type(document, '$.key') = 'text' AND \
         json_type(document, '$.val') IS NOT NULL ELSE 1 END) FROM (SELECT document FROM `{table}` LIMIT {LOOKED_AT})"
    );
    let keyed: Option<bool> = connection.query_row(&sql, [], |row| row.get(0))?;
    Ok((u64::try_from(rows).unwrap_or(0), keyed.unwrap_or(false)))
}
