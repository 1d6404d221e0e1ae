//! Brings the files of assets over, before their rows (I7): asks which are wanted, sends them in parts, moves them to
//! their places once their hash was checked.

use std::collections::HashMap;

use futures_util::future::try_join_all;
use futures_util::stream::{FuturesOrdered, StreamExt};
use protocol::api::{
    FileFacts, FileStat, FileState, FilesRequest, HeldCause, HeldDocument, PAGE_BYTES, PlaceFilesRequest,
    ReadFileRequest, StatFilesRequest, UploadPart, UploadRequest,
};
use queue::Verdict;

use super::Pending;
use crate::failure::verdict_of;
use crate::scope::Scope;
use crate::tally::Tally;

/// Bytes of one upload request: what the source reads at a time, with room for names and hashes.
const PARTS_BYTES: usize = PAGE_BYTES;
/// So many small files travel together.
const PARTS: usize = 200;
/// So many stretches of files are read ahead, in each lane.
const READ_AHEAD: usize = 2;
/// So many files of a batch are on their way side by side: while one is read, hashed or synced to a disk, others are sent.
const LANES: usize = 4;

/// Brings the files of these assets; gives back the assets whose files are at their places.
pub async fn bring(scope: &Scope, pending: Vec<Pending>, tally: &mut Tally) -> Result<Vec<Pending>, Verdict> {
    if pending.is_empty() {
        return Ok(pending);
    }
    let at_source = try_join_all(pending.chunks(pending.len().div_ceil(LANES)).map(async |some| {
        let assets = some.iter().map(|asset| asset.identity.clone()).collect();
        scope.read(&FilesRequest { assets }).await
    }));
    let at_source = at_source.await?.into_iter().flat_map(|answer| answer.files);
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
    let sent = try_join_all(lanes(&wanted).iter().map(|lane| send(scope, lane))).await?;
    tally.bytes(sent.into_iter().sum());
    Ok(ready)
}

/// Assets with the same file keep to one lane: it is sent once.
fn lanes(wanted: &[Wanted]) -> Vec<Vec<&Wanted>> {
    let mut lane_of = HashMap::new();
    let mut lanes = vec![Vec::new(); LANES];
    for file in wanted {
        let next = lane_of.len() % LANES;
        lanes[*lane_of.entry(&file.facts.sha256).or_insert(next)].push(file);
    }
    lanes
}

fn hold(asset: Pending, cause: HeldCause, message: String, tally: &mut Tally) {
    tally.held(HeldDocument { identity: asset.identity, cause, message });
}

struct Wanted {
    asset: String,
    facts: FileFacts,
    uploaded: u64,
}

/// A stretch of a file that fits one request.
struct Stretch<'a> {
    file: &'a Wanted,
    offset: u64,
    length: u64,
}

impl Wanted {
    /// What is left of it, at least one stretch: an empty file, too, must be named.
    fn stretches(&self) -> Vec<Stretch<'_>> {
        let mut offset = self.uploaded.min(self.facts.size);
        let mut stretches = Vec::new();
        loop {
            let length = (self.facts.size - offset).min(PARTS_BYTES as u64);
            stretches.push(Stretch { file: self, offset, length });
            offset += length;
            if offset == self.facts.size {
                return stretches;
            }
        }
    }
}

/// Reading goes ahead of sending by a few stretches: memory stays bounded (I8). Answers how many bytes were sent.
async fn send(scope: &Scope, lane: &[&Wanted]) -> Result<usize, Verdict> {
    let mut left = lane.iter().flat_map(|file| file.stretches());
    let mut sent = 0;
    let mut reading = FuturesOrdered::new();
    let mut parts = Parts { scope, parts: Vec::new(), bytes: 0, complete: Vec::new() };
    loop {
        let room = READ_AHEAD - reading.len();
        reading.extend(left.by_ref().take(room).map(|stretch| read(scope, stretch)));
        let Some(read) = reading.next().await else { break };
        let (stretch, bytes) = read?;
        if parts.bytes + bytes.len() > PARTS_BYTES || parts.parts.len() >= PARTS {
            parts.flush().await?;
        }
        sent += bytes.len();
        parts.add(&stretch, bytes);
    }
    parts.flush().await?;
    Ok(sent)
}

async fn read<'a>(scope: &Scope, stretch: Stretch<'a>) -> Result<(Stretch<'a>, Vec<u8>), Verdict> {
    if stretch.length == 0 {
        return Ok((stretch, Vec::new()));
    }
    let request = ReadFileRequest {
        asset: stretch.file.asset.clone(),
        sha256: stretch.file.facts.sha256.clone(),
        offset: stretch.offset,
        length: u32::try_from(stretch.length).unwrap_or(u32::MAX),
    };
    let bytes = scope.read(&request).await?.bytes;
    if bytes.len() as u64 != stretch.length {
        return Err(Verdict::retry(format!("the source sent too little of the file {}", stretch.file.facts.path)));
    }
    Ok((stretch, bytes))
}

/// Parts of one upload request, and the files that are whole once it was taken.
struct Parts<'a> {
    scope: &'a Scope,
    parts: Vec<UploadPart>,
    bytes: usize,
    complete: Vec<FileFacts>,
}

impl Parts<'_> {
    fn add(&mut self, stretch: &Stretch<'_>, bytes: Vec<u8>) {
        let facts = &stretch.file.facts;
        self.bytes += bytes.len();
        let is_last = stretch.offset + stretch.length == facts.size;
        let part = UploadPart { sha256: facts.sha256.clone(), size: facts.size, offset: stretch.offset, bytes };
        self.parts.push(part);
        if is_last {
            self.complete.push(facts.clone());
        }
    }

    async fn flush(&mut self) -> Result<(), Verdict> {
        if self.parts.is_empty() {
            return Ok(());
        }
        self.scope.ration(0, std::mem::take(&mut self.bytes)).await?;
        let parts = std::mem::take(&mut self.parts);
        let expected: Vec<u64> = parts.iter().map(|part| part.offset + part.bytes.len() as u64).collect();
        let request = UploadRequest { token: self.scope.token(), parts };
        let uploaded = self.scope.write(&request).await.map_err(verdict_of)?;
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
