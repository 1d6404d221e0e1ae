//! Uploads.

use std::path::Path;

use protocol::api::{AgentError, ErrorCode, Nothing, PlaceFilesRequest, UploadRequest, Uploaded};

use super::Storage;
use super::fault::Answer;

pub(crate) struct Uploads {}

impl Uploads {
    pub fn new(_: &Path) -> Self {
        Self {}
    }
}

impl Storage {
    pub fn upload(&self, _: &UploadRequest) -> Answer<Uploaded> {
        Err(AgentError::new(ErrorCode::Internal, "uploads are not implemented yet"))
    }
    pub fn place_files(&self, _: &PlaceFilesRequest) -> Answer<Nothing> {
        Err(AgentError::new(ErrorCode::Internal, "uploads are not implemented yet"))
    }
    pub(crate) fn uploaded_document(&self, _: &str) -> Answer<Vec<u8>> {
        Err(AgentError::new(ErrorCode::Internal, "uploads are not implemented yet"))
    }
    pub(crate) fn sweep_uploads(&self) -> Answer<()> {
        Ok(())
    }
}
