//! Writes documents to the target: requests of bounded size, each one transaction under the grant (I4, I5).

use std::time::Instant;

use protocol::api::{
    Body, DiffRequest, Difference, HeldCause, HeldDocument, MAX_REQUEST_BYTES, UploadPart, UploadRequest,
    WriteDocument, WriteOutcome, WriteRequest, Written, Wrote,
};
use protocol::client::CallError;
use protocol::collection::Collection;
use protocol::sign::body_hash;
use queue::Verdict;

use super::{Pending, files};
use crate::failure::verdict_of;
use crate::scope::Scope;
use crate::tally::Tally;

/// Documents of one request; the rest of its size is for names and hashes.
const WRITE_BYTES: usize = MAX_REQUEST_BYTES - 128 * 1024;
/// What names and hashes of one document add to a request, about.
const DOCUMENT_OVERHEAD: usize = 128;

pub struct Writer<'a> {
    scope: &'a Scope,
    collection: &'a Collection,
    /// Tree items whose parent was not there yet: tried again when all others are written. Trees come whole, in one
    /// job, and only these wait in memory.
    orphans: Vec<Pending>,
    /// What editors have open, and in whose words. There is as much of it as people open within minutes.
    locked: Vec<(Pending, String)>,
}

impl<'a> Writer<'a> {
    pub fn new(scope: &'a Scope, collection: &'a Collection) -> Self {
        Self { scope, collection, orphans: Vec::new(), locked: Vec::new() }
    }

    /// Writes a page of documents, in requests as large as they may be.
    pub async fn write(&mut self, mut pending: Vec<Pending>, tally: &mut Tally) -> Result<(), Verdict> {
        if *self.collection == Collection::Assets {
            // I7: files land before rows.
            pending = files::bring(self.scope, pending, tally).await?;
        }
        let mut group: Vec<Pending> = Vec::new();
        let mut size = 0;
        for document in pending {
            let bytes = document.document.len() + DOCUMENT_OVERHEAD;
            let is_full = size + bytes > WRITE_BYTES || self.scope.is_enough_at_once(group.len(), size);
            if is_full && !group.is_empty() {
                self.write_group(std::mem::take(&mut group), tally).await?;
                size = 0;
            }
            size += bytes;
            group.push(document);
        }
        if group.is_empty() { Ok(()) } else { self.write_group(group, tally).await }
    }

    /// Tries again what waits for a parent or for an editor; the rest is held.
    pub async fn finish(mut self, tally: &mut Tally) -> Result<(), Verdict> {
        self.try_orphans(tally).await?;
        let begun = Instant::now();
        while !self.locked.is_empty() && self.scope.waits_for_editors(begun).await {
            let locked = std::mem::take(&mut self.locked);
            self.write(locked.into_iter().map(|(pending, _)| pending).collect(), tally).await?;
            // What an editor had open may have been their parent.
            self.try_orphans(tally).await?;
        }
        for Pending { identity, .. } in self.orphans {
            let message = "its parent in the tree is neither on the target nor on the way there".to_owned();
            tally.held(HeldDocument { identity, cause: HeldCause::MissingParent, message });
        }
        for (Pending { identity, .. }, message) in self.locked {
            tally.held(HeldDocument { identity, cause: HeldCause::Locked, message });
        }
        Ok(())
    }

    /// Until nothing moves any more.
    async fn try_orphans(&mut self, tally: &mut Tally) -> Result<(), Verdict> {
        loop {
            let orphans = std::mem::take(&mut self.orphans);
            let before = orphans.len();
            self.write(orphans, tally).await?;
            if self.orphans.len() == before {
                return Ok(());
            }
        }
    }

    /// One request. A proxy that finds it too large gets it in halves.
    async fn write_group(&mut self, group: Vec<Pending>, tally: &mut Tally) -> Result<(), Verdict> {
        self.scope.ration(group.len(), group.iter().map(|pending| pending.document.len()).sum()).await?;
        let mut waiting = vec![group];
        while let Some(mut group) = waiting.pop() {
            let written = match self.send(&group).await? {
                Some(written) => written,
                None if group.len() > 1 => {
                    let half = group.split_off(group.len() / 2);
                    waiting.push(half);
                    waiting.push(group);
                    continue;
                }
                None => return Err(Verdict::retry("a proxy before the target refuses even one document as too large")),
            };
            if written.outcomes.len() != group.len() {
                return Err(Verdict::retry("the target's agent answered for fewer documents than it was sent"));
            }
            tally.landed();
            for (document, outcome) in group.into_iter().zip(written.outcomes) {
                self.take(document, outcome, tally).await?;
            }
        }
        Ok(())
    }

    /// None: a proxy on the way finds it too large.
    async fn send(&self, group: &[Pending]) -> Result<Option<Written>, Verdict> {
        let mut documents = Vec::with_capacity(group.len());
        for pending in group {
            let body = if pending.document.len() > WRITE_BYTES {
                Body::Upload(self.upload(&pending.document).await?)
            } else {
                Body::Inline(pending.document.clone())
            };
            documents.push(WriteDocument { identity: pending.identity.clone(), expect: pending.expect, body });
        }
        let request = WriteRequest {
            token: self.scope.token(),
            collection: self.collection.clone(),
            modified: self.modified(),
            override_locks: self.scope.overrides_locks(),
            documents,
        };
        match self.scope.write(&request).await {
            Ok(written) => Ok(Some(written)),
            Err(CallError::ForeignTooLarge { .. }) => Ok(None),
            Err(error) => Err(verdict_of(error)),
        }
    }

    /// Folders have no such field in Cockpit.
    fn modified(&self) -> Option<i64> {
        (*self.collection != Collection::Folders).then_some(self.scope.run.spec.modified)
    }

    /// A document that fits no write goes in parts; its hash names it then.
    async fn upload(&self, document: &[u8]) -> Result<String, Verdict> {
        let sha256 = body_hash(document);
        let size = document.len();
        let mut offset = 0;
        while offset < size {
            let end = size.min(offset + WRITE_BYTES);
            let bytes = document[offset..end].to_vec();
            let part = UploadPart { sha256: sha256.clone(), size: size as u64, offset: offset as u64, bytes };
            let uploaded = self
                .scope
                .write(&UploadRequest { token: self.scope.token(), parts: vec![part] })
                .await
                .map_err(verdict_of)?;
            let length = uploaded.lengths.first().copied().unwrap_or(0) as usize;
            if length <= offset || length > size {
                return Err(Verdict::retry(format!("the upload of a document of {size} bytes does not get on")));
            }
            offset = length;
        }
        Ok(sha256)
    }

    async fn take(&mut self, pending: Pending, outcome: WriteOutcome, tally: &mut Tally) -> Result<(), Verdict> {
        match outcome {
            WriteOutcome::Created => {
                tally.bytes(pending.document.len());
                tally.written(pending.identity, Wrote::Created);
            }
            WriteOutcome::Updated => {
                tally.bytes(pending.document.len());
                tally.written(pending.identity, Wrote::Updated);
            }
            WriteOutcome::Unchanged => return self.settle_unsure(pending, tally).await,
            WriteOutcome::Conflict(_) => return self.settle_unsure(pending, tally).await,
            WriteOutcome::Held { cause: HeldCause::MissingParent, .. } => self.orphans.push(pending),
            WriteOutcome::Held { cause: HeldCause::Locked, message } => self.locked.push((pending, message)),
            WriteOutcome::Held { cause, message } => {
                tally.held(HeldDocument { identity: pending.identity, cause, message });
            }
        }
        Ok(())
    }

    /// The target is not as it was when this run looked: another execution of this job was here, or an editor. Looks
    /// once more; an editor's work is never overwritten blindly.
    async fn settle_unsure(&self, pending: Pending, tally: &mut Tally) -> Result<(), Verdict> {
        let request = DiffRequest {
            collection: self.collection.clone(),
            run: self.scope.run.id.clone(),
            entries: vec![(pending.identity.clone(), pending.hash)],
            source: None,
            agree: false,
        };
        let answer = self.scope.target(&request).await?;
        match answer.differences.first() {
            Some(Difference::Same) => tally.unchanged(1),
            Some(Difference::Written(wrote)) => tally.written(pending.identity, *wrote),
            Some(Difference::Edited(wrote)) => {
                tally.edited(&pending.identity, "an editor changed it on the target after this run had written it");
                tally.written(pending.identity, *wrote);
            }
            Some(
                Difference::Lacks
                | Difference::Deleted
                | Difference::Differs(_)
                | Difference::Changed(_)
                | Difference::Conflict(_),
            )
            | None => tally.held(HeldDocument {
                identity: pending.identity,
                cause: HeldCause::Contended,
                message: "an editor changed it on the target while this run was about to write it; the editor's \
                              version stays. Push again to overwrite it"
                    .into(),
            }),
        }
        Ok(())
    }
}
