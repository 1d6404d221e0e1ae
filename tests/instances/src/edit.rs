//! One document at a time, as an editor (or an accident) would change it, directly in the tables.

use crate::php_json::to_php_json;
use crate::storage::{self, Place, Row, quoted};
use anyhow::{Context, Result, bail};
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The collection of a model's items.
pub fn collection_of(model: &str) -> String {
    format!("content/collections/{model}")
}

/// Changes an item of a collection or tree, as an editor's save does: `_modified` is set to now, then `edit` is asked.
pub fn edit_item(root: &Path, model: &str, id: &str, edit: impl FnOnce(&mut Value)) -> Result<()> {
    edit_document(root, &collection_of(model), id, |document| {
        document["_modified"] = json!(now());
        edit(document);
    })
}

/// Changes a document as told and in nothing else. With a doubled id it is the row with the lowest row id.
///
/// `id` is the `_id`, or for singletons also the model's name.
pub fn edit_document(root: &Path, collection: &str, id: &str, edit: impl FnOnce(&mut Value)) -> Result<()> {
    let (connection, place) = existing(root, collection)?;
    let row = first_row(&connection, &place, id)?.with_context(|| format!("no {id} in {collection}"))?;
    let mut document = parse(&row.text)?;
    edit(&mut document);
    write_row(&connection, &place, row.id, &to_php_json(&document))
}

/// The item as it is stored, or nothing.
pub fn read_item(root: &Path, model: &str, id: &str) -> Result<Option<Value>> {
    read_document(root, &collection_of(model), id)
}

pub fn read_document(root: &Path, collection: &str, id: &str) -> Result<Option<Value>> {
    let place = storage::place(collection);
    let Some(connection) = storage::open_existing(root, &place.file)? else { return Ok(None) };
    first_row(&connection, &place, id)?.map(|row| parse(&row.text)).transpose()
}

/// Deletes every row of this item; says how many there were.
pub fn delete_item(root: &Path, model: &str, id: &str) -> Result<usize> {
    delete_document(root, &collection_of(model), id)
}

pub fn delete_document(root: &Path, collection: &str, id: &str) -> Result<usize> {
    let (connection, place) = existing(root, collection)?;
    let mut deleted = 0;
    for row in rows_of(&connection, &place, id)? {
        deleted += connection.execute(&format!("DELETE FROM {} WHERE id = ?1", quoted(&place.table)), [row.id])?;
    }
    Ok(deleted)
}

/// Inserts a document as Cockpit would write it; creates the file and the table where they are missing.
pub fn insert_document(root: &Path, collection: &str, document: &Value) -> Result<i64> {
    insert_raw(root, collection, &to_php_json(document))
}

/// Inserts this very text, be it JSON or not, and gives its row id.
pub fn insert_raw(root: &Path, collection: &str, text: &str) -> Result<i64> {
    let place = storage::place(collection);
    let connection = storage::open(root, &place.file)?;
    storage::create_table(&connection, &place.table)?;
    connection.execute(&format!("INSERT INTO {} (document) VALUES (?1)", quoted(&place.table)), [text])?;
    Ok(connection.last_insert_rowid())
}

/// Replaces the text of a document by one that is not JSON. Its id is gone with it, so the row id is the answer.
pub fn corrupt_row(root: &Path, collection: &str, id: &str) -> Result<i64> {
    let (connection, place) = existing(root, collection)?;
    let row = first_row(&connection, &place, id)?.with_context(|| format!("no {id} in {collection}"))?;
    let cut_off = row.text.chars().take(row.text.chars().count() / 2).collect::<String>();
    write_row(&connection, &place, row.id, &cut_off)?;
    Ok(row.id)
}

/// Adds a second row with the same id, changed by `edit`, as Cockpit's `insert` allows; gives its row id.
pub fn duplicate_id(root: &Path, collection: &str, id: &str, edit: impl FnOnce(&mut Value)) -> Result<i64> {
    let mut document = read_document(root, collection, id)?.with_context(|| format!("no {id} in {collection}"))?;
    edit(&mut document);
    insert_document(root, collection, &document)
}

/// Notes that somebody has had an item open in Cockpit's admin since `time`, as `lockResourceId` of Cockpit 2.13.2 does. A
/// singleton goes by `content:singleton:NAME`.
pub fn open_in_admin(root: &Path, resource: &str, time: i64) -> Result<()> {
    let user = json!({"_id": "6b02f02b686c821ef0c1d19b", "name": "Anna", "user": "anna", "email": "anna@example.com"});
    let meta = json!({
        "rid": resource, "user": user, "sid": "0cc175b9c0f1b6a831c399e269772661", "time": time, "_created": time,
        "_updated": time,
    });
    let option = json!({"key": format!("locked:{resource}"), "val": meta, "_id": lock_of(resource)});
    insert_document(root, LOCKS, &option).map(drop)
}

/// Takes that back, as unlocking it in the admin does.
pub fn close_in_admin(root: &Path, resource: &str) -> Result<()> {
    delete_document(root, LOCKS, &lock_of(resource)).map(drop)
}

const LOCKS: &str = "app/options";

fn lock_of(resource: &str) -> String {
    format!("lock of {resource}")
}

/// The number of rows; 0 where there is no table.
pub fn count(root: &Path, collection: &str) -> Result<usize> {
    let place = storage::place(collection);
    let Some(connection) = storage::open_existing(root, &place.file)? else { return Ok(0) };
    Ok(storage::rows(&connection, &place.table)?.len())
}

/// The ids of all documents, in the order of the rows; what is not JSON or has no id is left out.
pub fn ids(root: &Path, collection: &str) -> Result<Vec<String>> {
    let place = storage::place(collection);
    let Some(connection) = storage::open_existing(root, &place.file)? else { return Ok(Vec::new()) };
    let rows = storage::rows(&connection, &place.table)?;
    let ids = rows.iter().filter_map(|row| parse(&row.text).ok()?["_id"].as_str().map(str::to_owned));
    Ok(ids.collect())
}

/// JSON of any depth.
pub fn parse(text: &str) -> Result<Value> {
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    let value = Value::deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs()
}

pub fn write_row(connection: &Connection, place: &Place, row: i64, text: &str) -> Result<()> {
    connection.execute(&format!("UPDATE {} SET document = ?1 WHERE id = ?2", quoted(&place.table)), (text, row))?;
    Ok(())
}

fn existing(root: &Path, collection: &str) -> Result<(Connection, Place)> {
    let place = storage::place(collection);
    match storage::open_existing(root, &place.file)? {
        Some(connection) => Ok((connection, place)),
        None => bail!("{} has no {}", root.display(), place.file),
    }
}

fn first_row(connection: &Connection, place: &Place, id: &str) -> Result<Option<Row>> {
    Ok(rows_of(connection, place, id)?.into_iter().next())
}

fn rows_of(connection: &Connection, place: &Place, id: &str) -> Result<Vec<Row>> {
    let mut rows = storage::rows(connection, &place.table)?;
    // The text is searched first: parsing 20,000 documents to find one is what makes tests slow.
    rows.retain(|row| row.text.contains(id) && parse(&row.text).is_ok_and(|document| is_named(&document, id)));
    Ok(rows)
}

fn is_named(document: &Value, id: &str) -> bool {
    document["_id"] == id || document["_model"] == id
}
