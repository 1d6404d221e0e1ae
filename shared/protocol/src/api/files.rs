//! Files of assets, and uploads: bytes that do not fit one request.

use serde::{Deserialize, Serialize};

use super::{Call, HeldCause, Nothing, Serves};

/// What files do these assets of yours have? (Asked of the source, by id: never by path.)
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FilesRequest {
    pub assets: Vec<String>,
}

impl Call for FilesRequest {
    const PATH: &'static str = "files";
    type Answer = Files;

    fn serves(&self) -> Serves {
        Serves::Everybody
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Files {
    /// In the order of the request.
    pub files: Vec<FileState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    Present(FileFacts),
    /// Not there, or not as its row says; in words.
    Held {
        cause: HeldCause,
        message: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Below `storage/uploads`, as in the asset's row: begins with a slash.
    pub path: String,
    pub size: u64,
    /// SHA-256 of the whole, hex.
    pub sha256: String,
}

/// Bytes of an asset's file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReadFileRequest {
    pub asset: String,
    /// What the caller was told; refused when the file is not this one any more.
    pub sha256: String,
    pub offset: u64,
    pub length: u32,
}

impl Call for ReadFileRequest {
    const PATH: &'static str = "file/read";
    type Answer = FileBytes;

    fn serves(&self) -> Serves {
        Serves::Always
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FileBytes {
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// Which of these files do you have? (Asked of the target.)
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatFilesRequest {
    pub files: Vec<FileFacts>,
}

impl Call for StatFilesRequest {
    const PATH: &'static str = "file/stat";
    type Answer = FileStats;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FileStats {
    /// In the order of the request.
    pub stats: Vec<FileStat>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileStat {
    Same,
    /// Not there or different; so many bytes of it were uploaded already.
    Wanted {
        uploaded: u64,
    },
    Held {
        cause: HeldCause,
        message: String,
    },
}

/// Adds bytes to uploads, under the grant. A part whose offset is not the upload's length changes nothing: the
/// answer says where to go on. An upload whose whole hash does not match is thrown away.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UploadRequest {
    pub token: String,
    pub parts: Vec<UploadPart>,
}

impl Call for UploadRequest {
    const PATH: &'static str = "upload";
    type Answer = Uploaded;
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UploadPart {
    /// Names the upload: SHA-256 of the whole, hex.
    pub sha256: String,
    /// Size of the whole.
    pub size: u64,
    pub offset: u64,
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Uploaded {
    /// Length of each upload now, in the order of the parts; 0 when its hash did not match.
    pub lengths: Vec<u64>,
}

/// Moves complete uploads to their places below `storage/uploads`, under the grant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlaceFilesRequest {
    pub token: String,
    pub files: Vec<FileFacts>,
}

impl Call for PlaceFilesRequest {
    const PATH: &'static str = "file/place";
    type Answer = Nothing;
}
