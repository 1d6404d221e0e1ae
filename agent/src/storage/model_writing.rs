//! Writes model files: each in one rename, under the grant (I4).

use std::fs::{self, File};
use std::io::Write;
use std::sync::PoisonError;

use protocol::api::{Body, HeldCause, WriteDocument, WriteOutcome, WriteRequest, Written, Wrote};
use protocol::canonical::{DocHash, Document, Object, Value};
use protocol::collection::{Collection, is_model_name};

use super::Storage;
use super::analysis::{raw_hash, size};
use super::editors::Since;
use super::fault::{Answer, At};
use super::images::Image;
use super::index::Mark;
use super::models::{Definition, definition, fsync_directory, index_row, row_of};
use super::owner;
use super::place::MODEL_SUFFIX;
use super::writing::held;
use crate::php::{self, PhpArray, PhpKey, PhpValue};

/// A model that may be written.
struct NewModel {
    name: String,
    expect: Option<DocHash>,
    definition: Definition,
    source: String,
}

impl Storage {
    pub(crate) fn write_models(&self, request: &WriteRequest) -> Answer<Written> {
        let mut prepared = Vec::with_capacity(request.documents.len());
        for document in &request.documents {
            prepared.push(self.prepare_model(document, request.modified)?);
        }
        let mut outcomes = Vec::with_capacity(prepared.len());
        let mut landed = Vec::new();
        {
            let permit = self.grants.permit(&request.token)?;
            let _one_at_a_time = self.model_files.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let since = self.since(self.number_of_models()?, permit.run(), request.modified)?;
            let mut written = Vec::new();
            for model in &prepared {
                let outcome = match model {
                    Err(outcome) => outcome.clone(),
                    Ok(model) => self.write_model(model, since, permit.run())?,
                };
                if let Ok(model) = model {
                    match outcome {
                        WriteOutcome::Created | WriteOutcome::Updated => {
                            permit.wrote(1);
                            written.push(model.name.as_str());
                            landed.push((model.name.clone(), model.definition.json.clone()));
                        }
                        // A replay: the process may have died between the file and the cache.
                        WriteOutcome::Unchanged => {
                            landed.extend(self.model_json(&model.name)?.map(|json| (model.name.clone(), json)));
                        }
                        _ => {}
                    }
                }
                outcomes.push(outcome);
            }
            if !written.is_empty() {
                self.log_commit(&request.token, permit.run(), &request.collection, &written);
            }
        }
        if !landed.is_empty() {
            super::log_failure("Cockpit may show old models for a while", self.cache_models(&landed));
        }
        Ok(Written { outcomes })
    }

    fn prepare_model(&self, document: &WriteDocument, modified: Option<i64>) -> Answer<Result<NewModel, WriteOutcome>> {
        let bytes = match &document.body {
            Body::Inline(bytes) => bytes.clone(),
            Body::Upload(sha256) => self.uploaded_document(sha256)?,
        };
        Ok(self.new_model(document, bytes, modified))
    }

    fn new_model(
        &self,
        document: &WriteDocument,
        bytes: Vec<u8>,
        modified: Option<i64>,
    ) -> Result<NewModel, WriteOutcome> {
        let malformed = |reason: String| held(HeldCause::Malformed, reason);
        let name = &document.identity;
        if !is_model_name(name) {
            let message = format!("{name:?} is no name of a model: only ASCII letters and digits are");
            return Err(held(HeldCause::Forbidden, message));
        }
        if !self.is_allowed_model(name) {
            return Err(held(HeldCause::Forbidden, format!("this agent does not serve the model {name}")));
        }
        let parsed = Document::parse(&bytes).map_err(|error| malformed(error.to_string()))?;
        let bytes = modified.map_or_else(|| bytes.clone(), |modified| parsed.with_modified(modified));
        let json = String::from_utf8(bytes).map_err(|error| malformed(error.to_string()))?;
        let parsed = Document::parse(json.as_bytes()).map_err(|error| malformed(error.to_string()))?;
        let fields = parsed.fields().iter().map(|field| (PhpKey::from_text(&field.key), php_value(&field.value)));
        let source =
            php::write_file(&PhpValue::Array(fields.collect())).map_err(|error| malformed(error.to_string()))?;
        let (definition, own_name) = definition(json).map_err(malformed)?;
        if own_name != *name {
            return Err(malformed(format!("its name is not {name:?}")));
        }
        Ok(NewModel { name: name.clone(), expect: document.expect, definition, source })
    }

    fn write_model(&self, new: &NewModel, since: Since, run: &str) -> Answer<WriteOutcome> {
        let file = match self.model(&new.name)? {
            Some(Ok(file)) => Some(file),
            // What cannot be read cannot be compared with what the run saw.
            Some(Err(reason)) => {
                let message = format!("the target's own file cannot be read, so it is not replaced: {reason}");
                return Ok(held(HeldCause::Malformed, message));
            }
            None => None,
        };
        let current = file.as_ref().map(|file| file.hash);
        if current == Some(new.definition.hash) {
            return Ok(WriteOutcome::Unchanged);
        }
        let known = file.as_ref().map(|file| self.noted_model(&new.name, file)).transpose()?;
        let is_an_editors = file
            .zip(known.as_ref())
            .is_some_and(|(file, known)| since.was_saved_by_others(file.json.as_bytes(), file.hash, known));
        if current != new.expect || is_an_editors {
            return Ok(WriteOutcome::Conflict(current));
        }
        let number = self.number_of_models()?;
        // A run that writes a model twice created it nonetheless, even if somebody deleted it in between.
        let mark = self.index.lock().row(number, row_of(&new.name))?.and_then(|row| row.mark);
        let is_own = mark.is_some_and(|mark| mark.run == since.seen.run && Some(mark.hash) == current);
        self.keep_model(run, &new.name, is_own, new.source.as_bytes())?;
        self.replace_model_file(&new.name, &new.source)?;
        let wrote = match (mark.filter(|mark| mark.run == since.seen.run), current) {
            (Some(mark), _) => mark.wrote,
            (None, Some(_)) => Wrote::Updated,
            (None, None) => Wrote::Created,
        };
        let mark = Mark { run: since.seen.run, wrote, hash: new.definition.hash };
        self.index.lock().put(number, &index_row(&new.name, &new.definition, Some(mark)))?;
        Ok(if current.is_some() { WriteOutcome::Updated } else { WriteOutcome::Created })
    }

    fn keep_model(&self, run: &str, name: &str, is_own: bool, after: &[u8]) -> Answer<()> {
        let path = self.layout.model_file(name);
        let before = match fs::read(&path) {
            Ok(bytes) => vec![(0, bytes)],
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).at(&path),
        };
        let image = Image { identity: name.into(), before, is_own, left: Some(raw_hash(after)), size: size(after) };
        self.images.keep(run, &Collection::Models.name(), &[image], self.now_ms())?;
        Ok(())
    }

    fn replace_model_file(&self, name: &str, source: &str) -> Answer<()> {
        let directory = self.layout.models();
        owner::make_directories(&directory).at(&directory)?;
        let path = self.layout.model_file(name);
        // Cockpit lists *.model.php: this is none until it is whole.
        let temporary = directory.join(format!(".{name}.cockpit-sync"));
        let result = write_whole(&temporary, source.as_bytes(), &path)
            .and_then(|()| fs::rename(&temporary, &path))
            .and_then(|()| fsync_directory(&directory));
        if result.is_err() {
            // It may not be there; what matters is told below.
            let _ = fs::remove_file(&temporary);
        }
        result.at(&path)
    }
}

/// Writes a file that takes the place of `place`, with its owner and mode.
fn write_whole(temporary: &std::path::Path, bytes: &[u8], place: &std::path::Path) -> std::io::Result<()> {
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

fn php_value(value: &Value<'_>) -> PhpValue {
    match value {
        Value::Null => PhpValue::Null,
        Value::Bool(value) => PhpValue::Bool(*value),
        Value::Integer(integer) => PhpValue::Integer(*integer),
        Value::Float(float) => PhpValue::Float(*float),
        Value::Text(text) => PhpValue::Text(text.clone().into_owned()),
        Value::List(elements) => {
            let entries = (0..).zip(elements).map(|(index, element)| (PhpKey::Integer(index), php_value(element)));
            PhpValue::Array(entries.collect())
        }
        Value::Object(object) => PhpValue::Array(php_array(object)),
    }
}

fn php_array(object: &Object<'_>) -> PhpArray {
    object.fields().iter().map(|field| (PhpKey::from_text(&field.key), php_value(&field.value))).collect()
}
