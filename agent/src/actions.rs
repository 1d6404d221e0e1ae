//! What the agent's own config says is to be done beside the CMS once a run that wrote here is over (`[[on]]`).
//!
//! What is to be done is stored with the end of the run, in state.db: so it is done once for a run, whoever asks to close it
//! how often. Only what was under way when the agent ended is done once more.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use notifying::{Entry, Notice};
use protocol::api::{ActionDone, ActionsFound, Receipt};
use protocol::event;
use rusqlite::{OptionalExtension, params};
use serde_json::{Map, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::state::State;
use crate::storage::fault::{Answer, At};

/// So often what the agent did not get through is begun.
const TRIES: u32 = 2;
/// Nobody asks how it went after so long.
const KEPT_MS: i64 = 7 * 24 * 3600 * 1000;
/// After a failure of state.db.
const PAUSE: Duration = Duration::from_secs(5);

/// The table of state.db.
pub(crate) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS run_action (
    run TEXT NOT NULL, name TEXT NOT NULL, event TEXT NOT NULL, due_ms INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0, error TEXT, millis INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (run, name)
);
";

pub(crate) struct Actions {
    state: Arc<State>,
    entries: Vec<Entry>,
    due: Notify,
}

/// One that was begun.
struct Begun {
    run: String,
    name: String,
    event: String,
}

impl Actions {
    pub fn new(state: Arc<State>, entries: Vec<Entry>) -> Self {
        Self { state, entries, due: Notify::new() }
    }

    /// A run is over. Answers how many of its actions are not done.
    pub fn closed(&self, receipt: &Receipt, now_ms: i64) -> Answer<u32> {
        if self.entries.is_empty() {
            return Ok(0);
        }
        let event = event_of(receipt, now_ms);
        let wrote = receipt.collections.values().any(|landed| landed.created + landed.updated + landed.deleted > 0);
        if wrote {
            let database = self.state.database();
            for entry in self.entries.iter().filter(|entry| entry.is_about(&event)) {
                let sql = "INSERT OR IGNORE INTO run_action (run, name, event, due_ms) VALUES (?1, ?2, ?3, ?4)";
                let event = json!(event).to_string();
                database.execute(sql, params![receipt.run, entry.name(), event, now_ms]).at(&self.path())?;
            }
            let sql = "DELETE FROM run_action WHERE due_ms < ?1";
            database.execute(sql, [now_ms.saturating_sub(KEPT_MS)]).at(&self.path())?;
        }
        let pending = self.of_run(&receipt.run)?.pending;
        self.due.notify_one();
        Ok(pending)
    }

    /// How they went, of one run.
    pub fn of_run(&self, run: &str) -> Answer<ActionsFound> {
        let path = self.path();
        let database = self.state.database();
        let sql = "SELECT name, done, error, millis FROM run_action WHERE run = ?1 ORDER BY rowid";
        let mut statement = database.prepare(sql).at(&path)?;
        let mut found = ActionsFound::default();
        let rows = statement.query_map([run], |row| {
            let done =
                ActionDone { name: row.get(0)?, error: row.get(2)?, millis: row.get::<_, i64>(3)?.cast_unsigned() };
            Ok((row.get::<_, bool>(1)?, done))
        });
        for row in rows.at(&path)? {
            match row.at(&path)? {
                (true, done) => found.done.push(done),
                (false, _) => found.pending += 1,
            }
        }
        Ok(found)
    }

    /// Does what is to be done, one after the other, until `stop`: what is under way then is ended.
    pub async fn carry_out(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let this = self.clone();
            let pause = match tokio::task::spawn_blocking(move || this.begin()).await {
                Ok(Ok(Some(begun))) => {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = self.finish(begun) => continue,
                    }
                }
                Ok(Ok(None)) => None,
                Ok(Err(error)) => Some(error.message),
                Err(error) => Some(error.to_string()),
            };
            if let Some(error) = &pause {
                tracing::error!(error, "what is to be done after a run is not known");
            }
            let due = async {
                match pause {
                    Some(_) => tokio::time::sleep(PAUSE).await,
                    None => self.due.notified().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = due => {}
            }
        }
    }

    /// The next one. What was begun too often before is given up.
    fn begin(&self) -> Answer<Option<Begun>> {
        let path = self.path();
        let database = self.state.database();
        let given_up = "UPDATE run_action SET done = 1, error = ?2 WHERE done = 0 AND tries >= ?1";
        let words = format!("the agent ended while it was at work, {TRIES} times");
        database.execute(given_up, params![TRIES, words]).at(&path)?;
        let sql = "UPDATE run_action SET tries = tries + 1
                   WHERE rowid = (SELECT rowid FROM run_action WHERE done = 0 ORDER BY rowid LIMIT 1)
                   RETURNING run, name, event";
        let begun =
            database.query_row(sql, [], |row| Ok(Begun { run: row.get(0)?, name: row.get(1)?, event: row.get(2)? }));
        begun.optional().at(&path)
    }

    async fn finish(self: &Arc<Self>, begun: Begun) {
        let since = Instant::now();
        let entry = self.entries.iter().find(|entry| entry.name() == begun.name);
        let error = match entry.zip(Notice::new(&begun.name, begun.event.clone())) {
            Some((entry, notice)) => entry.carry_out(&notice).await.err().map(|failure| failure.why),
            None => Some("the agent's config has no [[on]] of that name any more".to_owned()),
        };
        let millis = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &error {
            None => tracing::info!(run.id = %begun.run, on = begun.name, duration_ms = millis, "done after a run"),
            Some(error) => tracing::warn!(run.id = %begun.run, on = begun.name, error, "failed after a run"),
        }
        let this = self.clone();
        let stored = tokio::task::spawn_blocking(move || {
            let sql = "UPDATE run_action SET done = 1, error = ?3, millis = ?4 WHERE run = ?1 AND name = ?2";
            let values = params![begun.run, begun.name, error, millis.cast_signed()];
            this.state.database().execute(sql, values).at(&this.path())
        });
        match stored.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(error = error.message, "that it was done could not be stored"),
            Err(error) => tracing::error!(%error, "that it was done could not be stored"),
        }
    }

    fn path(&self) -> PathBuf {
        self.state.directory().join("state.db")
    }
}

fn event_of(receipt: &Receipt, now_ms: i64) -> Map<String, serde_json::Value> {
    let time = chrono::DateTime::from_timestamp_millis(now_ms).unwrap_or_default();
    let counts = receipt.collections.iter().flat_map(|(name, landed)| {
        let each = [("created", landed.created), ("updated", landed.updated), ("deleted", landed.deleted)];
        each.into_iter()
            .filter(|(_, count)| *count > 0)
            .map(move |(what, count)| (format!("{name}/{what}"), json!(count)))
    });
    let mut event = Map::from_iter([
        ("event".to_owned(), json!(event::RUN_CLOSED)),
        ("run".to_owned(), json!(receipt.run)),
        ("reason".to_owned(), json!(receipt.reason)),
        ("counts".to_owned(), json!(Map::from_iter(counts))),
        ("time".to_owned(), json!(time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))),
    ]);
    if let Some(about) = &receipt.about {
        event.insert("direction".into(), json!(about.direction));
        event.insert("source".into(), json!({ "name": about.source.name }));
        event.insert("target".into(), json!({ "name": about.target.name }));
        event.insert("started_by".into(), json!(about.started_by));
    }
    event
}
