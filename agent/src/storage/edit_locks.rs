//! Editors' locks: Cockpit's admin notes who opened an item for editing, and lets nobody else edit it for five minutes.
//!
//! Read from Cockpit's `app/options`, never written. Only the admin has locks, and for items and singletons of models
//! (and for what is never synced).

use std::collections::HashMap;

use protocol::canonical::{Document, Object, Value};
use protocol::collection::Collection;

use super::Storage;
use super::analysis::bytes_of;
use super::fault::{Answer, At};

const FILE: &str = "app.sqlite";
const TABLE: &str = "options";
/// What a lock's key begins with.
const KEY: &str = "locked:";
/// As in Cockpit, which does not take notice of older ones.
const SECONDS: i64 = 300;

/// Who has what open, by what Cockpit calls the resource.
#[derive(Default)]
pub(crate) struct EditLocks(HashMap<String, String>);

impl EditLocks {
    /// Who has it open since when, in words.
    pub fn of(&self, collection: &Collection, identity: &str) -> Option<&String> {
        match collection {
            Collection::Items(_) => self.0.get(identity),
            Collection::Singletons => self.0.get(&format!("content:singleton:{identity}")),
            _ => None,
        }
    }
}

impl Storage {
    /// The locks that hold now; none for collections that Cockpit locks nothing of, and none that are to be overridden.
    pub(crate) fn edit_locks(&self, collection: &Collection, are_overridden: bool) -> Answer<EditLocks> {
        let mut locks = EditLocks::default();
        if are_overridden || !matches!(collection, Collection::Items(_) | Collection::Singletons) {
            return Ok(locks);
        }
        let now = self.now_ms() / 1000;
        let database = self.database(FILE)?;
        let mut locked = self.locked(&database)?;
        let Some(open) = locked.open() else { return Ok(locks) };
        if !open.has_table(TABLE).at(&database.path)? {
            return Ok(locks);
        }
        let sql = format!("SELECT document FROM {TABLE} WHERE document LIKE '%\"{KEY}%'");
        let mut statement = open.connection.prepare_cached(&sql).at(&database.path)?;
        let mut rows = statement.query([]).at(&database.path)?;
        while let Some(row) = rows.next().at(&database.path)? {
            let bytes = bytes_of(row.get_ref(0).at(&database.path)?).unwrap_or_default();
            // Any add-on may keep options there.
            locks.0.extend(Document::parse(bytes).ok().and_then(|option| lock(&option, now)));
        }
        Ok(locks)
    }
}

/// The resource, and who has it open.
fn lock(option: &Document<'_>, now: i64) -> Option<(String, String)> {
    let resource = option.text("key")?.strip_prefix(KEY)?.to_owned();
    let meta = option.get("val")?.as_object()?;
    let time = integer(meta, "time")?;
    if time.saturating_add(SECONDS) < now {
        return None;
    }
    // Some of Cockpit's own code leaves out who it is.
    let user = meta.get("user").and_then(Value::as_object);
    let text = |field: &str| match user?.get(field)? {
        Value::Text(text) if !text.is_empty() => Some(text.as_ref()),
        _ => None,
    };
    let who = text("name").or_else(|| text("user")).unwrap_or("an editor");
    let email = text("email").map(|email| format!(" <{email}>")).unwrap_or_default();
    let since = integer(meta, "_created").unwrap_or(time);
    let ago = now.saturating_sub(since).max(0);
    Some((resource, format!("{who}{email} has it open in Cockpit on the target, since {ago} s")))
}

fn integer(object: &Object<'_>, field: &str) -> Option<i64> {
    match object.get(field)? {
        Value::Integer(integer) => Some(*integer),
        _ => None,
    }
}
