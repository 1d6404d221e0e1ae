//! Cockpit's key/value store: what it caches of models and locales is set right after a write.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::api::WriteOutcome;
use protocol::collection::Collection;
use rusqlite::OptionalExtension;
use serde_json::value::RawValue;

use super::Storage;
use super::database::Locked;
use super::fault::{Answer, At};
use super::place::MEMORY_FILE;

const MODELS_KEY: &str = "content.models";
const LOCALES_KEY: &str = "app.locales";
/// PHP's opcache may hand out an old model file for two seconds, and Cockpit build its cache from that.
const AGAIN_AFTER: Duration = Duration::from_secs(3);
/// A value that Cockpit did not build itself is not kept for longer than the opcache needs.
const EXPIRES_AFTER_SECONDS: i64 = 6;

/// Models that are to be put into the cache once more.
#[derive(Default)]
pub(crate) struct ModelCache {
    again: Mutex<BTreeMap<String, Instant>>,
}

impl Storage {
    /// What Cockpit must notice of a write to a table. A replay does it again: the process may have died in between.
    pub(crate) fn after_write(&self, collection: &Collection, outcomes: &[WriteOutcome], stale_thumbnails: bool) {
        let landed = |outcome: &WriteOutcome| {
            matches!(outcome, WriteOutcome::Created | WriteOutcome::Updated | WriteOutcome::Unchanged)
        };
        if !outcomes.iter().any(landed) {
            return;
        }
        let result = match collection {
            Collection::Locales => self.forget_cached_locales(),
            Collection::Assets if stale_thumbnails => self.drop_thumbnails(),
            _ => Ok(()),
        };
        super::log_failure("Cockpit may show something old: its cache could not be set right", result);
    }

    /// Cockpit reads the locales anew when they are not cached.
    fn forget_cached_locales(&self) -> Answer<()> {
        self.in_memory_file(|locked| {
            let path = locked.path().to_owned();
            let Some(open) = locked.open() else { return Ok(()) };
            open.connection.execute("DELETE FROM redislite WHERE key = ?1", [LOCALES_KEY]).at(&path)?;
            Ok(())
        })
    }

    /// Puts the models into the cached value as they are, now and once more after a while.
    pub(crate) fn cache_models(&self, models: &[String]) -> Answer<()> {
        if models.is_empty() {
            return Ok(());
        }
        let again = Instant::now() + AGAIN_AFTER;
        let mut waiting = self.model_cache.again.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(models.iter().map(|name| (name.clone(), again)));
        drop(waiting);
        self.put_into_cache(models)
    }

    /// The second time, for what is due.
    pub(crate) fn refresh_model_cache(&self) -> Answer<()> {
        let due: Vec<String> = {
            let mut waiting = self.model_cache.again.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let due = waiting.iter().filter(|(_, at)| **at <= now).map(|(name, _)| name.clone()).collect();
            waiting.retain(|_, at| *at > now);
            due
        };
        if due.is_empty() {
            return Ok(());
        }
        self.put_into_cache(&due)
    }

    /// Into the value that is there. Without one Cockpit would build it from what the opcache still has, and keep that:
    /// so it gets a whole one that expires when the opcache has looked at the files again.
    fn put_into_cache(&self, names: &[String]) -> Answer<()> {
        let mut models = Vec::with_capacity(names.len());
        for name in names {
            models.push((name.clone(), self.model_json(name)?));
        }
        self.in_memory_file(|locked| {
            let path = locked.path().to_owned();
            let Some(open) = locked.open() else { return Ok(()) };
            let cached: Option<String> = open
                .connection
                .query_row(
                    "SELECT keyval FROM redislite WHERE key = ?1
                     AND (expires_at IS NULL OR expires_at >= unixepoch())",
                    [MODELS_KEY],
                    |row| row.get(0),
                )
                .optional()
                .at(&path)?;
            let Some(cached) = cached else {
                let Some(value) = self.models_for_cache()? else { return Ok(()) };
                let sql = "REPLACE INTO redislite (key, keyval, expires_at) VALUES (?1, ?2, unixepoch() + ?3)";
                open.connection.execute(sql, (MODELS_KEY, &value, EXPIRES_AFTER_SECONDS)).at(&path)?;
                return Ok(());
            };
            match with_models(&cached, &models) {
                Some(value) => {
                    let sql = "UPDATE redislite SET keyval = ?2, updated_at = strftime('%s', 'now') WHERE key = ?1";
                    open.connection.execute(sql, [MODELS_KEY, &value]).at(&path)?;
                }
                // Not the value Cockpit writes: it builds a new one.
                None => {
                    open.connection.execute("DELETE FROM redislite WHERE key = ?1", [MODELS_KEY]).at(&path)?;
                }
            }
            Ok(())
        })
    }

    /// All models as Cockpit caches them. None when one of them cannot be read without running PHP.
    fn models_for_cache(&self) -> Answer<Option<String>> {
        let mut models = Vec::new();
        for name in self.all_model_names()?.unwrap_or_default() {
            let Some(model) = self.model_json(&name)? else { return Ok(None) };
            models.push((name, Some(model)));
        }
        Ok(with_models("[]", &models))
    }

    fn in_memory_file(&self, work: impl FnOnce(&mut Locked<'_>) -> Answer<()>) -> Answer<()> {
        let database = self.database(MEMORY_FILE)?;
        let mut locked = database.lock()?;
        // A cache: replacing its file voids no grant.
        locked.accept_replacement();
        let has_table = match locked.open() {
            Some(open) => open.has_table("redislite").at(&database.path)?,
            None => false,
        };
        if !has_table {
            return Ok(());
        }
        locked.transaction("BEGIN IMMEDIATE", work)
    }
}

/// The cached value with these models in it, and without those that are no more; sorted by name as Cockpit has it. An
/// empty PHP array is `[]`.
fn with_models(cached: &str, models: &[(String, Option<String>)]) -> Option<String> {
    let mut all: BTreeMap<String, Box<RawValue>> =
        if cached.trim() == "[]" { BTreeMap::new() } else { serde_json::from_str(cached).ok()? };
    for (name, json) in models {
        match json {
            Some(json) => all.insert(name.clone(), RawValue::from_string(json.clone()).ok()?),
            None => all.remove(name),
        };
    }
    if all.is_empty() { Some("[]".into()) } else { serde_json::to_string(&all).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_put_among_the_others_and_leaves_them_as_they_are() {
        let cached = r#"{"pages":{"name":"pages","x":1.0},"posts":{"name":"posts"}}"#;
        let new =
            [("posts".into(), Some(r#"{"name":"posts","label":"P"}"#.into())), ("authors".into(), Some("{}".into()))];
        let expected = r#"{"authors":{},"pages":{"name":"pages","x":1.0},"posts":{"name":"posts","label":"P"}}"#;
        assert_eq!(with_models(cached, &new).as_deref(), Some(expected));
        assert_eq!(with_models("[]", &new[1..]).as_deref(), Some(r#"{"authors":{}}"#));
        assert_eq!(with_models("[1]", &new), None);
        assert_eq!(with_models(r#"{"posts":{}}"#, &[("posts".into(), None)]).as_deref(), Some("[]"));
    }
}
