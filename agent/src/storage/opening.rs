//! The SQLite files and tables that are open, and what follows when one of them was replaced by another file.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard, PoisonError};

use protocol::api::{AgentError, ErrorCode};
use protocol::collection::Collection;

use super::database::{self, Database, Locked};
use super::fault::Answer;
use super::place::{MEMORY_FILE, table_of};
use super::table::Table;
use super::{Storage, log_failure};

impl Storage {
    fn databases(&self) -> MutexGuard<'_, HashMap<String, Arc<Database>>> {
        self.databases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all_databases(&self) -> Vec<Arc<Database>> {
        self.databases().values().cloned().collect()
    }

    pub(super) fn database(&self, name: &str) -> Answer<Arc<Database>> {
        let mut databases = self.databases();
        if let Some(database) = databases.get(name) {
            return Ok(database.clone());
        }
        let seen = self.index.lock().database(name)?;
        let database = Arc::new(Database::new(name, self.database_path(name), seen));
        databases.insert(name.into(), database.clone());
        Ok(database)
    }

    pub(super) fn database_path(&self, name: &str) -> PathBuf {
        self.layout.database(name)
    }

    pub(super) fn table(&self, collection: &Collection) -> Answer<Table> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = tables.get(collection) {
            return Ok(table.clone());
        }
        let Some((file, name)) = table_of(collection) else {
            return Err(AgentError::new(ErrorCode::Internal, format!("{collection} has no table")));
        };
        let number = self.index.lock().number(&collection.name(), &file)?;
        let table = Table::new(collection, number, file, name);
        tables.insert(collection.clone(), table.clone());
        Ok(table)
    }

    pub(super) fn locked<'a>(&self, database: &'a Database) -> Answer<Locked<'a>> {
        let mut locked = database.lock()?;
        self.draw_consequences(database, &mut locked)?;
        Ok(locked)
    }

    /// For a write: it must not land in another file than the one its run has seen.
    pub(super) fn locked_to_write<'a>(&self, database: &'a Database) -> Answer<Locked<'a>> {
        let mut locked = database.lock_to_write()?;
        if self.draw_consequences(database, &mut locked)? {
            let message = format!("{} was replaced by another file: open the grant anew", database.path.display());
            return Err(AgentError::new(ErrorCode::DatabaseReplaced, message));
        }
        Ok(locked)
    }

    /// Voids the grant and forgets the index of a file that was replaced. True if it was.
    fn draw_consequences(&self, database: &Database, locked: &mut Locked<'_>) -> Answer<bool> {
        let replaced = locked.replaced();
        if replaced {
            self.grants.void()?;
            tracing::warn!(file = %database.path.display(), "the database file was replaced: no grant is valid any more");
            let lookup = self.index.lock();
            for collection in lookup.collections()? {
                let is_in_it = Collection::try_from(collection.1)
                    .ok()
                    .and_then(|collection| table_of(&collection))
                    .is_some_and(|(file, _)| file == database.name);
                if is_in_it {
                    lookup.forget(collection.0)?;
                    lookup.forget_looks(collection.0)?;
                }
            }
            drop(lookup);
            locked.accept_replacement();
        }
        if locked.is_newly_opened() {
            self.index.lock().set_database(&database.name, locked.id())?;
        }
        Ok(replaced)
    }

    pub(super) fn void_if_replaced(&self) {
        for database in self.all_databases() {
            // A cache holds nothing a run has seen.
            if database.name != MEMORY_FILE && database.looks_replaced() {
                log_failure("a replaced database could not be looked at", self.locked(&database).map(drop));
            }
        }
    }

    /// Notes for which state of the file the index is whole.
    pub(super) fn remember(&self, file: &str, open: &mut database::Open, fingerprint: &str) -> Answer<()> {
        let tables: Vec<Table> = {
            let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
            tables.values().filter(|table| table.file == file).cloned().collect()
        };
        for table in tables {
            if let Some(state) = open.tables.get(&table.key).filter(|state| state.certain) {
                self.index.lock().set_whole(table.number, Some((fingerprint, state.assets)))?;
            }
        }
        Ok(())
    }
}
