//! What is done with documents before any lock is taken: parsed, hashed, checked, `_modified` spliced in.

use std::collections::HashSet;

use protocol::api::{Body, HeldCause, MAX_DOCUMENT_BYTES, WriteDocument, WriteRequest};
use protocol::canonical::{self, DocHash, Document};
use protocol::collection::Collection;

use super::Storage;
use super::analysis::embeds;
use super::asset_rows::AssetView;
use super::fault::Answer;
use super::index::Embeds;
use super::table::{Table, with_table};
use crate::allowed::AllowedModels;

/// A document of a write.
pub(crate) enum Prepared<'r> {
    Ready(Ready<'r>),
    Held { cause: HeldCause, message: String },
}

/// A document that may be written.
pub(crate) struct Ready<'r> {
    pub identity: &'r str,
    pub expect: Option<DocHash>,
    pub hash: DocHash,
    /// As it will be stored.
    pub bytes: Vec<u8>,
    pub embeds: Option<Embeds>,
    /// Who has it open in Cockpit.
    pub locked: Option<String>,
    /// The `_pid` of a tree item.
    parent: Option<String>,
}

impl<'r> Prepared<'r> {
    pub fn ready(&self) -> Option<&Ready<'r>> {
        match self {
            Self::Ready(ready) => Some(ready),
            Self::Held { .. } => None,
        }
    }

    fn held(cause: HeldCause, message: impl Into<String>) -> Self {
        Self::Held { cause, message: message.into() }
    }
}

impl Storage {
    pub(crate) fn prepare<'r>(
        &self,
        request: &'r WriteRequest,
        table: &Table,
        assets: Option<&AssetView<'_>>,
    ) -> Answer<Vec<Prepared<'r>>> {
        if let Collection::Items(model) = &request.collection
            && !self.has_model(model)?
        {
            let message = format!("there is no model {model} here: sync its definition first");
            let held = |_| Prepared::held(HeldCause::MissingModel, message.clone());
            return Ok(request.documents.iter().map(held).collect());
        }
        let mut prepared = Vec::with_capacity(request.documents.len());
        for document in &request.documents {
            prepared.push(self.prepare_one(document, request.modified, table, assets)?);
        }
        let locks = self.edit_locks(&request.collection, request.override_locks)?;
        for document in &mut prepared {
            let Prepared::Ready(ready) = document else { continue };
            ready.locked = locks.of(&request.collection, ready.identity).cloned();
        }
        if let Collection::Items(model) = &request.collection
            && self.is_tree(model)?
        {
            self.hold_orphans(table, &mut prepared, assets)?;
        }
        Ok(prepared)
    }

    fn prepare_one<'r>(
        &self,
        document: &'r WriteDocument,
        modified: Option<i64>,
        table: &Table,
        assets: Option<&AssetView<'_>>,
    ) -> Answer<Prepared<'r>> {
        let uploaded;
        let bytes = match &document.body {
            Body::Inline(bytes) => bytes,
            Body::Upload(sha256) => {
                uploaded = self.uploaded_document(sha256)?;
                &uploaded
            }
        };
        if bytes.len() > MAX_DOCUMENT_BYTES {
            let message = format!("{} bytes are over the limit of 16 MiB", bytes.len());
            return Ok(Prepared::held(HeldCause::TooLarge, message));
        }
        let parsed = match Document::parse(bytes) {
            Ok(parsed) => parsed,
            Err(error) => return Ok(Prepared::held(HeldCause::Malformed, error.to_string())),
        };
        let field = table.identity.field();
        if parsed.text(field) != Some(&document.identity) || document.identity.is_empty() {
            let message = format!("its {field} is not {:?}", document.identity);
            return Ok(Prepared::held(HeldCause::Malformed, message));
        }
        if !self.is_allowed_document(&table.collection, &document.identity, AllowedModels::may_write) {
            let message = format!("this agent's own config lets nobody write the model {}", document.identity);
            return Ok(Prepared::held(HeldCause::Forbidden, message));
        }
        if table.collection == Collection::Singletons && !self.has_model(&document.identity)? {
            let message = format!("there is no model {} here: sync its definition first", document.identity);
            return Ok(Prepared::held(HeldCause::MissingModel, message));
        }
        if let Some(held) = self.lacks_an_asset(&parsed, assets)? {
            return Ok(held);
        }
        if table.collection == Collection::Assets
            && let Some((cause, message)) = self.lacks_its_file(&parsed)?
        {
            return Ok(Prepared::held(cause, message));
        }
        // Add-ons need not have such a field.
        let is_stamped = !matches!(table.collection, Collection::Custom(_)) || parsed.get("_modified").is_some();
        let modified = modified.filter(|_| is_stamped);
        Ok(Prepared::Ready(Ready {
            identity: &document.identity,
            expect: document.expect,
            hash: canonical::hash(&parsed, table.identity),
            embeds: embeds(&parsed, table.identity, assets)?,
            locked: None,
            parent: parsed.text("_pid").filter(|parent| !parent.is_empty()).map(str::to_owned),
            bytes: modified.map_or_else(|| bytes.clone(), |modified| parsed.with_modified(modified)),
        }))
    }

    /// Cockpit would null the field at the next save.
    fn lacks_an_asset<'r>(
        &self,
        document: &Document<'_>,
        assets: Option<&AssetView<'_>>,
    ) -> Answer<Option<Prepared<'r>>> {
        let Some(assets) = assets else { return Ok(None) };
        for copy in document.embedded_assets() {
            if assets.row(copy.id)?.is_none() {
                let message = format!(
                    "the asset {} in its field {} is not on this instance: sync it with its assets",
                    copy.id, copy.field
                );
                return Ok(Some(Prepared::held(HeldCause::MissingAsset, message)));
            }
        }
        Ok(None)
    }

    /// A tree item whose parent is neither here nor about to come with it would never be shown.
    fn hold_orphans(&self, table: &Table, prepared: &mut [Prepared<'_>], assets: Option<&AssetView<'_>>) -> Answer<()> {
        let coming: HashSet<&str> = prepared.iter().filter_map(Prepared::ready).map(|ready| ready.identity).collect();
        let parents: HashSet<String> =
            prepared.iter().filter_map(Prepared::ready).filter_map(|ready| ready.parent.clone()).collect();
        let absent = self.absent_of(table, parents, assets)?;
        let mut coming: HashSet<String> = coming.into_iter().map(str::to_owned).collect();
        // Holding a parent holds its children.
        loop {
            let mut held_any = false;
            for document in prepared.iter_mut() {
                let Some(ready) = document.ready() else { continue };
                let Some(parent) = ready.parent.as_ref() else { continue };
                if absent.contains(parent) && !coming.contains(parent) {
                    coming.remove(ready.identity);
                    let message = format!("its parent {parent} is not on this instance");
                    *document = Prepared::held(HeldCause::MissingParent, message);
                    held_any = true;
                }
            }
            if !held_any {
                return Ok(());
            }
        }
    }

    /// Which of these documents are not in the table now.
    fn absent_of(
        &self,
        table: &Table,
        mut identities: HashSet<String>,
        assets: Option<&AssetView<'_>>,
    ) -> Answer<HashSet<String>> {
        let database = self.database(&table.file)?;
        self.catch_up(&database, table, assets)?;
        self.locked(&database)?.transaction("BEGIN", |locked| {
            let Some(open) = with_table(locked, table)? else { return Ok(()) };
            self.catch_up_within(open, table, assets)?;
            for identity in identities.clone() {
                if !self.rows_of(open, table, &identity, assets)?.is_empty() {
                    identities.remove(&identity);
                }
            }
            Ok(())
        })?;
        Ok(identities)
    }
}
