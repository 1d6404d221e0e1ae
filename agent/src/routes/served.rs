//! Each request: what it waits for, which collection it is about, and which method of the storage carries it out.

use protocol::api::{
    AbsentRequest, ActionsRequest, AgentError, AgreeRequest, AuditRequest, Call, CandidatesRequest, CloseGrant,
    CloseWhich, DecideRequest, DeleteOutcome, DeleteRequest, DiffRequest, DocumentsRequest, EmbeddedRequest,
    ExtentRequest, FilesRequest, KeyFound, KeyRequest, ListPartsRequest, ListRequest, ManifestRequest, OpenGrant,
    PartsRequest, PlaceFilesRequest, ProposeRequest, ReadFileRequest, ReceiptRequest, RememberSourceRequest,
    RenewGrant, StatFilesRequest, SummaryRequest, TidyFilesRequest, UndoPlanRequest, UndoRequest, UploadRequest,
    WriteRequest,
};
use protocol::audit::{Action, Entry};
use protocol::collection::Collection;
use protocol::keys::Purpose;
use protocol::mirror::SignedOrder;

use super::Kind;
use crate::audit::Who;
use crate::storage::Storage;

pub(super) trait Served: Call {
    const KIND: Kind;
    /// Refused by an agent that is read-only.
    const CHANGES: bool = false;

    /// What the caller's key must be for.
    fn needs(&self) -> Purpose {
        if Self::KIND == Kind::Read { Purpose::Read } else { Purpose::Write }
    }

    /// Documents or files leave this instance.
    fn reads_content(&self) -> bool {
        false
    }

    fn collection(&self) -> Option<&Collection> {
        None
    }

    /// Of a mirror: what it carries as its permission.
    fn order(&self) -> Option<&SignedOrder> {
        None
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError>;

    /// For the audit log: what was done, by whom. `run` has the right to write.
    fn deed(&self, _answer: &Self::Answer, _who: &Who, _run: Option<String>) -> Option<Entry> {
        None
    }

    /// Of what is asked for again and again and happens once: by what it is recognised.
    fn happens_once(&self) -> Option<&str> {
        None
    }
}

fn counts<const N: usize>(counts: [(&str, u64); N]) -> std::collections::BTreeMap<String, u64> {
    counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

impl Served for ManifestRequest {
    const KIND: Kind = Kind::Read;

    fn needs(&self) -> Purpose {
        Purpose::Check
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.manifest(self)
    }
}

impl Served for KeyRequest {
    const KIND: Kind = Kind::Read;

    fn needs(&self) -> Purpose {
        Purpose::Check
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        Ok(KeyFound { key: storage.keys().info(&self.kid) })
    }
}

impl Served for ExtentRequest {
    const KIND: Kind = Kind::Read;

    fn collection(&self) -> Option<&Collection> {
        Some(&self.collection)
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.extent(self)
    }
}

impl Served for SummaryRequest {
    const KIND: Kind = Kind::Read;

    fn collection(&self) -> Option<&Collection> {
        Some(&self.collection)
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.summary(self)
    }
}

impl Served for ListRequest {
    const KIND: Kind = Kind::Read;

    fn reads_content(&self) -> bool {
        self.documents
    }

    fn collection(&self) -> Option<&Collection> {
        Some(&self.collection)
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.list(self)
    }
}

impl Served for PartsRequest {
    const KIND: Kind = Kind::Read;

    fn collection(&self) -> Option<&Collection> {
        Some(&self.collection)
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.parts(self)
    }
}

impl Served for ListPartsRequest {
    const KIND: Kind = Kind::Read;

    fn collection(&self) -> Option<&Collection> {
        Some(&self.collection)
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.list_parts(self)
    }
}

impl Served for EmbeddedRequest {
    const KIND: Kind = Kind::Read;

    fn collection(&self) -> Option<&Collection> {
        Some(&self.collection)
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.embedded(self)
    }
}

impl Served for DocumentsRequest {
    const KIND: Kind = Kind::Read;

    fn reads_content(&self) -> bool {
        true
    }

    fn collection(&self) -> Option<&Collection> {
        Some(&self.collection)
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.documents(self)
    }
}

impl Served for DiffRequest {
    const KIND: Kind = Kind::Read;

    /// What both sides agree on decides later which of them changed.
    fn needs(&self) -> Purpose {
        if self.agree { Purpose::Write } else { Purpose::Read }
    }

    fn collection(&self) -> Option<&Collection> {
        Some(&self.collection)
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.diff(self)
    }
}

impl Served for AgreeRequest {
    const KIND: Kind = Kind::Read;

    /// What both sides agree on decides later which of them changed.
    fn needs(&self) -> Purpose {
        Purpose::Write
    }

    fn collection(&self) -> Option<&Collection> {
        Some(&self.collection)
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.agree(self)
    }
}

impl Served for FilesRequest {
    const KIND: Kind = Kind::Read;

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.files(self)
    }
}

impl Served for ReadFileRequest {
    const KIND: Kind = Kind::Read;

    fn reads_content(&self) -> bool {
        true
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.read_file(self)
    }
}

impl Served for StatFilesRequest {
    const KIND: Kind = Kind::Read;

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.stat_files(self)
    }
}

impl Served for UploadRequest {
    const KIND: Kind = Kind::Write;
    const CHANGES: bool = true;

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.upload(self)
    }
}

impl Served for PlaceFilesRequest {
    const KIND: Kind = Kind::Write;
    const CHANGES: bool = true;

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.place_files(self)
    }
}

impl Served for WriteRequest {
    const KIND: Kind = Kind::Write;
    const CHANGES: bool = true;

    fn collection(&self) -> Option<&Collection> {
        Some(&self.collection)
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.write(self)
    }
}

impl Served for AbsentRequest {
    const KIND: Kind = Kind::Read;

    fn collection(&self) -> Option<&Collection> {
        Some(&self.collection)
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.absent(self)
    }
}

impl Served for ProposeRequest {
    const KIND: Kind = Kind::Write;
    const CHANGES: bool = true;

    fn collection(&self) -> Option<&Collection> {
        Some(&self.collection)
    }

    fn order(&self) -> Option<&SignedOrder> {
        Some(&self.order)
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.propose(self)
    }
}

impl Served for DecideRequest {
    const KIND: Kind = Kind::Write;
    const CHANGES: bool = true;

    fn order(&self) -> Option<&SignedOrder> {
        Some(&self.order)
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.decide(self)
    }

    fn deed(&self, answer: &Self::Answer, who: &Who, run: Option<String>) -> Option<Entry> {
        let refused = (!answer.refusals.is_empty()).then(|| answer.refusals.join("; "));
        let action = if refused.is_some() { Action::Refused } else { Action::DeletesDecided };
        let counts = counts([("candidates", answer.candidates)]);
        Some(Entry { run, reason: refused, counts, ..who.did(action) })
    }
}

impl Served for CandidatesRequest {
    const KIND: Kind = Kind::Read;

    fn collection(&self) -> Option<&Collection> {
        Some(&self.collection)
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.candidates(self)
    }
}

impl Served for DeleteRequest {
    const KIND: Kind = Kind::Write;
    const CHANGES: bool = true;

    fn collection(&self) -> Option<&Collection> {
        Some(&self.collection)
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.delete(self)
    }

    fn deed(&self, answer: &Self::Answer, who: &Who, run: Option<String>) -> Option<Entry> {
        let deleted = answer.outcomes.iter().filter(|outcome| **outcome == DeleteOutcome::Deleted).count() as u64;
        let kept = answer.outcomes.len() as u64 - deleted;
        let counts = counts([("deleted", deleted), ("kept", kept)]);
        Some(Entry { run, reason: Some(self.collection.name()), counts, ..who.did(Action::Deleted) })
    }
}

impl Served for TidyFilesRequest {
    const KIND: Kind = Kind::Write;
    const CHANGES: bool = true;

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.tidy_files(self)
    }

    fn deed(&self, answer: &Self::Answer, who: &Who, run: Option<String>) -> Option<Entry> {
        let counts = counts([("deleted", answer.deleted), ("kept", answer.kept.len() as u64)]);
        let reason = Some("files that assets left behind".into());
        (answer.deleted > 0).then(|| Entry { run, reason, counts, ..who.did(Action::Deleted) })
    }
}

impl Served for RememberSourceRequest {
    const KIND: Kind = Kind::Write;
    const CHANGES: bool = true;

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.remember_source(self)
    }
}

impl Served for OpenGrant {
    const KIND: Kind = Kind::Control;
    const CHANGES: bool = true;

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.open_grant(self)
    }

    fn deed(&self, _answer: &Self::Answer, who: &Who, _run: Option<String>) -> Option<Entry> {
        let user = self.about.as_ref().map(|about| about.started_by.clone());
        let (run, reason) = (Some(self.run.clone()), Some(self.holder.clone()));
        Some(Entry { user, run, reason, ..who.did(Action::GrantOpened) })
    }

    fn happens_once(&self) -> Option<&str> {
        Some(&self.grant_id)
    }
}

impl Served for RenewGrant {
    const KIND: Kind = Kind::Control;

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.renew_grant(self)
    }
}

impl Served for CloseGrant {
    const KIND: Kind = Kind::Control;

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.close_grant(self)
    }

    fn deed(&self, answer: &Self::Answer, who: &Who, _run: Option<String>) -> Option<Entry> {
        let was_open = answer.was_open.as_ref();
        let run = match &self.which {
            CloseWhich::Run(run) => run.clone(),
            CloseWhich::Any => was_open?.run.clone(),
        };
        let counts = was_open.map(|grant| counts([("written", grant.written)])).unwrap_or_default();
        let reason = Some(self.reason.clone());
        Some(Entry { run: Some(run), reason, counts, ..who.did(Action::GrantClosed) })
    }
}

impl Served for ReceiptRequest {
    const KIND: Kind = Kind::Read;

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.receipt(self)
    }
}

impl Served for AuditRequest {
    const KIND: Kind = Kind::Read;

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.audit().read(self)
    }
}

impl Served for UndoPlanRequest {
    const KIND: Kind = Kind::Read;

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.plan_undo(self)
    }
}

impl Served for UndoRequest {
    const KIND: Kind = Kind::Write;
    const CHANGES: bool = true;

    fn order(&self) -> Option<&SignedOrder> {
        Some(&self.order)
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.check_undo_order(self)?;
        storage.undo(self)
    }

    fn deed(&self, answer: &Self::Answer, who: &Who, run: Option<String>) -> Option<Entry> {
        let counts = counts([
            ("created", answer.created),
            ("updated", answer.updated),
            ("deleted", answer.deleted),
            ("kept", answer.conflicts.len() as u64),
        ]);
        let reason = Some(format!("{} of run {}", self.collection, self.run));
        Some(Entry { run, reason, counts, ..who.did(Action::Undone) })
    }
}

impl Served for ActionsRequest {
    const KIND: Kind = Kind::Control;

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.actions_of(self)
    }
}
