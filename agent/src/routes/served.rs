//! Each request: what it waits for, which collection it is about, and which method of the storage carries it out.

use protocol::api::{
    AgentError, AgreeRequest, Call, CloseGrant, DiffRequest, DocumentsRequest, ExtentRequest, FilesRequest,
    ListRequest, ManifestRequest, OpenGrant, PlaceFilesRequest, ReadFileRequest, ReceiptRequest, RenewGrant,
    StatFilesRequest, SummaryRequest, UndoPlanRequest, UndoRequest, UploadRequest, WriteRequest,
};
use protocol::collection::Collection;

use super::Kind;
use crate::storage::Storage;

pub(super) trait Served: Call {
    const KIND: Kind;
    /// Refused by an agent that is read-only.
    const CHANGES: bool = false;

    fn collection(&self) -> Option<&Collection> {
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
