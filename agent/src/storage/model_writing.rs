//! Writes model definitions: each on its own, in one rename or one transaction, under the grant (I4).

use std::sync::PoisonError;

use protocol::api::{Body, HeldCause, WriteDocument, WriteOutcome, WriteRequest, Written, Wrote};
use protocol::canonical::{DocHash, Document, Object, Value};
use protocol::collection::{Collection, is_model_name};

use super::Storage;
use super::analysis::{raw_hash, size};
use super::editors::Since;
use super::fault::Answer;
use super::images::{Image, Rows};
use super::index::Mark;
use super::models::{Definition, definition, index_row, row_of};
use super::writing::held;
use crate::php::{self, PhpArray, PhpKey, PhpValue};

/// A model that may be written.
struct NewModel {
    name: String,
    expect: Option<DocHash>,
    definition: Definition,
    /// The text of its file, where models are files.
    php: Option<String>,
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
            let _one_at_a_time = self.models.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let since = self.since(self.number_of_models()?, permit.run(), request.modified)?;
            let mut written = Vec::new();
            for model in &prepared {
                let outcome = match model {
                    Err(outcome) => outcome.clone(),
                    Ok(model) => self.write_model(model, since, permit.run())?,
                };
                if let Ok(model) = model {
                    let is_written = matches!(outcome, WriteOutcome::Created | WriteOutcome::Updated);
                    if is_written {
                        permit.wrote(1);
                        written.push(model.name.as_str());
                    }
                    // A replay too: the process may have died between the model and the cache.
                    if is_written || outcome == WriteOutcome::Unchanged {
                        landed.push(model.name.clone());
                    }
                }
                outcomes.push(outcome);
            }
            if !written.is_empty() {
                self.log_commit(&request.token, permit.run(), &request.collection, &written);
            }
        }
        super::log_failure("Cockpit may show old models for a while", self.cache_models(&landed));
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
        if !self.settings.models.may_write(name) {
            return Err(held(
                HeldCause::Forbidden,
                format!("this agent's own config lets nobody write the model {name}"),
            ));
        }
        let parsed = Document::parse(&bytes).map_err(|error| malformed(error.to_string()))?;
        let bytes = modified.map_or_else(|| bytes.clone(), |modified| parsed.with_modified(modified));
        let json = String::from_utf8(bytes).map_err(|error| malformed(error.to_string()))?;
        let (json, php) = match self.config.models_in_database {
            true => (json, None),
            false => as_file(json).map_err(malformed)?,
        };
        let (definition, own_name) = definition(json).map_err(malformed)?;
        if own_name != *name {
            return Err(malformed(format!("its name is not {name:?}")));
        }
        Ok(NewModel { name: name.clone(), expect: document.expect, definition, php })
    }

    fn write_model(&self, new: &NewModel, since: Since, run: &str) -> Answer<WriteOutcome> {
        let current = match self.model(&new.name)? {
            Some(Ok(current)) => Some(current),
            // What cannot be read cannot be compared with what the run saw.
            Some(Err(reason)) => {
                let message = format!("the target's own one cannot be read, so it is not replaced: {reason}");
                return Ok(held(HeldCause::Malformed, message));
            }
            None => None,
        };
        let current_hash = current.as_ref().map(|current| current.hash);
        if current_hash == Some(new.definition.hash) {
            return Ok(WriteOutcome::Unchanged);
        }
        let known = current.as_ref().map(|current| self.noted_model(&new.name, current)).transpose()?;
        let is_an_editors = current
            .as_ref()
            .zip(known.as_ref())
            .is_some_and(|(current, known)| since.was_saved_by_others(current.json.as_bytes(), current.hash, known));
        if current_hash != new.expect || is_an_editors {
            return Ok(WriteOutcome::Conflict(current_hash));
        }
        let number = self.number_of_models()?;
        // A run that writes a model twice created it nonetheless, even if somebody deleted it in between.
        let mark = self.index.lock().row(number, row_of(&new.name))?.and_then(|row| row.mark);
        let is_own = mark.is_some_and(|mark| mark.run == since.seen.run && Some(mark.hash) == current_hash);
        let keep = |before: Rows, after: &str| {
            let (left, size) = (Some(raw_hash(after.as_bytes())), size(after.as_bytes()));
            let image = Image { identity: new.name.clone(), before, is_own, left, size };
            self.images.keep(run, &Collection::Models.name(), &[image], self.now_ms()).map(drop)
        };
        let stored = match &new.php {
            Some(php) => {
                self.replace_model_file(&new.name, php, keep)?;
                None
            }
            None => match self.replace_model_row(&new.name, &new.definition, current.as_deref(), keep)? {
                Some(stored) => Some(stored),
                None => {
                    let now = self.model(&new.name)?.and_then(Result::ok);
                    return Ok(WriteOutcome::Conflict(now.map(|now| now.hash)));
                }
            },
        };
        let stored = stored.as_ref().unwrap_or(&new.definition);
        let wrote = match (mark.filter(|mark| mark.run == since.seen.run), current_hash) {
            (Some(mark), _) => mark.wrote,
            (None, Some(_)) => Wrote::Updated,
            (None, None) => Wrote::Created,
        };
        let mark = Mark { run: since.seen.run, wrote, hash: new.definition.hash };
        self.index.lock().put(number, &index_row(&new.name, stored, Some(mark)))?;
        Ok(if current_hash.is_some() { WriteOutcome::Updated } else { WriteOutcome::Created })
    }
}

/// A model as it is read from a file, and the text of that. In the database it has an `_id`, in a file none.
fn as_file(json: String) -> Result<(String, Option<String>), String> {
    let parsed = Document::parse(json.as_bytes()).map_err(|error| error.to_string())?;
    let fields = parsed.fields().iter().filter(|field| field.key != "_id");
    let array = fields.map(|field| (PhpKey::from_text(&field.key), php_value(&field.value))).collect();
    let value = PhpValue::Array(array);
    let php = php::write_file(&value).map_err(|error| error.to_string())?;
    if parsed.id().is_none() {
        return Ok((json, Some(php)));
    }
    let json = value.to_json().map_err(|error| error.to_string())?;
    Ok((json.to_string(), Some(php)))
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
