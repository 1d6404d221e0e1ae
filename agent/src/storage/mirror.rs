//! What a mirror deletes (I6): the source says what it does not have, the target keeps a list of it, decides on the
//! whole list before the first write, and deletes only what is on it.

use std::collections::HashSet;

use protocol::api::{
    Absent, AbsentRequest, AgentError, Candidates, CandidatesRequest, DecideRequest, Decided, ErrorCode, Nothing,
    PAGE_DOCUMENTS, ProposeRequest, RememberSourceRequest,
};
use protocol::canonical::{DocHash, Document};
use protocol::collection::Collection;
use protocol::mirror::{MirrorOrder, SignedOrder, is_mirrored};
use protocol::selection::Selection;

use super::Storage;
use super::fault::{Answer, bad_request, forbidden};
use super::index::Known;
use super::table::with_table;
use crate::allowed::AllowedModels;

mod below;
mod deleting;
mod files;
mod guard;
pub(crate) mod list;
mod mentions;

use guard::{Own, refusals};
use list::Lists;

impl Storage {
    /// Asked of the source. An error is an error: nothing here takes one for absence.
    pub fn absent(&self, request: &AbsentRequest) -> Answer<Absent> {
        self.allow_collection(&request.collection)?;
        check_mirrored(&request.collection)?;
        let table = self.table(&request.collection)?;
        let database = self.database(&table.file)?;
        let unproven =
            |reason: &str| Ok(Absent { absent: request.identities.clone(), unproven: Some(reason.into()), count: 0 });
        if let Collection::Items(model) = &request.collection
            && !self.has_model(model)?
        {
            return unproven("its model is not known there");
        }
        // Every row has been looked at, as it is now or was a moment ago: what no row has is not there.
        let assets = self.assets_for(&request.collection)?;
        self.make_certain(&database, &table, assets.as_ref())?;
        let mut absent = Vec::new();
        let found = self.locked(&database)?.transaction("BEGIN", |locked| {
            let Some(open) = with_table(locked, &table)? else { return Ok(None) };
            self.catch_up_within(open, &table, assets.as_ref())?;
            for identity in &request.identities {
                let is_known = !self.rows_of(open, &table, identity, assets.as_ref())?.is_empty();
                if !is_known && self.could_have(&request.collection, identity)? {
                    absent.push(identity.clone());
                }
            }
            Ok(Some(self.sums(open, &table)?.summary.count))
        })?;
        let Some(count) = found else { return unproven("its table is not there") };
        let (faults, _) = self.index.lock().faults(table.number, 1)?;
        let unproven = faults.first().map(|row| format!("row {} there holds no usable document", row.row));
        Ok(Absent { absent, unproven, count })
    }

    /// Singletons are many models in one collection: those of models that are not known or not served here are no
    /// business of a run from here.
    fn could_have(&self, collection: &Collection, identity: &str) -> Answer<bool> {
        Ok(*collection != Collection::Singletons
            || (self.settings.models.serves(identity) && self.has_model(identity)?))
    }

    pub fn propose(&self, request: &ProposeRequest) -> Answer<Nothing> {
        self.allow_writing()?;
        self.allow_collection(&request.collection)?;
        check_mirrored(&request.collection)?;
        let run = self.grants.permit(&request.token)?.run().to_owned();
        let order = self.order_of(&request.order, &run)?;
        let selected = order.scope.iter().find(|selected| selected.collection == request.collection);
        let Some(selected) = selected else {
            return Err(forbidden(format!("{} is not among what this run was asked to mirror", request.collection)));
        };
        let candidates = self.seen_now(&request.collection, &request.identities, &selected.selection)?;
        let lists = Lists::new(&self.state);
        let listed = request.listed.as_ref();
        lists.add(&run, &request.collection, request.from_start, &candidates, listed, self.now_ms())?;
        Ok(Nothing {})
    }

    /// Those of these documents that are here and that a selection takes, with the hashes of what is stored.
    fn seen_now(
        &self,
        collection: &Collection,
        identities: &[String],
        selection: &Selection,
    ) -> Answer<Vec<(String, DocHash)>> {
        let table = self.table(collection)?;
        let database = self.database(&table.file)?;
        let assets = self.assets_for(collection)?;
        let mut seen = Vec::with_capacity(identities.len());
        for identities in identities.chunks(PAGE_DOCUMENTS) {
            self.locked(&database)?.transaction("BEGIN", |locked| {
                let Some(open) = with_table(locked, &table)? else { return Ok(()) };
                self.catch_up_within(open, &table, assets.as_ref())?;
                for identity in identities {
                    let rows = self.rows_of(open, &table, identity, assets.as_ref())?;
                    let is_taken = |bytes: &[u8]| {
                        takes(selection, identity, bytes)
                            && self.is_allowed_document(collection, identity, AllowedModels::may_write)
                    };
                    if let Some((row, _)) = rows.first().filter(|(_, bytes)| is_taken(bytes))
                        && let Known::Document { hash, .. } = row.known
                    {
                        seen.push((identity.clone(), hash));
                    }
                }
                Ok(())
            })?;
        }
        Ok(seen)
    }

    pub fn decide(&self, request: &DecideRequest) -> Answer<Decided> {
        self.allow_writing()?;
        let permit = self.grants.permit(&request.token)?;
        let run = permit.run();
        let order = self.order_of(&request.order, run)?;
        let lists = Lists::new(&self.state);
        let mirrored: HashSet<&Collection> = order
            .scope
            .iter()
            .map(|selected| &selected.collection)
            .filter(|collection| is_mirrored(collection))
            .collect();
        let counted = mirrored.into_iter().map(|collection| lists.counted(run, &order.source, collection));
        let counted = counted.collect::<Answer<Vec<_>>>()?;
        let candidates = counted.iter().map(|of| of.candidates).sum();
        if lists.is_decided(run)? {
            return Ok(Decided { refusals: Vec::new(), candidates });
        }
        let own = Own { delete: self.settings.delete, max_delete: self.settings.max_delete };
        let refusals = refusals(&order, own, &counted);
        if refusals.is_empty() {
            lists.decide(run)?;
            tracing::info!(run.id = run, candidates, "the run may delete what is on its list");
        }
        Ok(Decided { refusals, candidates })
    }

    pub fn candidates(&self, request: &CandidatesRequest) -> Answer<Candidates> {
        let permit = self.grants.permit(&request.token)?;
        let lists = Lists::new(&self.state);
        check_decided(&lists, permit.run())?;
        let after = request.after.as_deref().unwrap_or_default();
        let candidates = lists.page(permit.run(), &request.collection, after)?;
        let next = candidates.last().filter(|_| candidates.len() == PAGE_DOCUMENTS);
        let next = next.map(|(identity, _)| identity.clone());
        Ok(Candidates { candidates, next })
    }

    pub fn remember_source(&self, request: &RememberSourceRequest) -> Answer<Nothing> {
        self.allow_writing()?;
        drop(self.grants.permit(&request.token)?);
        Lists::new(&self.state).remember_source(&request.source, &request.collection, request.count)?;
        Ok(Nothing {})
    }

    /// That it is approved was checked before.
    fn order_of(&self, signed: &SignedOrder, run: &str) -> Answer<MirrorOrder> {
        let order = signed.order().map_err(|error| bad_request(format!("the order cannot be read: {error}")))?;
        if order.run != run || order.target != self.instance() {
            return Err(forbidden("the order is for another run, or for another instance"));
        }
        Ok(order)
    }
}

/// Whether a run takes this document.
fn takes(selection: &Selection, identity: &String, bytes: &[u8]) -> bool {
    selection.only.as_ref().is_none_or(|only| only.contains(identity))
        && selection
            .filter
            .as_ref()
            .is_none_or(|filter| Document::parse(bytes).is_ok_and(|document| filter.matches(&document)))
}

fn check_mirrored(collection: &Collection) -> Answer<()> {
    if is_mirrored(collection) {
        Ok(())
    } else {
        Err(forbidden(format!("{collection}: a mirror deletes none of them")))
    }
}

fn check_decided(lists: &Lists<'_>, run: &str) -> Answer<()> {
    if lists.is_decided(run)? {
        return Ok(());
    }
    let message = "nobody has decided what this run may delete here, so it deletes nothing";
    Err(AgentError::new(ErrorCode::Forbidden, message))
}
