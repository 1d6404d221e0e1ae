//! Which assets documents embed, and which folders these are in.

use std::collections::{BTreeSet, HashSet};

use protocol::api::{AgentError, DocumentsRequest, Embedded, EmbeddedRequest, ErrorCode, ListRequest, PAGE_ENTRIES};
use protocol::canonical::Document;
use protocol::collection::Collection;

use super::Storage;
use super::analysis::raw_hash;
use super::asset_rows::AssetView;
use super::fault::Answer;
use super::reading::Meant;

/// So many pages of documents are read for one answer.
const PAGES: usize = 16;

/// What was found so far.
#[derive(Default)]
struct Gathered {
    found: BTreeSet<String>,
    /// Assets and folders that were looked at.
    met: HashSet<String>,
}

impl Storage {
    pub fn embedded(&self, request: &EmbeddedRequest) -> Answer<Embedded> {
        if !matches!(request.wanted, Collection::Assets | Collection::Folders) || request.parts == 0 {
            return Err(AgentError::new(ErrorCode::BadRequest, "documents embed assets, and these are in folders"));
        }
        let assets = self.asset_view()?;
        let mut gathered = Gathered::default();
        let mut next = Some(request.from_row);
        for _ in 0..PAGES {
            let Some(from_row) = next.filter(|_| gathered.found.len() < PAGE_ENTRIES) else { break };
            let (collection, selection) = (request.collection.clone(), request.selection.clone());
            let page = ListRequest { collection, selection, from_row, to_row: None, documents: true };
            let page = self.page(&page, Meant::Embedding)?;
            next = page.next_row;
            let bytes = page.entries.iter().filter_map(|entry| entry.document.as_deref());
            for document in bytes.filter_map(|bytes| Document::parse(bytes).ok()) {
                for copy in document.embedded_assets() {
                    if gathered.met.insert(copy.id.to_owned()) {
                        self.gather_embedded(copy.id, request, &assets, &mut gathered)?;
                    }
                }
            }
        }
        Ok(Embedded { identities: gathered.found.into_iter().collect(), next_row: next })
    }

    /// What an embedded asset makes wanted: itself, or the folders around it, if they are there.
    fn gather_embedded(
        &self,
        asset: &str,
        request: &EmbeddedRequest,
        assets: &AssetView<'_>,
        gathered: &mut Gathered,
    ) -> Answer<()> {
        let Some(row) = assets.row(asset)? else { return Ok(()) };
        if request.wanted == Collection::Assets {
            if is_wanted(asset, &row, request) {
                gathered.found.insert(asset.to_owned());
            }
            return Ok(());
        }
        let mut within = text(&row, "folder");
        while let Some(folder) = within.filter(|folder| gathered.met.insert(folder.clone())) {
            let Some(row) = self.folder(&folder)? else { break };
            within = text(&row, "_p");
            if is_wanted(&folder, &row, request) {
                gathered.found.insert(folder);
            }
        }
        Ok(())
    }

    fn folder(&self, id: &str) -> Answer<Option<Vec<u8>>> {
        let request = DocumentsRequest { collection: Collection::Folders, identities: vec![id.to_owned()], run: None };
        Ok(self.documents(&request)?.documents.pop().and_then(|entry| entry.document))
    }
}

fn is_wanted(identity: &str, row: &[u8], request: &EmbeddedRequest) -> bool {
    let is_in_part =
        raw_hash(identity.as_bytes()).cast_unsigned() % u64::from(request.parts) == u64::from(request.part);
    let except = &request.except;
    let is_named = || except.only.as_ref().is_none_or(|only| only.iter().any(|named| named == identity));
    let matches = |document: Document<'_>| except.filter.as_ref().is_none_or(|filter| filter.matches(&document));
    is_in_part && !(is_named() && Document::parse(row).is_ok_and(matches))
}

fn text(row: &[u8], field: &str) -> Option<String> {
    let document = Document::parse(row).ok()?;
    document.text(field).filter(|text| !text.is_empty()).map(str::to_owned)
}
