//! Files of assets below `storage/uploads`.

use protocol::api::{
    AgentError, ErrorCode, FileBytes, FileStats, Files, FilesRequest, HeldCause, ReadFileRequest, StatFilesRequest,
    WriteOutcome,
};
use protocol::canonical::Document;

use super::Storage;
use super::fault::Answer;
use super::prepared::Prepared;

impl Storage {
    pub fn files(&self, _: &FilesRequest) -> Answer<Files> {
        Err(AgentError::new(ErrorCode::Internal, "files are not implemented yet"))
    }
    pub fn read_file(&self, _: &ReadFileRequest) -> Answer<FileBytes> {
        Err(AgentError::new(ErrorCode::Internal, "files are not implemented yet"))
    }
    pub fn stat_files(&self, _: &StatFilesRequest) -> Answer<FileStats> {
        Err(AgentError::new(ErrorCode::Internal, "files are not implemented yet"))
    }
    pub(crate) fn lacks_its_file(&self, _: &Document<'_>) -> Answer<Option<(HeldCause, String)>> {
        Err(AgentError::new(ErrorCode::Internal, "files are not implemented yet"))
    }
    pub(crate) fn drop_stale_thumbnails(&self, _: &[Prepared<'_>], _: &[WriteOutcome]) -> Answer<()> {
        Err(AgentError::new(ErrorCode::Internal, "files are not implemented yet"))
    }
}
