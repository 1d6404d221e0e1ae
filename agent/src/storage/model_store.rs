//! Where model definitions are: PHP files of their own, read as literals and never executed; or, if Cockpit's config says
//! so, rows of a table. Knows how one is found, read and replaced, and nothing of runs and grants.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use protocol::api::{AgentError, ErrorCode};
use protocol::canonical::Document;
use protocol::collection::{Collection, is_model_name};
use rusqlite::OptionalExtension;

use super::Storage;
use super::analysis::raw_hash;
use super::database::{Open, vanished};
use super::fault::{Answer, At};
use super::fingerprint::Fingerprint;
use super::images::Rows;
use super::models::{Definition, Model, definition};
use super::owner;
use super::place::MODEL_SUFFIX;
use super::table::{Table, with_table};
use super::undo::put_rows;
use crate::php;

/// The SQLite file and the table of models in the database.
const FILE: &str = "content.sqlite";
const TABLE: &str = "models";
/// The name of the model in a row; none where the row is no JSON.
const NAME: &str = "CASE WHEN json_valid(document) THEN json_extract(document, '$.name') END";

/// Models that were read lately, and the turn to write one.
#[derive(Default)]
pub(crate) struct ModelStore {
    /// Each with what tells whether it is still the same.
    read: Mutex<HashMap<String, (String, Model)>>,
    pub writing: Mutex<()>,
}

impl ModelStore {
    fn known(&self, name: &str, version: &str) -> Option<Model> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.get(name).filter(|(known, _)| known == version).map(|(_, model)| model.clone())
    }

    fn remember(&self, name: &str, version: String, model: &Model) {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into(), (version, model.clone()));
    }
}

impl Storage {
    /// None when there is no such model.
    pub(crate) fn model(&self, name: &str) -> Answer<Option<Model>> {
        match (is_model_name(name), self.config.models_in_database) {
            (false, _) => Ok(None),
            (true, false) => self.model_in_file(name),
            (true, true) => self.model_in_row(name),
        }
    }

    /// Names of all models, served or not, and of what calls itself one. None when there is no directory or table for them.
    pub(crate) fn all_model_names(&self) -> Answer<Option<Vec<String>>> {
        if self.config.models_in_database { self.names_in_rows() } else { self.names_of_files() }
    }

    fn model_in_file(&self, name: &str) -> Answer<Option<Model>> {
        let path = self.layout.model_file(name);
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).at(&path),
        };
        let fingerprint = Fingerprint::of_file(&metadata).at(&path)?;
        if let Some(known) = self.models.known(name, &fingerprint.text) {
            return Ok(Some(known));
        }
        let model = read_file(name, &fs::read(&path).at(&path)?).map(Arc::new);
        if fingerprint.is_settled() {
            self.models.remember(name, fingerprint.text, &model);
        }
        Ok(Some(model))
    }

    fn model_in_row(&self, name: &str) -> Answer<Option<Model>> {
        let path = self.database_path(FILE);
        let row = self.with_models(|open| stored_row(open, name).at(&path))?.flatten();
        let Some((_, text)) = row else { return Ok(None) };
        let version = raw_hash(text.as_bytes()).to_string();
        if let Some(known) = self.models.known(name, &version) {
            return Ok(Some(known));
        }
        let read = definition(text).map(|(definition, _)| Arc::new(definition));
        let model = read.map_err(|reason| format!("the model {name} in {FILE}: {reason}"));
        self.models.remember(name, version, &model);
        Ok(Some(model))
    }

    fn names_of_files(&self) -> Answer<Option<Vec<String>>> {
        let directory = self.layout.models();
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).at(&directory),
        };
        let mut names = Vec::new();
        for entry in entries {
            let file_name = entry.at(&directory)?.file_name();
            let name = file_name.to_str().and_then(|name| name.strip_suffix(MODEL_SUFFIX));
            names.extend(name.map(str::to_owned));
        }
        Ok(Some(names))
    }

    fn names_in_rows(&self) -> Answer<Option<Vec<String>>> {
        let path = self.database_path(FILE);
        self.with_models(|open| {
            let sql = format!("SELECT DISTINCT {NAME} FROM {TABLE} WHERE {NAME} IS NOT NULL");
            let mut statement = open.connection.prepare_cached(&sql).at(&path)?;
            let names = statement.query_map([], |row| row.get(0)).at(&path)?;
            names.collect::<Result<_, _>>().at(&path)
        })
    }

    /// None when there is no such table.
    fn with_models<T>(&self, work: impl FnOnce(&mut Open) -> Answer<T>) -> Answer<Option<T>> {
        let database = self.database(FILE)?;
        let mut locked = self.locked(&database)?;
        with_table(&mut locked, &self.models_table()?)?.map(work).transpose()
    }

    fn models_table(&self) -> Answer<Table> {
        Ok(Table::new(&Collection::Models, self.number_of_models()?, FILE.into(), TABLE.into()))
    }

    /// Puts a model into its row, unless that is another one than `before`, as it was read: then none comes back,
    /// otherwise the model as it is stored. `keep` gets what is there and what will be.
    pub(crate) fn replace_model_row(
        &self,
        name: &str,
        new: &Definition,
        before: Option<&Definition>,
        keep: impl FnOnce(Rows, &str) -> Answer<()>,
    ) -> Answer<Option<Definition>> {
        let table = self.models_table()?;
        let database = self.database(FILE)?;
        let mut locked = self.locked_to_write(&database)?;
        if locked.open().is_none() {
            locked.create()?;
            self.index.lock().set_database(&database.name, locked.id())?;
        }
        let mut schema_version = None;
        let json = locked.transaction("BEGIN IMMEDIATE", |locked| {
            let has_table = with_table(locked, &table)?.is_some();
            let open = locked.open().ok_or_else(|| vanished(&database.path))?;
            if !has_table {
                schema_version = Some(self.create_table(open, &table).at(&database.path)?);
            }
            let current = stored_row(open, name).at(&database.path)?;
            if current.as_ref().map(|(_, text)| text) != before.map(|before| &before.json) {
                return Ok(None);
            }
            // Cockpit saves a row under the `_id` it has, and adds a second one where there is none.
            let id = current.as_ref().and_then(|(_, text)| own_id(text)).or_else(|| own_id(&new.json));
            let json = with_id(&new.json, &id.unwrap_or_else(|| self.new_id()))?;
            let there = current.iter().map(|(row, text)| (*row, text.clone().into_bytes())).collect();
            keep(there, &json)?;
            match current {
                Some((row, _)) => open.connection.execute(&table.sql.update, (row, &json)).at(&database.path)?,
                None => open.connection.execute(&table.sql.insert, [&json]).at(&database.path)?,
            };
            Ok(Some(json))
        })?;
        if let Some((before, after)) = schema_version {
            self.index.lock().replace_schema_version(FILE, before, after)?;
        }
        Ok(json.map(|json| Definition { json, ..new.clone() }))
    }

    /// As Cockpit makes them: the time, then what makes it unique.
    fn new_id(&self) -> String {
        let now = (self.settings.now)().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        format!("{:08x}{}", now & 0xFFFF_FFFF, hex::encode(rand::random::<[u8; 8]>()))
    }

    /// What is stored of a model: its file as row 0, or its row.
    pub(crate) fn stored_model(&self, name: &str) -> Answer<Rows> {
        if !self.config.models_in_database {
            return self.stored_file(name);
        }
        let path = self.database_path(FILE);
        let row = self.with_models(|open| stored_row(open, name).at(&path))?.flatten();
        Ok(row.into_iter().map(|(row, text)| (row, text.into_bytes())).collect())
    }

    fn stored_file(&self, name: &str) -> Answer<Rows> {
        let path = self.layout.model_file(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(vec![(0, bytes)]),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Rows::new()),
            Err(error) => Err(error).at(&path),
        }
    }

    /// Stores a model byte by byte as it was; removes it where it was not. False when it is not `now` any more.
    pub(crate) fn restore_model(
        &self,
        name: &str,
        now: &Rows,
        before: &Rows,
        keep: impl FnOnce() -> Answer<()>,
    ) -> Answer<bool> {
        if self.config.models_in_database {
            let table = self.models_table()?;
            let database = self.database(FILE)?;
            return self.locked_to_write(&database)?.transaction("BEGIN IMMEDIATE", |locked| {
                let Some(open) = with_table(locked, &table)? else { return Ok(false) };
                let current = stored_row(open, name).at(&database.path)?;
                if current.into_iter().map(|(row, text)| (row, text.into_bytes())).collect::<Rows>() != *now {
                    return Ok(false);
                }
                keep()?;
                put_rows(open, &table, before, now).at(&database.path)?;
                Ok(true)
            });
        }
        keep()?;
        match before.first() {
            Some((_, source)) => self.put_model_file(name, source)?,
            None => {
                let path = self.layout.model_file(name);
                fs::remove_file(&path).and_then(|()| fsync_directory(&self.layout.models())).at(&path)?;
            }
        }
        Ok(true)
    }

    /// `keep` gets what is there and what will be.
    pub(crate) fn replace_model_file(
        &self,
        name: &str,
        source: &str,
        keep: impl FnOnce(Rows, &str) -> Answer<()>,
    ) -> Answer<()> {
        keep(self.stored_file(name)?, source)?;
        self.put_model_file(name, source.as_bytes())
    }

    fn put_model_file(&self, name: &str, source: &[u8]) -> Answer<()> {
        let directory = self.layout.models();
        let path = self.layout.model_file(name);
        owner::make_directories(&directory).at(&directory)?;
        // Cockpit lists *.model.php: this is none until it is whole.
        let temporary = directory.join(format!(".{name}.cockpit-sync"));
        let result = write_whole(&temporary, source, &path)
            .and_then(|()| fs::rename(&temporary, &path))
            .and_then(|()| fsync_directory(&directory));
        if result.is_err() {
            // It may not be there; what matters is told below.
            let _ = fs::remove_file(&temporary);
        }
        result.at(&path)
    }
}

/// The first row with this name, and its text. A name that two rows have is Cockpit's trouble, not ours.
fn stored_row(open: &Open, name: &str) -> rusqlite::Result<Option<(i64, String)>> {
    let sql = format!("SELECT id, document FROM {TABLE} WHERE {NAME} = ?1 ORDER BY id LIMIT 1");
    let mut statement = open.connection.prepare_cached(&sql)?;
    statement.query_row([name], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

fn own_id(json: &str) -> Option<String> {
    Document::parse(json.as_bytes()).ok().and_then(|model| model.id().map(str::to_owned))
}

fn with_id(json: &str, id: &str) -> Answer<String> {
    let model = Document::parse(json.as_bytes()).map_err(|error| error.to_string());
    let bytes = model.map(|model| model.with_id(id));
    bytes.and_then(|bytes| String::from_utf8(bytes).map_err(|error| error.to_string())).map_err(|error| {
        AgentError::new(ErrorCode::Internal, format!("a model that could be read before cannot be any more: {error}"))
    })
}

fn read_file(name: &str, source: &[u8]) -> Result<Definition, String> {
    let file = format!("{name}{MODEL_SUFFIX}");
    let value = php::read_file(source).map_err(|error| format!("{file}: {error}"))?;
    let json = value.to_json().map_err(|error| format!("{file}: {error}"))?.to_string();
    let definition = definition(json).map_err(|reason| format!("{file}: {reason}"))?;
    match definition.1 == name {
        true => Ok(definition.0),
        false => Err(format!("{file}: it calls itself {:?}", definition.1)),
    }
}

/// Writes a file that takes the place of `place`, with its owner and mode.
fn write_whole(temporary: &Path, bytes: &[u8], place: &Path) -> std::io::Result<()> {
    let mut file = File::create(temporary)?;
    file.write_all(bytes)?;
    match fs::metadata(place) {
        Ok(current) => {
            owner::give(temporary, &current)?;
            fs::set_permissions(temporary, current.permissions())?;
        }
        Err(_) => owner::adopt(temporary, MODEL_SUFFIX)?,
    }
    file.sync_all()
}

/// Whether a directory can be listed: what is absent from it is then not there.
pub(crate) fn fsync_directory(path: &Path) -> std::io::Result<()> {
    fs::File::open(path)?.sync_all()
}
