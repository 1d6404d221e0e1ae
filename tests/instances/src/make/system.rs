//! The system's own documents (users, locales) and the memory file with its caches.

use super::Making;
use crate::ids::MADE_AT;
use crate::php_json::to_php_json;
use crate::storage;
use anyhow::Result;
use rusqlite::Connection;
use serde_json::{Map, Value, json};
use std::path::Path;

/// The text with which Cockpit's RedisLite creates its table, blanks included.
const MEMORY_TABLE: &str = "
            CREATE TABLE redislite (
                key VARCHAR(255) PRIMARY KEY,
                keyval TEXT NOT NULL CHECK (json_valid(keyval)),
                created_at INTEGER DEFAULT (strftime('%s', 'now')),
                updated_at INTEGER DEFAULT (strftime('%s', 'now')),
                expires_at INTEGER DEFAULT NULL,
                CHECK (length(key) > 0 AND length(key) <= 255)
            ) WITHOUT ROWID
        ";
const MEMORY_INDEX: &str = "CREATE INDEX idx_redislite_expires ON redislite(expires_at) WHERE expires_at IS NOT NULL";
pub const MEMORY_FILE: &str = "app.memory.sqlite";

/// `password_hash("admin")`, so that a made instance can be logged into.
const ADMIN_PASSWORD: &str = "$2y$10$Uz77MsqZyS1OOv2.QxkmouJU8bjulojOQGBs6/.3JcoC/7s6NMm0S";

pub fn write_user(making: &Making<'_>) -> Result<()> {
    let user = json!({
        "active": true, "user": "admin", "name": "Admin", "email": "admin@admin.com", "password": ADMIN_PASSWORD,
        "i18n": "en", "role": "admin", "theme": "auto", "_modified": MADE_AT, "_created": MADE_AT, "_id": making.user,
    });
    making.insert("system/users", [to_php_json(&user)].into_iter())
}

pub fn write_locales(making: &mut Making<'_>) -> Result<()> {
    let mut names = vec![("default".to_owned(), "English (en)".to_owned())];
    for locale in &making.shape.locales {
        let name = if locale == "de" { "Deutsch".to_owned() } else { locale.to_uppercase() };
        names.push((locale.clone(), name));
    }
    let mut cached = Map::new();
    let mut rows = Vec::new();
    for (locale, name) in names {
        let mut row = json!({
            "i18n": locale, "name": name, "enabled": true, "meta": {}, "_modified": MADE_AT, "_created": MADE_AT,
            "_id": making.ids.next(),
        });
        rows.push(to_php_json(&row));
        row["meta"] = json!([]); // PHP reads an empty object as an empty list
        cached.insert(locale, row);
    }
    making.insert("system/locales", rows.into_iter())?;
    if making.shape.cached {
        write_cached(making.root, "app.locales", &Value::Object(cached))?;
    }
    Ok(())
}

pub fn write_memory(root: &Path) -> Result<()> {
    let connection = storage::open(root, MEMORY_FILE)?;
    connection.execute_batch(MEMORY_TABLE)?;
    connection.execute_batch(MEMORY_INDEX)?;
    Ok(())
}

pub fn write_cached(root: &Path, key: &str, value: &Value) -> Result<()> {
    let connection: Connection = storage::open(root, MEMORY_FILE)?;
    let sql = "INSERT INTO redislite (key, keyval, created_at, updated_at) VALUES (?1, ?2, ?3, ?3)";
    connection.execute(sql, (key, to_php_json(value), MADE_AT))?;
    Ok(())
}
