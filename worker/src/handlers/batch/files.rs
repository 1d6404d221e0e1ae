//! Brings the files of assets over, before their rows (I7): asks which are wanted, sends them in parts, moves them to
//! their places once their hash was checked.

use protocol::api::{
    FileFacts, FileStat, FileState, FilesRequest, HeldCause, HeldDocument, MAX_REQUEST_BYTES, PlaceFilesRequest,
    ReadFileRequest, StatFilesRequest, UploadPart, UploadRequest,
};
use queue::Verdict;

use super::Pending;
use crate::scope::Scope;
use crate::tally::Tally;

/// Bytes of one upload request; the rest of its size is for names and hashes.
const PARTS_BYTES: usize = MAX_REQUEST_BYTES - 128 * 1024;
/// So many small files travel together.
const PARTS: usize = 200;

/// Brings the files of these assets; gives back the assets whose files are at their places.
pub async fn bring(scope: &Scope, pending: Vec<Pending>, tally: &mut Tally) -> Result<Vec<Pending>, Verdict> {
    if pending.is_empty() {
        return Ok(pending);
    }
    let assets = pending.iter().map(|asset| asset.identity.clone()).collect();
    let at_source = scope.read(&FilesRequest { assets }).await?.files;
    let mut present = Vec::new();
    for (asset, state) in pending.into_iter().zip(at_source) {
        match state {
            FileState::Present(facts) => present.push((asset, facts)),
            FileState::Held { cause, message } => hold(asset, cause, message, tally),
        }
    }
    let files = present.iter().map(|(_, facts)| facts.clone()).collect();
    let at_target = scope.target(&StatFilesRequest { files }).await?.stats;
    let mut ready = Vec::new();
    let mut wanted = Vec::new();
    for ((asset, facts), stat) in present.into_iter().zip(at_target) {
        match stat {
            FileStat::Same => ready.push(asset),
            FileStat::Wanted { uploaded } => {
                wanted.push(Wanted { asset: asset.identity.clone(), facts, uploaded });
                ready.push(asset);
            }
            FileStat::Held { cause, message } => hold(asset, cause, message, tally),
        }
    }
    send(scope, &wanted, tally).await?;
    Ok(ready)
}

fn hold(asset: Pending, cause: HeldCause, message: String, tally: &mut Tally) {
    tally.held(HeldDocument { identity: asset.identity, cause, message });
}

struct Wanted {
    asset: String,
    facts: FileFacts,
    uploaded: u64,
}

async fn send(scope: &Scope, wanted: &[Wanted], tally: &mut Tally) -> Result<(), Verdict> {
    let mut parts = Parts { scope, parts: Vec::new(), bytes: 0, complete: Vec::new() };
    for file in wanted {
        let mut offset = file.uploaded.min(file.facts.size);
        loop {
            let room = (PARTS_BYTES - parts.bytes) as u64;
            let length = room.min(file.facts.size - offset);
            let bytes = if length == 0 { Vec::new() } else { read(scope, file, offset, length).await? };
            if bytes.len() as u64 != length {
                return Err(Verdict::retry(format!("the source sent too little of the file {}", file.facts.path)));
            }
            tally.bytes(bytes.len());
            parts.add(file, offset, bytes);
            offset += length;
            if offset == file.facts.size {
                break;
            }
            parts.flush().await?;
        }
        parts.complete.push(file.facts.clone());
        if parts.is_full() {
            parts.flush().await?;
        }
    }
    parts.flush().await
}

async fn read(scope: &Scope, file: &Wanted, offset: u64, length: u64) -> Result<Vec<u8>, Verdict> {
    let request = ReadFileRequest {
        asset: file.asset.clone(),
        sha256: file.facts.sha256.clone(),
        offset,
        length: u32::try_from(length).unwrap_or(u32::MAX),
    };
    Ok(scope.read(&request).await?.bytes)
}

/// Parts of one upload request, and the files that are whole once it was taken.
struct Parts<'a> {
    scope: &'a Scope,
    parts: Vec<UploadPart>,
    bytes: usize,
    complete: Vec<FileFacts>,
}

impl Parts<'_> {
    fn add(&mut self, file: &Wanted, offset: u64, bytes: Vec<u8>) {
        self.bytes += bytes.len();
        self.parts.push(UploadPart { sha256: file.facts.sha256.clone(), size: file.facts.size, offset, bytes });
    }

    fn is_full(&self) -> bool {
        self.bytes >= PARTS_BYTES || self.parts.len() >= PARTS
    }

    async fn flush(&mut self) -> Result<(), Verdict> {
        if self.parts.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let parts = std::mem::take(&mut self.parts);
        let expected: Vec<u64> = parts.iter().map(|part| part.offset + part.bytes.len() as u64).collect();
        let uploaded = self.scope.target(&UploadRequest { token: self.scope.token(), parts }).await?;
        if uploaded.lengths != expected {
            // Another execution uploads the same file, or its bytes changed on the way: the retry asks anew.
            return Err(Verdict::retry("a file changed while it was sent"));
        }
        let files = std::mem::take(&mut self.complete);
        if !files.is_empty() {
            self.scope.target(&PlaceFilesRequest { token: self.scope.token(), files }).await?;
        }
        Ok(())
    }
}
