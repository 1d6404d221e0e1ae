//! An instance with an open storage, and the requests tests make of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cockpit_sync_agent::storage::{Storage, StorageSettings};
use instances::{Made, Shape};
use protocol::api::*;
use protocol::canonical::{self, DocHash, Document};
use protocol::collection::Collection;

pub const RUN: &str = "run-1";

/// One instance in a directory of its own.
pub struct Instance {
    pub root: PathBuf,
    pub storage: Storage,
    pub made: Option<Made>,
    clock: Arc<AtomicI64>,
    _directory: tempfile::TempDir,
}

impl Instance {
    pub fn small() -> Self {
        Self::of(&Shape::small())
    }

    pub fn of(shape: &Shape) -> Self {
        Self::new(|root| Some(instances::make(root, shape).unwrap()))
    }

    /// An installed Cockpit without content or models.
    pub fn empty() -> Self {
        Self::new(|root| {
            instances::make_empty(root).unwrap();
            None
        })
    }

    /// The same, changed before the storage is opened.
    pub fn empty_with(change: impl FnOnce(&Path)) -> Self {
        Self::new(|root| {
            instances::make_empty(root).unwrap();
            change(root);
            None
        })
    }

    fn new(make: impl FnOnce(&Path) -> Option<Made>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("cockpit");
        std::fs::create_dir(&root).unwrap();
        let made = make(&root);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let clock = Arc::new(AtomicI64::new(now.try_into().unwrap()));
        let storage = Storage::open(settings(&root, &clock)).unwrap();
        Self { root, storage, made, clock, _directory: directory }
    }

    pub fn made(&self) -> &Made {
        self.made.as_ref().unwrap()
    }

    pub fn settings(&self) -> StorageSettings {
        settings(&self.root, &self.clock)
    }

    /// Closes the storage and opens it again, as a restart of the agent does.
    pub fn reopen(&mut self) {
        self.storage.close();
        self.storage = Storage::open(self.settings()).unwrap();
    }

    pub fn pass_time(&self, time: Duration) {
        self.clock.fetch_add(time.as_millis().try_into().unwrap(), Ordering::SeqCst);
    }

    pub fn grant(&self) -> String {
        self.storage.open_grant(&grant_request("grant-1", "redis-1", RUN)).unwrap().token
    }

    pub fn list(&self, collection: &Collection) -> Listing {
        self.storage
            .list(&ListRequest {
                collection: collection.clone(),
                selection: Default::default(),
                from_row: 0,
                to_row: None,
                documents: false,
            })
            .unwrap()
    }

    pub fn summary(&self, collection: &Collection) -> Summary {
        self.storage
            .summary(&SummaryRequest { collection: collection.clone(), selection: Default::default(), run: None })
            .unwrap()
    }

    /// The run looks at a collection; whether for the first time.
    pub fn look(&self, collection: &Collection, run: &str) -> bool {
        let request =
            SummaryRequest { collection: collection.clone(), selection: Default::default(), run: Some(run.into()) };
        self.storage.summary(&request).unwrap().first_look
    }

    /// Whether the agent says that a document was changed since the run looked.
    pub fn is_changed(&self, collection: &Collection, identity: &str) -> bool {
        let (collection, identities) = (collection.clone(), vec![identity.into()]);
        let request = DocumentsRequest { collection, identities, run: Some(RUN.into()) };
        !self.storage.documents(&request).unwrap().changed.is_empty()
    }

    pub fn document(&self, collection: &Collection, identity: &str) -> Option<Entry> {
        let request = DocumentsRequest { collection: collection.clone(), identities: vec![identity.into()], run: None };
        self.storage.documents(&request).unwrap().documents.pop()
    }

    pub fn diff(&self, collection: &Collection, entries: &[(String, DocHash)]) -> Vec<Difference> {
        let request = DiffRequest {
            collection: collection.clone(),
            run: RUN.into(),
            entries: entries.to_vec(),
            source: None,
            agree: false,
        };
        self.storage.diff(&request).unwrap().differences
    }

    pub fn write(&self, token: &str, collection: &Collection, documents: Vec<WriteDocument>) -> Vec<WriteOutcome> {
        self.try_write(token, collection, documents).unwrap()
    }

    pub fn try_write(
        &self,
        token: &str,
        collection: &Collection,
        documents: Vec<WriteDocument>,
    ) -> Result<Vec<WriteOutcome>, AgentError> {
        self.write_modified(token, collection, 1_800_000_000, documents)
    }

    /// A write of a run that began at `modified`.
    pub fn write_modified(
        &self,
        token: &str,
        collection: &Collection,
        modified: i64,
        documents: Vec<WriteDocument>,
    ) -> Result<Vec<WriteOutcome>, AgentError> {
        let request = WriteRequest {
            token: token.into(),
            collection: collection.clone(),
            modified: Some(modified),
            override_locks: false,
            documents,
        };
        self.storage.write(&request).map(|written| written.outcomes)
    }

    /// What the storage takes for now, in Unix seconds.
    pub fn now(&self) -> i64 {
        self.clock.load(Ordering::SeqCst) / 1000
    }

    /// An editor has it open in Cockpit's admin, from now on.
    pub fn open_in_admin(&self, resource: &str) {
        instances::open_in_admin(&self.root, resource, self.now()).unwrap();
    }

    /// Brings one collection over as a worker does: list, diff, read, write. Gives what came of each write.
    pub fn pull(&self, source: &Instance, token: &str, collection: &Collection) -> Vec<WriteOutcome> {
        let mut outcomes = Vec::new();
        let mut from_row = 0;
        loop {
            let request = ListRequest {
                collection: collection.clone(),
                selection: Default::default(),
                from_row,
                to_row: None,
                documents: false,
            };
            let listing = source.storage.list(&request).unwrap();
            let entries: Vec<_> = listing.entries.iter().map(|entry| (entry.identity.clone(), entry.hash)).collect();
            let differences = self.diff(collection, &entries);
            let mut documents = Vec::new();
            for (entry, difference) in listing.entries.iter().zip(differences) {
                let expect = match difference {
                    Difference::Lacks => None,
                    Difference::Differs(hash) => Some(hash),
                    _ => continue,
                };
                let sent = source.document(collection, &entry.identity).unwrap();
                assert_eq!(sent.hash, entry.hash);
                documents.push(document(&entry.identity, expect, &sent.document.unwrap()));
            }
            if !documents.is_empty() {
                outcomes.extend(self.write(token, collection, documents));
            }
            match listing.next_row {
                Some(next) => from_row = next,
                None => return outcomes,
            }
        }
    }

    /// Models, locales, folders, files, assets and content, in the order of a run.
    pub fn pull_all(&self, source: &Instance, token: &str) -> Vec<WriteOutcome> {
        let mut outcomes = Vec::new();
        for collection in [Collection::Locales, Collection::Models, Collection::Folders] {
            outcomes.extend(self.pull(source, token, &collection));
        }
        self.pull_files(source, token);
        outcomes.extend(self.pull(source, token, &Collection::Assets));
        outcomes.extend(self.pull(source, token, &Collection::Singletons));
        for model in source.storage.manifest(&ManifestRequest {}).unwrap().models {
            if model.kind != ModelKind::Singleton {
                outcomes.extend(self.pull(source, token, &Collection::Items(model.name)));
            }
        }
        outcomes
    }

    pub fn pull_files(&self, source: &Instance, token: &str) {
        let assets = source.list(&Collection::Assets).entries.into_iter().map(|entry| entry.identity).collect();
        let states = source.storage.files(&FilesRequest { assets }).unwrap().files;
        let facts: Vec<FileFacts> = states
            .into_iter()
            .filter_map(|state| match state {
                FileState::Present(facts) => Some(facts),
                FileState::Held { .. } => None,
            })
            .collect();
        for facts in facts {
            let stats = self.storage.stat_files(&StatFilesRequest { files: vec![facts.clone()] }).unwrap().stats;
            if stats == [FileStat::Same] {
                continue;
            }
            let bytes = std::fs::read(instances::uploads(&source.root).join(&facts.path[1..])).unwrap();
            self.upload(token, &facts, 0, &bytes);
            self.storage.place_files(&PlaceFilesRequest { token: token.into(), files: vec![facts] }).unwrap();
        }
    }

    pub fn upload(&self, token: &str, facts: &FileFacts, offset: u64, bytes: &[u8]) -> u64 {
        let part = UploadPart { sha256: facts.sha256.clone(), size: facts.size, offset, bytes: bytes.to_vec() };
        self.storage.upload(&UploadRequest { token: token.into(), parts: vec![part] }).unwrap().lengths[0]
    }
}

fn settings(root: &Path, clock: &Arc<AtomicI64>) -> StorageSettings {
    let clock = clock.clone();
    StorageSettings {
        now: Arc::new(move || UNIX_EPOCH + Duration::from_millis(clock.load(Ordering::SeqCst).try_into().unwrap())),
        ..StorageSettings::new(root)
    }
}

pub fn grant_request(grant_id: &str, authority: &str, run: &str) -> OpenGrant {
    OpenGrant {
        grant_id: grant_id.into(),
        authority: authority.into(),
        run: run.into(),
        holder: format!("{run} of {authority}"),
        ttl_ms: 15_000,
        about: None,
    }
}

pub fn document(identity: &str, expect: Option<DocHash>, bytes: &[u8]) -> WriteDocument {
    WriteDocument { identity: identity.into(), expect, body: Body::Inline(bytes.to_vec()) }
}

pub fn items(model: &str) -> Collection {
    Collection::Items(model.into())
}

pub fn hash_of(collection: &Collection, bytes: &[u8]) -> DocHash {
    canonical::hash(&Document::parse(bytes).unwrap(), collection.identity())
}

/// The rows of a collection as they are stored: row id and text.
pub fn raw_rows(root: &Path, collection: &Collection) -> Vec<(i64, String)> {
    let place = instances::place(&collection.name());
    let connection = rusqlite::Connection::open(instances::data_file(root, &place.file)).unwrap();
    let mut statement = connection.prepare(&format!("SELECT id, document FROM `{}` ORDER BY id", place.table)).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<rusqlite::Result<_>>().unwrap()
}

pub fn collections() -> Vec<Collection> {
    vec![
        Collection::Locales,
        Collection::Models,
        Collection::Folders,
        Collection::Assets,
        Collection::Singletons,
        items("posts"),
        items("authors"),
    ]
}

pub fn entries_of(instance: &Instance, collection: &Collection) -> Vec<(String, DocHash)> {
    instance.list(collection).entries.into_iter().map(|entry| (entry.identity, entry.hash)).collect()
}

pub fn parsed(entry: &Entry) -> serde_json::Value {
    serde_json::from_slice(entry.document.as_ref().unwrap()).unwrap()
}

/// The document with one field changed.
pub fn changed(entry: &Entry, field: &str, value: &str) -> Vec<u8> {
    let mut document = parsed(entry);
    document[field] = serde_json::json!(value);
    document.to_string().into_bytes()
}

pub fn facts(path: &str, bytes: &[u8]) -> FileFacts {
    use sha2::Digest;
    FileFacts { path: path.into(), size: bytes.len() as u64, sha256: hex::encode(sha2::Sha256::digest(bytes)) }
}

/// The settings of an instance, changed.
pub fn agent_settings(instance: &Instance, change: impl FnOnce(&mut StorageSettings)) -> StorageSettings {
    let mut settings = instance.settings();
    change(&mut settings);
    settings
}

/// The summary, computed from a listing.
pub fn recounted(instance: &Instance, collection: &Collection) -> canonical::CollectionSummary {
    let mut summary = canonical::CollectionSummary::default();
    for entry in instance.list(collection).entries {
        summary.add(&entry.identity, entry.hash);
    }
    summary
}
