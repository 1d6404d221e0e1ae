//! Files below `storage/uploads` that go: of assets that were deleted, and those that assets left behind when they got
//! other ones.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use protocol::api::{ASSET_FILES, TidiedFiles, TidyFilesRequest};

use super::check_decided;
use super::list::Lists;
use super::mentions::Wanted;
use crate::storage::fault::{Answer, At, forbidden};
use crate::storage::images::Image;
use crate::storage::model_store::fsync_directory;
use crate::storage::{Storage, log_failure};

impl Storage {
    pub fn tidy_files(&self, request: &TidyFilesRequest) -> Answer<TidiedFiles> {
        self.allow_writing()?;
        if !self.settings.delete {
            return Err(forbidden("this agent's own config lets nobody delete"));
        }
        let run = self.grants.permit(&request.token)?.run().to_owned();
        let lists = Lists::new(&self.state);
        check_decided(&lists, &run)?;
        let mut tidied = TidiedFiles { deleted: 0, kept: Vec::new() };
        let mut after = String::new();
        loop {
            let left = lists.left_files(&run, &after)?;
            let Some(last) = left.last() else { break };
            after.clone_from(last);
            let wanted: Vec<Wanted> = left.iter().map(|path| Wanted::file(path.clone())).collect();
            let mentions = self.mentions(&wanted)?.found;
            let permit = self.grants.permit(&request.token)?;
            let mut unused = Vec::new();
            for (path, mention) in left.into_iter().zip(mentions) {
                match mention {
                    Some(place) => tidied.kept.push((path, place)),
                    None => unused.push(path),
                }
            }
            tidied.deleted += self.remove_uploads(&run, &unused)?;
            permit.wrote(0);
        }
        Ok(tidied)
    }

    /// Removes files that nothing mentions, the permit being held; how many there were. What they were is kept first. What lies
    /// at a path that is not allowed is nobody's business.
    pub(super) fn remove_uploads(&self, run: &str, paths: &[String]) -> Answer<u64> {
        let (mut images, mut files) = (Vec::new(), Vec::new());
        for path in paths {
            let Ok(place) = self.upload_path(path) else { continue };
            let Some(hashes) = self.hashes_of(&place)? else { continue };
            images.push(Image {
                identity: format!("/{}", path.trim_start_matches('/')),
                before: vec![(hashes.size.cast_signed(), hashes.sha256.clone().into_bytes())],
                is_own: false,
                left: None,
                size: 0,
            });
            files.push((place, hashes.sha256, hashes.size));
        }
        if files.is_empty() {
            return Ok(0);
        }
        self.images.keep_files(run, &files, self.now_ms())?;
        self.images.keep(run, ASSET_FILES, &images, self.now_ms())?;
        let mut directories = BTreeSet::new();
        for (place, ..) in &files {
            match fs::remove_file(place) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).at(place),
                _ => directories.extend(place.parent()),
            }
        }
        directories.into_iter().try_for_each(|directory| fsync_directory(directory).at(directory))?;
        log_failure("thumbnails may show old files", self.drop_thumbnails());
        Ok(files.len() as u64)
    }
}
