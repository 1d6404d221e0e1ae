//! Each request: what it waits for, which collection it is about, and which method of the storage carries it out.

use protocol::api::{
    AbsentRequest, AgentError, AgreeRequest, Call, CandidatesRequest, CloseGrant, DecideRequest, DeleteRequest,
    DiffRequest, DocumentsRequest, EmbeddedRequest, ExtentRequest, FilesRequest, ListRequest, ManifestRequest,
    OpenGrant, PlaceFilesRequest, ProposeRequest, ReadFileRequest, ReceiptRequest, RememberSourceRequest, RenewGrant,
    StatFilesRequest, SummaryRequest, TidyFilesRequest, UndoPlanRequest, UndoRequest, UploadRequest, WriteRequest,
};
use protocol::collection::Collection;
use protocol::mirror::SignedOrder;

use super::Kind;
use crate::storage::Storage;

pub(super) trait Served: Call {
    const KIND: Kind;
    /// Refused by an agent that is read-only.
    const CHANGES: bool = false;

    fn collection(&self) -> Option<&Collection> {
        None
    }

    /// Of a mirror: what it carries as its permission.
    fn order(&self) -> Option<&SignedOrder> {
        None
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError>;
}

impl Served for ManifestRequest {
    const KIND: Kind = Kind::Read;

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.manifest(self)
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

    fn collection(&self) -> Option<&Collection> {
        Some(&self.collection)
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.list(self)
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

    fn collection(&self) -> Option<&Collection> {
        Some(&self.collection)
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.documents(self)
    }
}

impl Served for DiffRequest {
    const KIND: Kind = Kind::Read;

    fn collection(&self) -> Option<&Collection> {
        Some(&self.collection)
    }

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.diff(self)
    }
}

impl Served for AgreeRequest {
    const KIND: Kind = Kind::Read;

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
}

impl Served for TidyFilesRequest {
    const KIND: Kind = Kind::Write;
    const CHANGES: bool = true;

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.tidy_files(self)
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
}

impl Served for ReceiptRequest {
    const KIND: Kind = Kind::Read;

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.receipt(self)
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

    fn serve(&self, storage: &Storage) -> Result<Self::Answer, AgentError> {
        storage.undo(self)
    }
}
