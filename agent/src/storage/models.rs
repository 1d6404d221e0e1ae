//! Model definitions as documents: listed, compared and read like any other, wherever they are stored.
//!
//! They are no content: also those of models whose content nobody may read are given, as whoever writes them must compare them.

use std::sync::Arc;

use protocol::api::{
    Diff, DiffRequest, Difference, Documents, DocumentsRequest, Entry, Extent, HeldCause, HeldDocument, ListRequest,
    Listing, ModelKind, PAGE_BYTES, PAGE_DOCUMENTS, PAGE_ENTRIES, Summary, SummaryRequest,
};
use protocol::canonical::{self, DocHash, Document, Identity};
use protocol::collection::{Collection, is_model_name};
use protocol::filter::Filter;

use super::Storage;
use super::analysis::{raw_hash, size};
use super::comparing::{absent, compared};
use super::fault::Answer;
use super::index::{IndexRow, Known, Mark};
use super::sums::Sums;

/// A model that was read; or why it cannot be.
pub(crate) type Model = Result<Arc<Definition>, String>;

#[derive(Clone)]
pub(crate) struct Definition {
    pub json: String,
    pub hash: DocHash,
    pub kind: ModelKind,
}

impl Storage {
    pub(crate) fn has_model(&self, name: &str) -> Answer<bool> {
        Ok(self.model(name)?.is_some())
    }

    pub(crate) fn is_tree(&self, name: &str) -> Answer<bool> {
        Ok(matches!(self.model(name)?, Some(Ok(definition)) if definition.kind == ModelKind::Tree))
    }

    pub(crate) fn model_json(&self, name: &str) -> Answer<Option<String>> {
        Ok(self.model(name)?.and_then(Result::ok).map(|definition| definition.json.clone()))
    }

    /// Names of all models that are served, sorted. None when there is no place for them.
    pub(crate) fn model_names(&self) -> Answer<Option<Vec<String>>> {
        let mut names = self.all_model_names()?;
        if let Some(names) = &mut names {
            names.retain(|name| is_model_name(name) && self.settings.models.serves(name));
            names.sort_unstable();
        }
        Ok(names)
    }

    pub(crate) fn extent_of_models(&self) -> Answer<Extent> {
        let names = self.model_names()?;
        let count = names.as_ref().map_or(0, Vec::len) as u64;
        Ok(Extent { complete: names.is_some(), first_row: count.min(1), last_row: count })
    }

    pub(crate) fn summary_of_models(&self, request: &SummaryRequest) -> Answer<Summary> {
        let only = request.selection.only.as_deref();
        let names = self.model_names()?;
        let complete = names.is_some();
        let first_look = match &request.run {
            Some(run) => self.begin_look_at_models(names.as_deref().unwrap_or_default(), run)?,
            None => false,
        };
        let mut sums = Sums::default();
        let mut held = Vec::new();
        for name in names.unwrap_or_default() {
            if only.is_some_and(|only| !only.contains(&name)) {
                continue;
            }
            match self.model(&name)? {
                Some(Ok(definition)) if !is_meant(&definition, request.selection.filter.as_ref()) => {}
                Some(Ok(definition)) => {
                    sums.summary.add(&name, definition.hash);
                    sums.bytes += definition.json.len() as u64;
                }
                Some(Err(reason)) => held.push(unreadable(name, reason)),
                None => {}
            }
        }
        sums.held = held.len() as u64;
        Ok(Summary { complete, first_look, ..self.summary_of(sums, held) })
    }

    /// From now on it counts as changed what is changed.
    fn begin_look_at_models(&self, names: &[String], run: &str) -> Answer<bool> {
        let number = self.number_of_models()?;
        for name in names {
            if let Some(Ok(definition)) = self.model(name)? {
                self.noted_model(name, &definition)?;
            }
        }
        let lookup = self.index.lock();
        lookup.begin_look(number, lookup.run(run)?, self.now_ms())
    }

    /// What the index has of a model, which is as given now.
    pub(crate) fn noted_model(&self, name: &str, definition: &Definition) -> Answer<IndexRow> {
        let number = self.number_of_models()?;
        let lookup = self.index.lock();
        let now = index_row(name, definition, None);
        match lookup.row(number, now.row)? {
            Some(known) if known.raw == now.raw => Ok(known),
            _ => {
                lookup.put(number, &now)?;
                Ok(lookup.row(number, now.row)?.unwrap_or(now))
            }
        }
    }

    /// The row of a model is its place among the sorted names.
    pub(crate) fn list_models(&self, request: &ListRequest) -> Answer<Listing> {
        let names = self.model_names()?;
        let mut listing = Listing { complete: names.is_some(), entries: Vec::new(), held: Vec::new(), next_row: None };
        let limit = if request.documents { PAGE_DOCUMENTS } else { PAGE_ENTRIES };
        let mut bytes = 0;
        for (row, name) in (1..).zip(names.unwrap_or_default()) {
            let in_range = row >= request.from_row && request.to_row.is_none_or(|to| row <= to);
            if !in_range || request.selection.only.as_ref().is_some_and(|only| !only.contains(&name)) {
                continue;
            }
            match self.model(&name)? {
                Some(Ok(definition)) if !is_meant(&definition, request.selection.filter.as_ref()) => {}
                Some(Ok(definition)) => {
                    let added = if request.documents { definition.json.len() } else { 0 };
                    let is_full = listing.entries.len() >= limit || (bytes > 0 && bytes + added > PAGE_BYTES);
                    if is_full {
                        listing.next_row = Some(row);
                        break;
                    }
                    bytes += added;
                    listing.entries.push(entry(name, &definition, request.documents));
                }
                Some(Err(reason)) => listing.held.push(unreadable(name, reason)),
                None => {}
            }
        }
        Ok(listing)
    }

    pub(crate) fn documents_of_models(&self, request: &DocumentsRequest) -> Answer<Documents> {
        let mut answer =
            Documents { documents: Vec::new(), missing: Vec::new(), not_sent: Vec::new(), changed: Vec::new() };
        let seen = request.run.as_ref().map(|run| self.seen(self.number_of_models()?, run)).transpose()?;
        let mut bytes = 0;
        for name in &request.identities {
            let model = if self.settings.models.serves(name) { self.model(name)? } else { None };
            match model {
                Some(Ok(definition)) if bytes > 0 && bytes + definition.json.len() > PAGE_BYTES => {
                    answer.not_sent.push(name.clone());
                }
                Some(Ok(definition)) => {
                    bytes += definition.json.len();
                    if let Some(seen) = seen
                        && seen.is_new(&self.noted_model(name, &definition)?)
                    {
                        answer.changed.push(name.clone());
                    }
                    answer.documents.push(entry(name.clone(), &definition, true));
                }
                Some(Err(_)) | None => answer.missing.push(name.clone()),
            }
        }
        Ok(answer)
    }

    pub(crate) fn diff_models(&self, request: &DiffRequest) -> Answer<Diff> {
        let number = self.number_of_models()?;
        let seen = self.seen(number, &request.run)?;
        let mut differences = Vec::with_capacity(request.entries.len());
        for (name, wanted) in &request.entries {
            differences.push(match self.model(name)? {
                Some(Ok(definition)) => {
                    compared(&self.noted_model(name, &definition)?, *wanted, seen).unwrap_or(Difference::Lacks)
                }
                // What cannot be read is there all the same: writing says why it must not be replaced.
                Some(Err(_)) => Difference::Lacks,
                None => {
                    let lookup = self.index.lock();
                    if let Some(known) = lookup.row(number, row_of(name))? {
                        lookup.bury(number, &known, self.now_ms())?;
                    }
                    absent(lookup.gone(number, name)?, seen)
                }
            });
        }
        Ok(Diff { differences })
    }

    /// Under which number the index has the models.
    pub(crate) fn number_of_models(&self) -> Answer<i64> {
        self.index.lock().number(&Collection::Models.name(), "")
    }
}

fn entry(name: String, definition: &Definition, with_document: bool) -> Entry {
    Entry {
        identity: name,
        hash: definition.hash,
        size: size(definition.json.as_bytes()),
        document: with_document.then(|| definition.json.clone().into_bytes()),
    }
}

fn is_meant(definition: &Definition, filter: Option<&Filter>) -> bool {
    let asked = |filter: &Filter| Document::parse(definition.json.as_bytes()).is_ok_and(|model| filter.matches(&model));
    filter.is_none_or(asked)
}

fn unreadable(name: String, reason: String) -> HeldDocument {
    HeldDocument { identity: name, cause: HeldCause::Malformed, message: reason }
}

/// Under which number the index keeps what it knows of a model.
pub(crate) fn row_of(name: &str) -> i64 {
    raw_hash(name.as_bytes())
}

pub(crate) fn index_row(name: &str, definition: &Definition, mark: Option<Mark>) -> IndexRow {
    IndexRow {
        row: row_of(name),
        raw: raw_hash(definition.json.as_bytes()),
        size: size(definition.json.as_bytes()),
        known: Known::Document { identity: name.into(), hash: definition.hash, embeds: None },
        mark,
        look: 0,
    }
}

/// A model and its name.
pub(crate) fn definition(json: String) -> Result<(Definition, String), String> {
    let document = Document::parse(json.as_bytes()).map_err(|error| error.to_string())?;
    let name = document.text("name").ok_or("it has no name")?.to_owned();
    let kind = match document.text("type") {
        Some("singleton") => ModelKind::Singleton,
        Some("tree") => ModelKind::Tree,
        // Cockpit's own default.
        Some("collection") | None => ModelKind::Collection,
        Some(other) => return Err(format!("its type is {other:?}, which this version does not know")),
    };
    let hash = canonical::hash(&document, Identity::Name);
    Ok((Definition { hash, kind, json }, name))
}
