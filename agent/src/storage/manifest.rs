//! What this instance has, told before a run is made.

use std::time::UNIX_EPOCH;

use protocol::PROTOCOL_VERSION;
use protocol::api::{Manifest, ManifestRequest, ModelInfo, ModelKind, UndoRoom};
use protocol::canonical::Document;
use protocol::collection::Collection;

use super::Storage;
use super::analysis::bytes_of;
use super::fault::{Answer, At};
use super::reading::first_and_last;
use super::table::with_table;

/// More locales than this are not named.
const LOCALES_NAMED: i64 = 1000;

impl Storage {
    pub fn manifest(&self, _: &ManifestRequest) -> Answer<Manifest> {
        let mut warnings = self.config.notes.clone();
        let mut models = Vec::new();
        for name in self.model_names()?.unwrap_or_default() {
            match self.model(&name)? {
                Some(Ok(definition)) => {
                    let items = match definition.kind {
                        ModelKind::Singleton => 1,
                        ModelKind::Collection | ModelKind::Tree => {
                            self.rows_at_most(&Collection::Items(name.clone()))?
                        }
                    };
                    models.push(ModelInfo { name, kind: definition.kind, hash: definition.hash, items });
                }
                Some(Err(reason)) => warnings.push(reason),
                None => {}
            }
        }
        let time_ms = (self.settings.now)().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Ok(Manifest {
            protocol: PROTOCOL_VERSION,
            agent_version: env!("CARGO_PKG_VERSION").into(),
            cockpit_version: self.cockpit_version.clone(),
            instance: self.instance().into(),
            time_ms: time_ms.try_into().unwrap_or(i64::MAX),
            capabilities: Vec::new(),
            read_only: self.settings.read_only,
            models,
            locales: self.locales()?,
            singletons: self.rows_at_most(&Collection::Singletons)?,
            assets: self.rows_at_most(&Collection::Assets)?,
            folders: self.rows_at_most(&Collection::Folders)?,
            tables: self.addon_tables()?,
            grant: self.grants.info(),
            sync_lock: self.sync_lock(),
            undo: Some(self.undo_room()),
            storage: Some(self.health()),
            warnings,
        })
    }

    /// From the row ids alone.
    fn rows_at_most(&self, collection: &Collection) -> Answer<u64> {
        let table = self.table(collection)?;
        let database = self.database(&table.file)?;
        let mut locked = self.locked(&database)?;
        let Some(open) = with_table(&mut locked, &table)? else { return Ok(0) };
        let (first, last) = first_and_last(open, &table).at(&database.path)?;
        Ok(if last == 0 { 0 } else { last - first + 1 })
    }

    fn undo_room(&self) -> UndoRoom {
        let mut documents = 0;
        for file in ["content.sqlite", "app.sqlite", "assets.sqlite"] {
            documents += std::fs::metadata(self.database_path(file)).map_or(0, |metadata| metadata.len());
        }
        UndoRoom { bytes: self.settings.undo.bytes, days: self.settings.undo.days, documents }
    }

    /// Rows of a collection, or of one identity in it.
    pub(crate) fn document_count(&self, collection: &Collection, identity: Option<&str>) -> Answer<u64> {
        let table = self.table(collection)?;
        let database = self.database(&table.file)?;
        let assets = self.assets_for(collection)?;
        self.catch_up(&database, &table, assets.as_ref())?;
        let mut locked = self.locked(&database)?;
        let Some(open) = with_table(&mut locked, &table)? else { return Ok(0) };
        if let Some(identity) = identity {
            return Ok(self.rows_of(open, &table, identity, assets.as_ref())?.len() as u64);
        }
        let sql = format!("SELECT count(*) FROM {}", table.quoted());
        let count: i64 = open.connection.query_row(&sql, [], |row| row.get(0)).at(&database.path)?;
        Ok(count.cast_unsigned())
    }

    fn locales(&self) -> Answer<Vec<String>> {
        let table = self.table(&Collection::Locales)?;
        let database = self.database(&table.file)?;
        let mut locked = self.locked(&database)?;
        let Some(open) = with_table(&mut locked, &table)? else { return Ok(Vec::new()) };
        let sql = format!("SELECT document FROM {} ORDER BY id LIMIT {LOCALES_NAMED}", table.quoted());
        let mut statement = open.connection.prepare_cached(&sql).at(&database.path)?;
        let mut rows = statement.query([]).at(&database.path)?;
        let mut locales = Vec::new();
        while let Some(row) = rows.next().at(&database.path)? {
            let bytes = bytes_of(row.get_ref(0).at(&database.path)?).unwrap_or_default();
            let code = Document::parse(bytes).ok().and_then(|document| document.text("i18n").map(str::to_owned));
            locales.extend(code.filter(|code| !locales.contains(code)).into_iter().collect::<Vec<_>>());
        }
        Ok(locales)
    }
}
