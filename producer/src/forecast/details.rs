//! What is found out about changes besides that they are: assets that will be missing, fields that differ, bytes of files.

use std::collections::BTreeMap;

use comparing::Compared;
use protocol::api::{
    DiffRequest, Difference, FileFacts, FileStat, FileState, FilesRequest, ListRequest, StatFilesRequest,
};
use protocol::canonical::{DocHash, Document};
use protocol::collection::Collection;
use protocol::selection::Selection;

use super::Forecasting;
use crate::error::Problem;
use crate::fields::{FieldChange, LocaleNames, field_changes};
use crate::survey::Part;

/// Agents hash files that they are asked about for the first time: so many in one request.
const FILES: usize = 50;

impl Forecasting {
    /// Which of these the run would hold because of assets that they embed, and why. Asked where no assets come along: what the
    /// target lacks of them it will lack then, too.
    pub(super) async fn lacking_assets(
        &self,
        part: &Part,
        different: &[Compared],
    ) -> Result<BTreeMap<String, String>, Problem> {
        let (collection, spec) = (&part.collection, &self.plan.spec);
        let is_content = matches!(collection, Collection::Items(_) | Collection::Singletons);
        let comes_alone = spec.selection_of_assets(&Collection::Assets) == Selection::only(Vec::new());
        if !is_content || !comes_alone || spec.with_assets || part.shaping.is_some() {
            return Ok(BTreeMap::new());
        }
        let identities = different.iter().map(|compared| compared.entry.identity.clone()).collect();
        let found = comparing::documents(&self.survey.source, collection, identities, None).await?;
        let mut embedding: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in found.documents {
            let Ok(document) = Document::parse(entry.document.as_deref().unwrap_or_default()) else { continue };
            for copy in document.embedded_assets() {
                embedding.entry(copy.id.to_owned()).or_default().push(entry.identity.clone());
            }
        }
        // Whether it is there, whatever it is.
        let entries = embedding.keys().map(|asset| (asset.clone(), DocHash([0; 16]))).collect();
        let collection = Collection::Assets;
        let request = DiffRequest { collection, run: String::new(), entries, source: None, agree: false };
        let there = self.survey.target.call(&request).await?.differences;
        let mut lacking = BTreeMap::new();
        for ((asset, identities), difference) in embedding.into_iter().zip(there) {
            if matches!(difference, Difference::Lacks | Difference::Deleted) {
                let why =
                    format!("it embeds asset {asset}, which {} lacks and which does not come along", spec.target.name);
                lacking.extend(identities.into_iter().map(|identity| (identity, why.clone())));
            }
        }
        Ok(lacking)
    }

    /// What differs within documents that both sides have.
    pub(super) async fn fields(
        &self,
        part: &Part,
        identities: Vec<String>,
        locales: &LocaleNames,
    ) -> Result<BTreeMap<String, Vec<FieldChange>>, Problem> {
        let mut changes = BTreeMap::new();
        for (here, there) in self.survey.both(part, identities).await? {
            let (Some(new), Some(old)) = (here.document, there.and_then(|there| there.document)) else { continue };
            // What is no document is held; it is not compared either.
            let (Ok(new), Ok(old)) = (Document::parse(&new), Document::parse(&old)) else { continue };
            changes.insert(here.identity, field_changes(&old, &new, part.collection.identity(), locales));
        }
        Ok(changes)
    }

    /// How many bytes of files would be sent for each asset.
    pub(super) async fn bytes_of_files(&self, assets: &[String]) -> Result<BTreeMap<String, u64>, Problem> {
        let mut bytes = BTreeMap::new();
        for assets in assets.chunks(FILES) {
            let at_source = self.survey.source.call(&FilesRequest { assets: assets.to_vec() }).await?.files;
            let present: Vec<(&String, FileFacts)> = assets
                .iter()
                .zip(at_source)
                .filter_map(|(asset, state)| match state {
                    FileState::Present(facts) => Some((asset, facts)),
                    FileState::Held { .. } => None,
                })
                .collect();
            let files = present.iter().map(|(_, facts)| facts.clone()).collect();
            let at_target = self.survey.target.call(&StatFilesRequest { files }).await?.stats;
            for ((asset, facts), stat) in present.into_iter().zip(at_target) {
                if let FileStat::Wanted { uploaded } = stat {
                    bytes.insert(asset.clone(), facts.size.saturating_sub(uploaded));
                }
            }
        }
        Ok(bytes)
    }

    /// Codes and names of the locales of both sides.
    pub(super) async fn locales(&self) -> Result<LocaleNames, Problem> {
        let mut names = LocaleNames::default();
        let request = ListRequest {
            collection: Collection::Locales,
            selection: Selection::default(),
            from_row: 0,
            to_row: None,
            documents: true,
        };
        for agent in [&self.survey.target, &self.survey.source] {
            for entry in agent.call(&request).await?.entries {
                let Ok(document) = Document::parse(entry.document.as_deref().unwrap_or_default()) else { continue };
                names.insert(entry.identity.clone(), document.text("name").unwrap_or(&entry.identity).to_owned());
            }
        }
        Ok(names)
    }
}
